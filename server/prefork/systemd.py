"""What systemd and a service say to each other: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).

Owns: the variables of the environment, the form of messages, sending them. Standard library only. Runs in: master. Must not
know: when anything is to be said (see `master.service`), what a listener is.

Nothing here raises at a server because its service manager is away, slow or something else than systemd. Variables are taken
out of the environment at once: what speaks for the whole service is nobody else's to use.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import re
import select
import socket
from collections.abc import Mapping, MutableMapping, Sequence

import msgspec

from prefork.variables import FROM_SYSTEMD

FIRST_FD = 3
"""SD_LISTEN_FDS_START."""

_FOR_NEXT_PROGRAM = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE")

MOST_FDS = 4096
"""FileDescriptorStoreMax= has no limit, but more sockets than this are a mistake."""

STORED_PREFIX = "prefork-"
"""Begins the names of the descriptors that we give systemd to keep."""

LONGEST_MESSAGE = 4096
"""PID 1 ignores a longer datagram: NOTIFY_BUFFER_MAX, which is PIPE_BUF, in systemd's src/core/manager.c."""

LONGEST_QUEUE = 64
"""Of messages that wait for a manager that does not read; then only what is said once is added."""

_PASSING = (b"STATUS=", b"WATCHDOG=", b"EXTEND_TIMEOUT_USEC=")

LONGEST_STATUS = 400
"""Characters; `systemctl status` shows one line."""


class PassedFd(msgspec.Struct, frozen=True):
    """A descriptor that systemd has opened or kept."""

    fd: int
    name: str
    """FileDescriptorName= of the socket unit, or the FDNAME that it was stored with."""

    @property
    def is_stored(self) -> bool:
        """A server of ours opened it, and systemd has kept it since."""
        return self.name.startswith(STORED_PREFIX)


class Told(msgspec.Struct, frozen=True):
    """What systemd said at the start."""

    notify_socket: str = ""
    """Where messages go; empty: nowhere, nobody asked for any."""
    watchdog_s: float = 0.0
    """So long may pass between two signs of life; 0: as long as it likes."""
    store: bool = False
    """Descriptors may be kept. Before systemd 254 nobody says whether they are: it is tried."""
    fds: tuple[PassedFd, ...] = ()
    environ: Mapping[str, str] = msgspec.field(default_factory=dict)
    """For the program that this process executes next, with the same pid."""


def take(environ: MutableMapping[str, str], pid: int) -> Told:
    """Read the variables, and remove them. Those that are for another process, or make no sense, say nothing."""
    values = {name: environ.pop(name) for name in FROM_SYSTEMD if name in environ}
    address = values.get("NOTIFY_SOCKET", "")
    return Told(
        notify_socket=address,
        watchdog_s=_watchdog_s(values, pid) if address else 0.0,
        store=bool(address) and values.get("FDSTORE", "1") != "0",
        fds=_passed_fds(values, pid),
        environ={name: values[name] for name in _FOR_NEXT_PROGRAM if name in values},
    )


def _watchdog_s(values: Mapping[str, str], pid: int) -> float:
    if values.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    return _number(values.get("WATCHDOG_USEC")) / 1e6


def _passed_fds(values: Mapping[str, str], pid: int) -> tuple[PassedFd, ...]:
    if values.get("LISTEN_PID") != str(pid):
        return ()
    count = _number(values.get("LISTEN_FDS"))
    if count > MOST_FDS:
        return ()
    names = values["LISTEN_FDNAMES"].split(":") if values.get("LISTEN_FDNAMES") else []
    # As sd_listen_fds_with_names(3) calls those without one.
    names += ["unknown"] * (count - len(names))
    return tuple(PassedFd(FIRST_FD + index, names[index]) for index in range(count))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


def message(**fields: object) -> bytes:
    """A datagram of KEY=value lines, short enough to be read, each value on one line."""
    lines = []
    for key, value in fields.items():
        text = " ".join(str(value).split())
        if key == "STATUS" and len(text) > LONGEST_STATUS:
            text = f"{text[: LONGEST_STATUS - 3]}..."
        lines.append(f"{key}={text}".encode("utf-8", "replace"))
    return b"\n".join(lines)[:LONGEST_MESSAGE]


def stored_name(asked: str, real: str, file: str = "") -> str:
    """FDNAME for the socket that listens on `real` because `asked` was asked for; `file` tells its socket file from others.

    They may hold neither colons nor what is not printable ASCII, and no more than 255 bytes (sd_pid_notify_with_fds(3)).
    """
    import hashlib  # only here: it costs a start 3 ms

    digest = hashlib.sha256(f"{asked}\0{real}\0{file}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9._@/-]+", "_", real)[-80:]
    return f"{STORED_PREFIX}{digest}-{readable}"


class Notifier:
    """Sends messages to the service manager, in their order."""

    def __init__(self, address: str) -> None:
        """`address` as in NOTIFY_SOCKET: a path, "@name" of an abstract socket, or empty for nobody."""
        self.error = ""
        """Why messages do not arrive, if they do not; set at the first one."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._sock: socket.socket | None = None
        self._waiting: list[tuple[bytes, tuple[int, ...]]] = []
        if address.startswith(("/", "@")):
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        elif address:
            # "vsock:CID:PORT" is for what a whole virtual machine says to its host.
            self.error = f"NOTIFY_SOCKET={address}: neither a path nor an abstract name"

    def __bool__(self) -> bool:
        """Somebody listens, as far as we know."""
        return self._sock is not None

    @property
    def is_waiting(self) -> bool:
        """The manager's queue was full: call `flush` soon."""
        return bool(self._waiting)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Now, or as soon as there is room. `fds` must stay open until then; one that does not is left out."""
        if self._sock is None:
            return
        self.flush()
        if len(self._waiting) >= LONGEST_QUEUE and data.startswith(_PASSING):
            # There will be another one.
            return
        self._waiting.append((data, tuple(fds)))
        self.flush()

    def flush(self) -> None:
        """Send what had to wait."""
        while self._waiting and self._sock is not None and self._try(self._sock, *self._waiting[0]):
            self._waiting.pop(0)

    def barrier(self, timeout_s: float) -> bool:
        """Wait until the manager has read all before; False: it has not, within that time."""
        if self._sock is None or self._waiting:
            return False
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            sent = self._try(self._sock, b"BARRIER=1", (write,))
            os.close(write)
            write = -1
            poller = select.poll()
            # The manager closes its copy when the message's turn has come: end of file.
            poller.register(read, 0)
            return sent and not self.error and bool(poller.poll(timeout_s * 1000))
        finally:
            os.close(read)
            if write >= 0:
                os.close(write)

    def close(self) -> None:
        """Nothing more will be said."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _try(self, sock: socket.socket, data: bytes, fds: tuple[int, ...]) -> bool:
        """Whether it needs no further attempt."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sock.sendmsg([data], rights, socket.MSG_NOSIGNAL, self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            if error.errno != errno.EBADF:
                name = errno.errorcode.get(error.errno or 0, "")
                self.error = self.error or f"{self._address!r}: {error.strerror} ({name})"
        return True


def close_passed(fds: Sequence[PassedFd]) -> None:
    """Close those that nobody wants."""
    for passed in fds:
        with contextlib.suppress(OSError):
            os.close(passed.fd)
