"""Where the control socket is when nobody says.

Owns: the default of `[server] control`, the same for the server and for those who look for it. Runs in: cli, master. Must
not know: sockets, whether anything is there.

One server, one file: its name holds a digest of the settings file's path (or of directory and application), so that two
servers of one name never meet, and nobody steers the wrong one.
"""

from __future__ import annotations

import os
import re
import stat
from binascii import crc32
from collections.abc import Mapping

OFF = "off"

ROOT_DIRECTORY = "/run/prefork"
"""Of servers that root started; and, with a hyphen and a name, RuntimeDirectory= of instances (prefork@.service)."""

_LONGEST_NAME = 40
"""Characters of the server's name in that of the file: the path of a socket has room for 107 bytes (unix(7))."""


def default_control(name: str, identity: str) -> str:
    """The path for the server called `name`, which `identity` tells from every other."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST_NAME]
    return f"{control_directories()[0]}/{plain}-{digest(identity)}.sock"


def is_private(directory: str, uid: int | None = None) -> bool:
    """Whether nobody but this user can have put anything there; False if there is no such directory."""
    try:
        status = os.lstat(directory)
        if stat.S_ISLNK(status.st_mode) and status.st_uid == 0:
            # With DynamicUser=, systemd makes a RuntimeDirectory= that survives restarts in /run/private, and a link to it.
            status = os.stat(directory)  # noqa: PTH116
    except OSError:
        return False
    # Anybody else's symbolic link has no such mode.
    return status.st_uid == (os.geteuid() if uid is None else uid) and status.st_mode & 0o170022 == 0o040000


def identity_of(file: str | None, directory: str, target: str) -> str:
    """What tells a server from every other: its settings file, or else where it was started and what it serves."""
    return file if file is not None else f"{directory}\0{target}"


def digest(identity: str) -> str:
    """A few characters that stand for `identity`."""
    # Nobody has to be kept from making two that are equal, and `hashlib` costs a start 4 ms.
    return f"{crc32(identity.encode('utf-8', 'surrogateescape')):08x}"


def control_directories(uid: int | None = None, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where this user's servers may have their sockets, the best place first; none of them need exist yet."""
    uid = os.geteuid() if uid is None else uid
    # RuntimeDirectory= of a unit (systemd.exec(5)): absolute paths, the first is the one that the unit names first.
    service = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    own = (service,) if service.startswith("/") else ()
    # Containers with a read-only root have shared memory, and nothing else that can be written to.
    memory = f"/dev/shm/prefork-{uid}"
    if uid == 0:
        return tuple(dict.fromkeys((*own, ROOT_DIRECTORY, memory)))
    private = f"/tmp/prefork-{uid}"
    # The XDG Base Directory Specification: absolute, else to be ignored.
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    session = (f"{runtime.rstrip('/')}/prefork",) if runtime.startswith("/") else ()
    return (*own, *session, private, memory)
