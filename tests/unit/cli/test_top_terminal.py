"""The terminal while `prefork top` has it: what is written to it, and that it is given back."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Iterator

import pytest

from prefork.cli.top.terminal import LeaveError, Terminal

ENTERED = b"\x1b[?1049h\x1b[?25l\x1b[?7l"
LEFT = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


class Screen:
    """The other side of a terminal."""

    def __init__(self) -> None:
        self.ours, self.fd = pty.openpty()

    def written(self) -> bytes:
        """What came since the last call."""
        data = b""
        while select.select([self.ours], [], [], 0)[0]:
            data += os.read(self.ours, 65536)
        return data

    def close(self) -> None:
        for fd in {self.ours, self.fd} - {-1}:
            os.close(fd)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
def test_it_is_given_back_whatever_happens(screen: Screen, error: type[BaseException] | None) -> None:
    before = termios.tcgetattr(screen.fd)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    try:
        with Terminal(screen.fd, screen.fd):
            assert screen.written() == ENTERED
            assert not termios.tcgetattr(screen.fd)[3] & (termios.ECHO | termios.ICANON)
            if error is not None:
                raise error
    except BaseException as raised:  # noqa: BLE001
        assert error is not None
        assert isinstance(raised, error)
    assert screen.written() == LEFT
    assert termios.tcgetattr(screen.fd) == before
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_is_an_exception(screen: Screen, number: signal.Signals) -> None:
    with pytest.raises(LeaveError) as raised, Terminal(screen.fd, screen.fd):
        signal.raise_signal(number)
    assert raised.value.number == number
    assert screen.written().endswith(LEFT)


def test_a_terminal_that_is_gone_is_left_alone(screen: Screen) -> None:
    with Terminal(screen.fd, screen.fd):
        os.close(screen.ours)
        screen.ours = -1


def test_only_lines_that_changed_are_written(screen: Screen) -> None:
    with Terminal(screen.fd, screen.fd) as terminal:
        screen.written()
        terminal.show(["one", "two"])
        assert screen.written() == b"\x1b[2J\x1b[1;1H\x1b[0m\x1b[Kone\x1b[2;1H\x1b[0m\x1b[Ktwo"
        terminal.show(["one", "2"])
        assert screen.written() == b"\x1b[2;1H\x1b[0m\x1b[K2"
        terminal.show(["one", "2"])
        assert screen.written() == b""
        signal.raise_signal(signal.SIGWINCH)
        assert select.select([terminal.signals_fd], [], [], 0)[0]
        terminal.take_signals()
        assert not select.select([terminal.signals_fd], [], [], 0)[0]
        terminal.show(["one", "2"])
        assert screen.written().startswith(b"\x1b[2J")


def test_its_size(screen: Screen) -> None:
    with Terminal(screen.fd, screen.fd) as terminal:
        assert terminal.size() == (80, 24)  # a new one knows none
        fcntl.ioctl(screen.fd, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
        assert terminal.size() == (132, 50)
