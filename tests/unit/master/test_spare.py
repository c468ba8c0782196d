"""The master's idea of the spare zygote: there, not there yet, or not there any more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from prefork.ipc.channel import Channel, ChannelClosed
from prefork.ipc.messages import BearSpare, SpareBorn
from prefork.master.spare import Spare

ENVIRONMENT = {"LANG": "C"}


class Zygote:
    """The other side: hears the order, and has a process that may be the spare."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.masters, self.own = Channel.pair()
        self.channels: list[Channel] = []

    def hear(self) -> Channel:
        received = self.own.receive()
        assert received is not None
        assert received.message == BearSpare(title="prefork: spare")
        self.channels.append(Channel.from_fd(received.fds[0]))
        return self.channels[-1]

    def bear(self) -> Channel:
        theirs = self.hear()
        assert theirs.send(SpareBorn(pid=self.process.pid))
        return theirs


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        zygote = Zygote(process)
        yield zygote
        process.kill()
    for channel in (zygote.masters, zygote.own, *zygote.channels):
        channel.close()


@pytest.fixture
def spare(zygote: Zygote) -> Iterator[Spare]:
    one = Spare()
    one.ask(zygote.masters, ENVIRONMENT, "prefork: spare")
    yield one
    one.end()


def has_ended(channel: Channel) -> bool:
    try:
        return channel.receive() is not None
    except ChannelClosed:
        return True


def test_there_is_none_that_nobody_has_asked_for() -> None:
    assert Spare().take(ENVIRONMENT) is None
    Spare().end()


def test_it_is_taken_once(spare: Spare, zygote: Zygote) -> None:
    theirs = zygote.bear()
    taken = spare.take(dict(ENVIRONMENT))
    assert taken is not None
    assert taken.pid == zygote.process.pid
    assert spare.take(ENVIRONMENT) is None
    spare.end()
    assert zygote.process.poll() is None
    masters = Channel.from_fd(taken.channel_fd)
    assert masters.send(BearSpare(title="the next one"))
    masters.close()
    received = theirs.receive()
    assert received is not None
    assert received.message == BearSpare(title="the next one")


def test_one_that_is_not_born_yet_is_not_waited_for(spare: Spare, zygote: Zygote) -> None:
    theirs = zygote.hear()
    assert spare.take(ENVIRONMENT) is None
    assert has_ended(theirs)


def test_one_that_has_died_is_none_and_nobody_is_killed_in_its_place(spare: Spare, zygote: Zygote) -> None:
    """Its number may be another process's by now."""
    zygote.bear().close()
    assert spare.take(ENVIRONMENT) is None
    assert zygote.process.poll() is None


@pytest.mark.parametrize("how", ["another environment", "the end", "the next one"])
def test_one_that_is_not_wanted_any_more_is_gone(spare: Spare, zygote: Zygote, how: str) -> None:
    zygote.bear()
    if how == "another environment":
        assert spare.take({"LANG": "de_DE.UTF-8"}) is None
    elif how == "the end":
        spare.end()
    else:
        spare.ask(zygote.masters, ENVIRONMENT, "prefork: spare")
    # It has been collected.
    assert zygote.process.poll() is not None


def test_a_zygote_that_is_gone_has_none(zygote: Zygote) -> None:
    zygote.own.close()
    one = Spare()
    one.ask(zygote.masters, ENVIRONMENT, "prefork: spare")
    assert one.take(ENVIRONMENT) is None
