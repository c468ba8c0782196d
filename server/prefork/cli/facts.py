"""What a person has to know by heart: signals, exit codes, environment.

Owns: those tables, for the help and the manual. Runs in: cli. Must not know: who does what a signal asks for.
"""

from __future__ import annotations

SIGNALS = (
    ("HUP", "reload settings and application; if the new ones do not work, the old ones stay"),
    ("TERM", "stop when all requests are answered, after server.drain_delay"),
    ("INT, QUIT", "stop at once"),
    ("USR1", "open log files anew"),
    ("USR2", "execute prefork anew, as it is installed now; nobody notices"),
    ("TTIN, TTOU", "one worker more, one fewer"),
    ("WINCH", "stop all workers, keep the server"),
)
"""What the master makes of each."""

EXIT_CODES = (
    ("0", "stopped as asked; a command was done"),
    ("1", "a command to the running server could not be done; it says why"),
    ("2", "the arguments make no command"),
    ("3", "the application does not start"),
    ("71", "address or pid file in use"),
    ("78", "the settings are wrong"),
)
"""Of every command."""

VARIABLES = (
    ("PREFORK_PURE", "if it is 1, the parts that were compiled when prefork was installed are not used"),
    ("CREDENTIALS_DIRECTORY", 'where "credential:NAME" in [tls] is looked for; set by systemd'),
    ("XDG_RUNTIME_DIR", "where servers of users other than root have their control sockets"),
    ("TMPDIR", "where large request and response bodies wait"),
)
"""Environment variables."""
