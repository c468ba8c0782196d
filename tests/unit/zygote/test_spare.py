"""Whether there is a spare zygote, and what the master hears if there cannot be one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prefork.ipc.channel import Channel, ChannelClosed
from prefork.ipc.messages import BearSpare
from prefork.zygote import spare

ORDER = BearSpare(title="prefork: spare")


class Fresh:
    lost = False

    def is_lost(self) -> bool:
        return self.lost


class Lost(Fresh):
    lost = True


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Channel, Channel, Channel]]:
    """The master's end of the spare's channel, the spare's, and the zygote's own channel."""
    monkeypatch.setattr(spare._Self, "freshness", None)
    monkeypatch.setattr(spare._Self, "is_spare", False)
    monkeypatch.setattr(spare, "other_threads", list)
    monkeypatch.setattr(spare, "Freshness", Fresh)
    monkeypatch.setattr(spare, "setproctitle", lambda _title: None)
    monkeypatch.setattr(spare.orphan, "fork", lambda *_: True)
    masters, theirs = Channel.pair()
    ours, zygotes = Channel.pair()
    yield masters, theirs, ours
    for channel in (masters, theirs, ours, zygotes):
        channel.close()


def test_the_spare_has_its_own_channel_alone(ends: tuple[Channel, Channel, Channel]) -> None:
    masters, theirs, ours = ends
    assert spare.bear(ORDER, theirs, ours)
    assert ours.fileno() == -1
    assert masters.receive() is None
    assert not spare.is_outdated()


def test_the_zygote_keeps_nothing_of_it(
    ends: tuple[Channel, Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, theirs, ours = ends
    monkeypatch.setattr(spare.orphan, "fork", lambda *_: False)
    assert not spare.bear(ORDER, theirs, ours)
    assert (theirs.fileno(), ours.fileno() >= 0) == (-1, True)
    assert not spare.is_outdated()


def no_memory(*_: object) -> bool:
    raise OSError(12, "Cannot allocate memory")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("other_threads", lambda: ["a thread of sitecustomize"]),
        ("Freshness", Lost),
        ("Freshness", no_memory),
        ("orphan.fork", no_memory),
    ],
)
def test_where_there_can_be_none_the_channel_ends(
    ends: tuple[Channel, Channel, Channel], monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    masters, theirs, ours = ends
    monkeypatch.setattr(f"prefork.zygote.spare.{name}", value)
    assert not spare.bear(ORDER, theirs, ours)
    with pytest.raises(ChannelClosed):
        masters.receive()
    assert ours.fileno() >= 0


def test_a_spare_finds_out_that_it_has_waited_for_too_long(ends: tuple[Channel, Channel, Channel]) -> None:
    _, theirs, ours = ends
    assert spare.bear(ORDER, theirs, ours)
    freshness = spare._Self.freshness
    assert isinstance(freshness, Fresh)
    freshness.lost = True
    assert spare.is_outdated()
