"""`prefork top`: a running server, live.

From the pure to the effects: `rates` (what happened between two answers), `table` (workers as rows), `ui` (what a key does),
`summary` (the server in a few words), `layout` (heights), `draw` (all of it as lines of a screen), `lines` (the same as plain
lines), `session` (what is known), `keys` (bytes as keys), `terminal` (the screen itself), `asking` (threads that ask the
server), `live` (the loop), `command`. Runs in: cli.
"""

from prefork.cli.top.command import COMMAND

__all__ = ["COMMAND"]
