"""Signals become bytes, none is merged by us, and what was there before comes back."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from prefork.master.signals import HANDLED, SignalInbox


@pytest.fixture
def inbox() -> Iterator[SignalInbox]:
    inbox = SignalInbox()
    yield inbox
    inbox.close()


def test_each_signal_is_counted(inbox: SignalInbox) -> None:
    # Sent by this process to itself, each is delivered before kill(2) returns.
    for number in [signal.SIGTTIN] * 6 + [signal.SIGHUP]:
        os.kill(os.getpid(), number)
    assert inbox.take() == [signal.SIGTTIN] * 6 + [signal.SIGHUP]
    assert inbox.take() == []


def test_the_loop_is_woken(inbox: SignalInbox) -> None:
    assert not select.select([inbox], [], [], 0)[0]
    os.kill(os.getpid(), signal.SIGUSR1)
    assert select.select([inbox], [], [], 0)[0]


def test_a_flood_neither_blocks_nor_prints(inbox: SignalInbox, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3000):
        os.kill(os.getpid(), signal.SIGWINCH)
    assert signal.SIGWINCH in inbox.take()
    assert capfd.readouterr().err == ""


def test_an_ignored_and_blocked_signal_is_heard() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    inbox = SignalInbox()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        assert inbox.take() == [signal.SIGHUP]
    finally:
        inbox.close()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_handlers_are_put_back() -> None:
    before = {number: signal.getsignal(number) for number in HANDLED}
    SignalInbox().close()
    assert {number: signal.getsignal(number) for number in HANDLED} == before
