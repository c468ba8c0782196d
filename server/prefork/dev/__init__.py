"""Development: the server one develops with is the server one deploys.

Nothing here is loaded by a server that is not asked for it.
"""
