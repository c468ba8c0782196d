"""A full queue is told about once in a while, and nobody is woken up to look at an empty one."""

from __future__ import annotations

from prefork.ipc.status import QueueStatus
from prefork.master.queuewatch import AT_MOST_EVERY_S, EVERY_S, TELL_EVERY_S, QueueWatch


class World:
    """Queues, a clock, the kernel's count and a log."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.refused: int | None = 5
        self.lengths = {"127.0.0.1:80": 0, "unix:/x": 0}
        self.limit = 10
        self.looks = 0
        self.said: list[tuple[str, dict[str, object]]] = []
        self.watch = QueueWatch(self, self, lambda: self.refused, lambda: self.now)

    def look(self) -> list[QueueStatus]:
        self.looks += 1
        return [
            QueueStatus(address=address, length=length, highest=length, limit=self.limit)
            for address, length in self.lengths.items()
        ]

    def warning(self, event: str, /, **fields: object) -> None:
        self.said.append((event, fields))

    def turn(self, after_s: float = EVERY_S) -> None:
        self.now += after_s
        self.watch.turn()


def test_nobody_is_woken_for_empty_queues() -> None:
    world = World()
    world.turn()
    assert world.watch.deadline is None
    world.lengths["unix:/x"] = 1
    world.turn()
    assert world.watch.deadline == world.now + EVERY_S
    world.lengths["unix:/x"] = 0
    world.turn()
    assert world.watch.deadline is None
    assert world.said == []


def test_a_busy_master_does_not_look_in_every_turn() -> None:
    world = World()
    for _ in range(10):
        world.turn(AT_MOST_EVERY_S / 10)
    assert world.looks == 1


def test_a_full_queue_is_told_about_once_a_minute_and_address() -> None:
    world = World()
    world.lengths["127.0.0.1:80"] = 9
    world.turn()
    assert world.said == []
    world.lengths["127.0.0.1:80"] = 10
    for _ in range(int(TELL_EVERY_S * 2 / EVERY_S)):
        world.turn()
    assert [event for event, _ in world.said] == ["listen_queue_full"] * 2
    fields = world.said[0][1]
    assert (fields["address"], fields["waiting"], fields["limit"]) == ("127.0.0.1:80", 10, 10)
    assert "[workers]" in str(fields["hint"])
    world.lengths["unix:/x"] = 11
    world.turn()
    assert world.said[-1][1]["address"] == "unix:/x"


def test_who_was_refused_between_two_looks_is_told_about_while_somebody_waits() -> None:
    world = World()
    world.refused = 8
    world.turn()
    assert world.said == []  # perhaps another program's
    world.lengths["127.0.0.1:80"] = 1
    world.turn()
    ((_, fields),) = world.said
    assert fields["refused_in_namespace"] == 3


def test_without_a_limit_or_a_count_nothing_is_claimed() -> None:
    world = World()
    world.limit, world.refused = 0, None
    world.lengths["127.0.0.1:80"] = 1
    world.turn()
    world.refused = 7
    world.turn()
    assert world.said == []
