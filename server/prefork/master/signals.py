"""Signals to the master become bytes in a socket, read by its loop.

Owns: which signals there are and what each asks for. Runs in: master. Must not know: what the answer to a signal is.

Nothing happens in a handler: the C handler of the interpreter writes one byte for each signal it is given
(signal.set_wakeup_fd), the Python handlers do nothing, so no code can be interrupted halfway. Bytes are counted, not merged:
six TTIN are six. The kernel itself keeps only one of a standard signal that is still pending (signal(7)), which takes
two signals within the microseconds the C handler needs.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from types import FrameType

HANDLED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
    signal.SIGCHLD,
)


class SignalInbox:
    """Installs the handlers and keeps what arrives until it is read. One a process, in the main thread."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        # A full socket (hundreds of unread signals) is no reason to print a warning from a signal handler.
        self._previous_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        # All of them, whatever they were: nohup leaves SIGHUP ignored, and a reload must still work.
        self._previous = {number: signal.signal(number, _nothing) for number in HANDLED}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._read.fileno()

    def take(self) -> list[signal.Signals]:
        """All signals since the last call, in order."""
        numbers = bytearray()
        with contextlib.suppress(BlockingIOError):
            while chunk := self._read.recv(4096):
                numbers += chunk
        return [signal.Signals(number) for number in numbers if number in HANDLED]

    def close(self) -> None:
        """Put the previous handlers back."""
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._read.close()
        self._write.close()


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
