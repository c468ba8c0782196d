"""USR2 while something else is going on, or with other settings on disk."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from support.gate import Gate
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]


def body(server: Server) -> str:
    return server.get("/").body.decode()


def test_what_is_parked_before_comes_back_after(deployed: Deployed) -> None:
    """Generation 1 is parked when the program changes; then 2 is, whose zygote the program before has started."""
    server = deployed(workers=2)
    deploy(server, "v2")
    server.reload()
    mark = server.mark()
    deploy(server, "v3")
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgraded", after=mark, pid=server.pid)
    server.wait_for_event("reload_done", after=mark, gen=3, parked_gen=2)
    assert body(server) == "v3"
    answer = server.command("rollback", "--wait")
    assert answer.returncode == 0, answer.stderr
    server.wait_for_workers(2, gen=2)
    assert body(server) == "v2"
    # Forward again, and down: the zygotes of both programs obey.
    assert server.reload() == 4
    assert body(server) == "v3"
    assert server.stop() == 0


def test_an_upgrade_that_fails_after_the_exec_leaves_the_parked_one_parked(deployed: Deployed) -> None:
    """The release is good when it is tried, and broken when the new program reloads."""
    server = deployed(workers=1)
    deploy(server, "v2")
    server.reload()
    mark = server.mark()
    once = f"""
    import pathlib
    tried = pathlib.Path({str(server.directory)!r}, "tried")
    if tried.exists():
        raise RuntimeError("good only once")
    tried.touch()
    """
    deploy(server, "v3", once)
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgraded", after=mark)
    failure = server.wait_for_event("reload_failed", after=mark)
    assert "good only once" in failure["error"]
    assert body(server) == "v2"
    assert server.command("rollback", "--wait").returncode == 0
    assert body(server) == "v1"


def test_an_upgrade_during_a_reload_comes_after_it(deployed: Deployed, gate: Gate) -> None:
    server = deployed(workers=1)
    # The reload waits at the gate; the trial and the generation of the upgrade pass it as well.
    deploy(server, "v2", f"os.read(os.open({str(gate.path)!r}, os.O_RDWR), 1)")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_for_event("reload_started", after=mark, gen=2)
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgrade_asked", after=mark)
    assert not server.log.events("upgrade_trial_started", mark), "one thing at a time"
    assert body(server) == "v1"
    gate.open(3)
    server.wait_for_event("reload_done", after=mark, gen=2)
    server.wait_for_event("upgraded", after=mark)
    server.wait_for_event("reload_done", after=mark, gen=3)
    assert body(server) == "v2"


def test_two_who_ask_at_once_get_one_upgrade(deployed: Deployed) -> None:
    server = deployed(workers=1)
    deploy(server, "v2")
    mark = server.mark()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: server.command("upgrade"), range(2)))
    assert [answer.returncode for answer in answers] == [0, 0], [answer.stderr for answer in answers]
    assert body(server) == "v2"
    upgrades = len(server.log.events("upgraded", mark))
    queued = len(server.log.events("upgrade_queued", mark))
    # Whoever came while the first was on its way joined it; whoever came later got one of their own.
    assert (upgrades, queued) in ((1, 1), (2, 0))


def test_an_upgrade_brings_the_settings_on_disk(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.configure({"workers": {"count": 3}, "server": {"listen": [server.address, "127.0.0.1:0"]}})
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("reload_done", after=mark, gen=2)
    server.wait_for_workers(3, gen=2)
    added = server.log.events("listening", mark)[-1]["address"]
    for address in (server.address, added):
        with server.connect(address) as connection:
            assert connection.get("/").status == 200


def test_settings_that_need_a_new_start_are_refused_after_the_exec_and_nothing_else_changes(
    deployed: Deployed,
) -> None:
    server = deployed(workers=1, settings={"server": {"pid_file": "one.pid"}})
    server.configure({"workers": {"count": 3}, "server": {"pid_file": "two.pid"}})
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgraded", after=mark)
    failure = server.wait_for_event("reload_failed", after=mark)
    assert "pid_file" in failure["error"]
    assert len(server.workers()) == 1
    assert body(server) == "v1"
    assert (server.directory / "one.pid").read_text() == f"{server.pid}\n"
    assert not (server.directory / "two.pid").exists()
