"""The journal's own protocol: one datagram a record, with a field for each value.

Owns: its encoding, the socket, and records that are too large for a datagram. Runs in: every process. Must not know: whether the
journal is wanted (see `sinks`).

The protocol: systemd's JOURNAL_NATIVE_PROTOCOL. `NAME=value` and a newline; a value with a newline in it is `NAME`, a newline,
its length as 64 bits little-endian, the value, a newline. What does not fit a datagram is sent as a memfd that is sealed, so that
nobody changes it while it is read. There is no SYSLOG_IDENTIFIER: without one, journalctl shows the name of the process, which
says its role ("prefork: master"). SyslogIdentifier= of a unit is for lines of stdout and stderr only.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping

from prefork.observe.logfmt import format_pairs
from prefork.observe.message_ids import MESSAGE_IDS
from prefork.observe.record import TRACEBACK, Record, text_of

SOCKET = "/run/systemd/journal/socket"

STREAM_VARIABLE = "JOURNAL_STREAM"
"""Device and inode of the stream that leads to the journal (systemd.exec(5))."""

PATIENCE_S = 1.0
"""How long a record waits for a journal that does not read. When that was in vain, those after it do not wait."""

MAX_TRACEBACK = 512 * 1024

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""syslog(3)."""

_NAMES = {"gen": "GENERATION"}
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]")
_LONGEST_NAME = 64
"""systemd.journal-fields(7): capitals, digits, underscores, at most 64 of them."""

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)


def is_journal(fd: int, environment: Mapping[str, str]) -> bool:
    """Whether what is written to `fd` ends up in the journal."""
    device, colon, inode = environment.get(STREAM_VARIABLE, "").partition(":")
    if not (colon and device.isdecimal() and inode.isdecimal()):
        return False
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (int(device), int(inode))


def journal_packet(record: Record) -> bytes:
    """A record as the journal takes it."""
    return b"".join(_field(name, value) for name, value in _fields(record))


def _fields(record: Record) -> Iterator[tuple[str, str]]:
    trace = record.traceback.rstrip("\n")[-MAX_TRACEBACK:]
    yield "PRIORITY", str(_PRIORITIES[record.level])
    yield "MESSAGE", _message(record, trace)
    if record.event:
        if record.event in MESSAGE_IDS:
            yield "MESSAGE_ID", MESSAGE_IDS[record.event]
        yield "PREFORK_EVENT", record.event
        if trace:
            yield "PREFORK_TRACEBACK", trace
    for key, value in record.everything.items():
        yield field_name(key), text_of(value)


def _message(record: Record, trace: str) -> str:
    """What `journalctl` shows: the event, its values, and below it the traceback."""
    if not record.event:
        return trace
    if record.event == TRACEBACK:
        return trace or record.event
    shown = {key: text_of(value) for key, value in record.everything.items() if key != "role"}
    line = f"{record.event} {format_pairs(shown)}".rstrip()
    return f"{line}\n{trace}" if trace else line


def field_name(key: str) -> str:
    """The journal's name for a field of ours: `worker` is PREFORK_WORKER, `gen` PREFORK_GENERATION."""
    name = _NAMES.get(key) or _NOT_IN_A_NAME.sub("_", key.upper())
    return f"PREFORK_{name}"[:_LONGEST_NAME]


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        return b"%b\n%b%b\n" % (name.encode(), struct.pack("<Q", len(data)), data)
    return b"%b=%b\n" % (name.encode(), data)


class JournalSocket:
    """Sends packets to the journal. Never raises, never waits for long."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._pid = 0
        self._waits = True
        self.lost = 0
        """Packets lost since the last one that was taken: the journal does not read."""
        try:
            # At once: a socket that appears while the application is imported would look like one of its own.
            self._open()
        except OSError:
            # No descriptor is free; it is tried again.
            pass

    def close(self) -> None:
        """Give the socket back. May be called again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, packet: bytes) -> bool:
        """False: there is no journal, and the record has to go elsewhere. (One that is lost counts as sent: see `lost`.)"""
        try:
            sock = self._open()
            # Not connected: the journal may be restarted, and then another socket has this name.
            flags = 0 if self._waits else socket.MSG_DONTWAIT
            try:
                sock.sendto(packet, flags, self._path)
            except OSError as error:
                if error.errno not in _TOO_LARGE:
                    raise
                self._send_large(sock, packet, flags)
        except BlockingIOError:
            self.lost += 1
            self._waits = False
            return True
        except OSError:
            return False
        self.lost, self._waits = 0, True
        return True

    def _open(self) -> socket.socket:
        # A worker does not share the socket of its zygote: that one has its own send buffer.
        if self._socket is None or self._pid != os.getpid():
            self.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            # The time limit of the kernel, for poll(2) says nothing of a peer that one is not connected to.
            seconds, fraction = divmod(PATIENCE_S, 1)
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(fraction * 1e6))
            )
            self._socket, self._pid = sock, os.getpid()
        return self._socket

    def _send_large(self, sock: socket.socket, packet: bytes, flags: int) -> None:
        fd = os.memfd_create("prefork-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(packet)
            while rest:
                rest = rest[os.write(fd, rest) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            sock.sendmsg([b""], ancillary, flags, self._path)
        finally:
            os.close(fd)
