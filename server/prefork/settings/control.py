"""Where the control socket is when nobody says.

Owns: the default of `[server] control`, the same for the server and for those who look for it. Runs in: cli, master. Must
not know: sockets, whether anything is there.

One server, one file: its name holds a digest of the settings file's path (or of directory and application), so that two
servers of one name never meet, and nobody steers the wrong one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

OFF = "off"

_LONGEST_NAME = 40
"""Characters of the server's name in that of the file: the path of a socket has room for 107 bytes (unix(7))."""


def default_control(name: str, identity: str) -> str:
    """The path for the server called `name`, which `identity` tells from every other."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST_NAME]
    return f"{control_directories()[0]}/{plain}-{digest(identity)}.sock"


def identity_of(file: str | None, directory: str, target: str) -> str:
    """What tells a server from every other: its settings file, or else where it was started and what it serves."""
    return file if file is not None else f"{directory}\0{target}"


def digest(identity: str) -> str:
    """A few characters that stand for `identity`."""
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def control_directories(uid: int | None = None, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where this user's servers may have their sockets, the best place first; none of them need exist yet."""
    uid = os.geteuid() if uid is None else uid
    if uid == 0:
        return ("/run/prefork",)
    private = f"/tmp/prefork-{uid}"
    # The XDG Base Directory Specification: absolute, else to be ignored.
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return (f"{runtime.rstrip('/')}/prefork", private) if runtime.startswith("/") else (private,)
