"""The master: binds, starts, supervises, reloads. One thread; never imports the application, never parses a request.

Empty: the first zygote is started (`newborn`) before the rest is imported.
"""
