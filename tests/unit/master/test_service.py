"""What systemd is told, and when: with a manager made of a socket, a clock made of a number."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefork.errors import ConfigError, ListenError
from prefork.ipc.status import CountersStatus, GenerationStatus, Status, WorkerStatus
from prefork.master import service as module
from prefork.master.notes import Note
from prefork.master.service import Service
from prefork.master.servicestatus import status_line
from prefork.net.address import parse_address
from prefork.net.listeners import Keeper, Listener, ListenSpec, bind_all
from prefork.systemd import PassedFd, Told, stored_name


def status(state: str = "serving", *, busy: int = 0, requests: int = 0, **changed: Any) -> Status:
    workers = [
        WorkerStatus(
            worker=number,
            id=number,
            pid=number,
            generation=1,
            state="accepting",
            age_s=1.0,
            busy=int(number <= busy),
        )
        for number in (1, 2)
    ]
    fields: dict[str, Any] = {
        "name": "shop",
        "pid": 1,
        "version": "1",
        "uptime_s": 1.0,
        "state": state,
        "generation": 1,
        "workers_wanted": 2,
        "generations": [],
        "workers": workers,
        "listeners": [],
        "counters": CountersStatus(requests=requests),
    }
    return Status(**{**fields, **changed})


class World:
    """A service and whatever it is told about."""

    def __init__(self, directory: Path, watchdog_s: float = 0.0, fds: Sequence[PassedFd] = ()) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "notify"))
        self.manager.setblocking(False)
        self.now = 100.0
        self.status = status("starting", generation=None, workers=[])
        self.listeners: list[Listener] = []
        self.warnings: list[str] = []
        told = Told(str(directory / "notify"), watchdog_s, True, tuple(fds), {"NOTIFY_SOCKET": "x"})
        self.service = Service(told, lambda: self.now)

    def attach(self, *, resumed: bool = False) -> World:
        journal: Any = SimpleNamespace(
            follow=lambda follower: None, warning=lambda event, **fields: self.warnings.append(event)
        )
        self.service.begin(60.0)
        self.service.attach(journal, lambda: self.status, lambda: self.listeners, resumed=resumed)
        return self

    def running(self) -> World:
        self.attach()
        self.status = status()
        self.hear("ready")
        self.service.turn()
        self.said()
        return self

    def hear(self, event: str, level: Any = "info", **fields: object) -> None:
        self.service.hear(Note(level, event, fields))

    def said(self) -> list[dict[str, str]]:
        """What has arrived since the last look, each message as its fields."""
        found = []
        while True:
            try:
                data = self.manager.recv(4096).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in data.splitlines()))

    def close(self) -> None:
        self.service.close()
        self.manager.close()
        for listener in self.listeners:
            listener.unlink_and_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, watchdog_s=10.0)
    yield made
    made.close()


def listen(text: str) -> Listener:
    (listener,) = bind_all([ListenSpec(parse_address(text))], 16)
    return listener


# -- the start -----------------------------------------------------------------------------------------------------------


def test_ready_is_said_when_all_workers_accept_and_not_before(world: World) -> None:
    world.attach()
    world.hear("worker_ready")
    world.service.turn()
    assert not any("READY" in each for each in world.said())
    world.status = status()
    world.hear("ready")
    (said,) = world.said()
    assert said["READY"] == "1" and said["STATUS"].startswith("generation 1 serves: 2 workers")


def test_a_slow_start_is_given_time_while_the_loop_turns(world: World) -> None:
    world.attach()
    assert any("EXTEND_TIMEOUT_USEC" in each for each in world.said())
    for _ in range(3):
        deadline = world.service.deadline
        assert deadline is not None
        world.now = deadline
        world.service.turn()
        assert any("EXTEND_TIMEOUT_USEC" in each for each in world.said())
    world.now += 2 * 60 + module.LONGEST_START_S
    assert world.service.deadline is None, "not for ever"


def test_why_it_does_not_start_is_the_last_word(world: World) -> None:
    world.attach()
    world.hear("boot_failed", "error", stage="import", error="no module")
    world.status = status("stopping", workers=[])
    world.hear("worker_exited")
    world.service.turn()
    assert world.said()[-1] == {"STATUS": "the application does not start (import): no module"}


def test_errors_before_the_pool_have_their_number(world: World) -> None:
    try:
        raise ListenError("cannot listen on a:1") from OSError(98, "in use")
    except ListenError as error:
        world.service.failed(error)
    world.service.failed(ConfigError(["one", "two"]))
    assert world.said() == [
        {"STATUS": "did not start: cannot listen on a:1", "ERRNO": "98"},
        {"STATUS": "did not start: one two"},
    ]


# -- reloads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["reload", "rollback"])
@pytest.mark.parametrize("how", ["done", "failed"])
def test_every_reload_is_said_to_begin_and_to_end(world: World, what: str, how: str) -> None:
    world.running()
    world.hear(f"{what}_started", gen=2)
    began = world.said()
    assert began[0]["RELOADING"] == "1" and int(began[0]["MONOTONIC_USEC"]) > 0
    assert "EXTEND_TIMEOUT_USEC" in began[1]
    world.hear(f"{what}_{how}", "error", gen=2, stage="import", error="why")
    (ended,) = world.said()
    assert ended["READY"] == "1"
    assert (f"the last {what} failed (import): why" in ended["STATUS"]) is (how == "failed")
    world.service.turn()
    assert world.service.deadline is None, "nothing is left to be renewed"


def test_a_failure_is_told_until_a_reload_succeeds(world: World) -> None:
    world.running()
    world.hear("reload_started")
    world.hear("reload_failed", stage="import", error="why")
    world.hear("worker_ready")
    world.service.turn()
    world.said()
    world.hear("reload_started")
    world.hear("reload_done")
    assert "failed" not in world.said()[-1]["STATUS"]


def test_a_generation_that_replaces_a_dead_zygote_is_no_reload(world: World) -> None:
    world.running()
    world.hear("reload_started", reason="zygote_died")
    world.hear("reload_done")
    world.service.turn()
    assert not any({"RELOADING", "READY"} & set(each) for each in world.said())


# -- the end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["stopping", "stop_awaits_drain", "draining"])
def test_stopping_is_said_at_once_and_once(world: World, event: str) -> None:
    world.running()
    world.status = status("stopping")
    world.hear(event, by="SIGTERM")
    said = world.said()
    assert said[0]["STOPPING"] == "1" and said[0]["STATUS"] == "stopping: 2 workers to finish"
    assert "EXTEND_TIMEOUT_USEC" in said[1]
    world.hear("stopping", by="SIGTERM")
    assert not any("STOPPING" in each for each in world.said())
    deadline = world.service.deadline
    assert deadline is not None
    world.now = deadline
    world.service.turn()
    assert any("EXTEND_TIMEOUT_USEC" in each for each in world.said())


def test_a_drain_that_nobody_stops_after_is_no_stop(world: World) -> None:
    world.running()
    world.hear("draining", by="control")
    assert not any("STOPPING" in each for each in world.said())


# -- signs of life -------------------------------------------------------------------------------------------------------


def test_an_idle_server_without_a_watchdog_is_never_woken(world: World) -> None:
    world.running()
    assert world.service.deadline is None


def test_signs_of_life_come_twice_in_the_time_and_only_from_the_loop(watched: World) -> None:
    watched.attach()
    watched.status = status()
    watched.hear("ready")
    assert watched.said()[-1]["WATCHDOG"] == "1", "with READY: the time begins there"
    watched.service.turn()
    watched.said()
    assert watched.service.deadline == watched.now + 5.0
    watched.now += 4.9
    watched.service.turn()
    assert watched.said() == []
    watched.now += 0.1
    assert watched.said() == [], "time alone says nothing"
    watched.service.turn()
    (said,) = watched.said()
    assert said["WATCHDOG"] == "1"


def test_an_extension_does_not_stretch_the_watchdog(watched: World) -> None:
    watched.running()
    watched.hear("reload_started")
    said = watched.said()
    assert "EXTEND_TIMEOUT_USEC" in said[-2] and said[-1] == {"WATCHDOG": "1"}


def test_an_upgrade_is_given_time_and_the_next_program_knows_whom_to_tell(watched: World) -> None:
    watched.running()
    assert dict(watched.service.hand_over()) == {"NOTIFY_SOCKET": "x"}
    (said,) = watched.said()
    assert "EXTEND_TIMEOUT_USEC" in said and "MAINPID" not in said


def test_after_an_upgrade_all_is_ready_still(watched: World) -> None:
    watched.attach(resumed=True)
    watched.status = status()
    watched.said()
    watched.service.turn()
    assert watched.said()[0]["WATCHDOG"] == "1"
    watched.hear("reload_started")
    watched.hear("reload_done")
    assert watched.said()[-1]["READY"] == "1"


# -- the line ------------------------------------------------------------------------------------------------------------


def test_the_line_follows_what_happens_and_is_not_repeated(watched: World) -> None:
    watched.running()
    watched.status = status(busy=1)
    watched.service.turn()
    assert watched.said() == [], "nobody told that anything has changed"
    watched.hear("worker_ready")
    watched.service.turn()
    assert watched.said() == [{"STATUS": "generation 1 serves: 2 workers, 1 busy"}]
    watched.hear("worker_ready")
    watched.service.turn()
    assert watched.said() == []
    watched.status = status(busy=1, requests=500)
    watched.now += 5.0
    watched.service.turn()
    (said,) = watched.said()
    assert said["STATUS"] == "generation 1 serves: 2 workers, 1 busy, 100 requests/s"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (status("starting", generation=None, workers=[]), "starting: the application is imported"),
        (status("paused", workers=[]), "paused: no workers, connections wait"),
        (status("stopping", workers=[]), "stopping"),
        (
            status(workers_wanted=0, workers=[]),
            "generation 1 serves: no workers, the first connection starts one, 7.0 requests/s",
        ),
        (status(workers_wanted=3), "generation 1 serves: 2 of 3 workers, 0 busy, 7.0 requests/s"),
        (status("draining"), "draining; generation 1 serves: 2 workers, 0 busy, 7.0 requests/s"),
        (
            status(
                "reloading",
                generations=[
                    GenerationStatus(number=1, state="active", zygote_pid=1, zygote="ready", preloaded=True),
                    GenerationStatus(
                        number=2, state="booting", zygote_pid=2, zygote="booting", preloaded=False
                    ),
                ],
            ),
            "reloading to generation 2; generation 1 serves: 2 workers, 0 busy, 7.0 requests/s",
        ),
    ],
)
def test_the_words_of_the_line(found: Status, line: str) -> None:
    assert status_line(found, 7.0, "") == line


# -- listeners that outlive the master -----------------------------------------------------------------------------------


def test_listeners_bound_here_are_kept_and_those_given_up_are_not(world: World, tmp_path: Path) -> None:
    tcp, unix, unit = listen("127.0.0.1:0"), listen(f"unix:{tmp_path}/s"), listen("127.0.0.1:0")
    unit.keeper = Keeper.UNIT
    world.listeners = [tcp, unix, unit]
    world.attach()
    stored = [each["FDNAME"] for each in world.said() if "FDSTORE" in each]
    assert stored == [tcp.name, unix.name]
    assert tcp.name == stored_name("127.0.0.1:0", str(tcp.address))
    assert (tcp.keeper, unit.keeper) == (Keeper.STORE, Keeper.UNIT)
    world.status = status()
    world.hear("ready")
    world.said()
    world.hear("reload_started")
    world.listeners = [unix, unit]
    world.hear("reload_done")
    said = world.said()
    assert {"FDSTOREREMOVE": "1", "FDNAME": tcp.name} in said and not any("FDSTORE" in each for each in said)
    tcp.unlink_and_close()
    # At a stop the file stays: connections to it wait for the next master.
    unix.unlink_and_close()
    assert (tmp_path / "s").exists()


def test_a_failed_reload_keeps_what_was_kept(world: World) -> None:
    world.listeners = [listen("127.0.0.1:0")]
    world.running()
    world.hear("reload_started")
    world.hear("reload_failed", stage="listen", error="why")
    assert not any({"FDSTORE", "FDSTOREREMOVE"} & set(each) for each in world.said())


def test_what_systemd_passes_is_told_apart(tmp_path: Path) -> None:
    ours, theirs = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    for sock in (ours, theirs):
        sock.setblocking(True)
    passed = [PassedFd(ours.detach(), "prefork-abc-x"), PassedFd(theirs.detach(), "http")]
    world = World(tmp_path, fds=passed)
    world.listeners = world.service.inherited()
    assert [(each.keeper, each.name) for each in world.listeners] == [
        (Keeper.STORE, "prefork-abc-x"),
        (Keeper.UNIT, "http"),
    ]
    assert not any(
        os.get_blocking(each.fileno()) or os.get_inheritable(each.fileno()) for each in world.listeners
    )
    world.service.give_up([])
    world.attach()
    assert not any("FDSTORE" in each for each in world.said()), "it has it already"
    world.close()


def test_what_cannot_be_served_is_refused_and_a_store_forgets_it(tmp_path: Path) -> None:
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    read, write = os.pipe()
    unbound = socket.socket()
    world = World(tmp_path, fds=[PassedFd(read, "prefork-abc-pipe")])
    assert world.service.inherited() == []
    assert world.said() == [{"FDSTOREREMOVE": "1", "FDNAME": "prefork-abc-pipe"}]
    os.close(write)
    world.close()
    for fd, what in (
        (datagram.detach(), "no stream socket"),
        (unbound.detach(), "does not listen"),
        (9999, "not usable"),
    ):
        (tmp_path / "notify").unlink(missing_ok=True)
        world = World(tmp_path, fds=[PassedFd(fd, "http")])
        with pytest.raises(ListenError, match=f'systemd passed what cannot be served: .*"http".* {what}'):
            world.service.inherited()
        world.close()


def test_a_manager_that_is_away_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.manager.close()
    world.attach()
    for _ in range(3):
        world.hear("worker_ready")
        world.service.turn()
    assert world.warnings == ["systemd_not_notified"]
    world.close()
