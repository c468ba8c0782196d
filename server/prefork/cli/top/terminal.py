"""The terminal while `prefork top` has it.

Owns: raw keys, the alternate screen, the cursor, and that all of it is given back, whatever ends the program. Sequences as
xterm has them ("XTerm Control Sequences"), which all terminals of today and tmux and screen follow. Runs in: cli. Must not
know: what is drawn.
"""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Sequence
from types import FrameType
from typing import Any

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""Alternate screen; no cursor; lines that are too long are cut, not wrapped."""
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_TOLD = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class LeaveError(Exception):
    """A signal wants the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Terminal:
    """A context manager: inside of it the screen is ours."""

    def __init__(self, keys_fd: int, screen_fd: int) -> None:
        self.keys_fd = keys_fd
        self._screen_fd = screen_fd
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._drawn: list[str] = []
        self.signals_fd = -1
        """Readable when one of the signals that change the screen came; see `take_signals`."""
        self._signals_write_fd = -1

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self.keys_fd)
        self.signals_fd, self._signals_write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for number in (*_ENDING, *_TOLD):
                handler = self._end if number in _ENDING else self._note
                self._handlers[number] = signal.signal(number, handler)
            self._take()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        # Nothing may come in between: a second signal would leave the terminal half restored.
        for number in self._handlers:
            if number in _ENDING:
                signal.signal(number, signal.SIG_IGN)
        self._give_back()
        for before, handler in self._handlers.items():
            signal.signal(before, handler)
        for fd in (self.signals_fd, self._signals_write_fd):
            os.close(fd)

    def _take(self) -> None:
        tty.setcbreak(self.keys_fd, termios.TCSANOW)
        self._write(_ENTER)
        self._drawn = []

    def _give_back(self) -> None:
        # The terminal may be gone (EIO after a hangup): then there is nothing to restore.
        with contextlib.suppress(OSError):
            self._write(_LEAVE)
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(
                self.keys_fd, termios.TCIFLUSH
            )  # keys that nobody will read are not for the shell
            termios.tcsetattr(self.keys_fd, termios.TCSANOW, self._before)

    # signals ----------------------------------------------------------------------------------------------------

    def _end(self, number: int, _frame: FrameType | None) -> None:
        # An exception, not a note: it also ends a write to a terminal that takes nothing.
        raise LeaveError(number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):  # as many as fit are enough
            os.write(self._signals_write_fd, bytes([number]))

    def take_signals(self) -> None:
        """See to the signals that came: stop with the terminal as it was, draw all lines anew."""
        try:
            came = os.read(self.signals_fd, 4096)
        except BlockingIOError:
            return
        if signal.SIGTSTP in came:
            self._stop()
        self.forget()

    def _stop(self) -> None:
        self._give_back()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            signal.raise_signal(signal.SIGTSTP)  # this call ends when the shell says so (fg)
        finally:
            signal.signal(signal.SIGTSTP, ours)
        self._take()

    # screen -----------------------------------------------------------------------------------------------------

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            width, height = os.get_terminal_size(self._screen_fd)
        except OSError:
            return 80, 24
        return width or 80, height or 24  # a serial line knows neither

    def forget(self) -> None:
        """Whatever is on the screen, the next `show` writes all lines."""
        self._drawn = []

    def show(self, lines: Sequence[str]) -> None:
        """These lines, from the top; only those that changed go over the wire."""
        out = [] if self._drawn else ["\x1b[2J"]
        for number, line in enumerate(lines):
            if number >= len(self._drawn) or line != self._drawn[number]:
                # Erased first: after a line as wide as the screen the cursor is still on its last column.
                out.append(f"\x1b[{number + 1};1H\x1b[0m\x1b[K{line}")
        # Kept only when it is written: an interrupted write leaves nobody knows what.
        self._drawn = []
        if out:
            self._write("".join(out))
        self._drawn = list(lines)

    def _write(self, written: str) -> None:
        data = written.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._screen_fd, data) :]
