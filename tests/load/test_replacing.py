"""Recycles, upgrades, reloads and the death of the master under constant load.

Longer with PREFORK_TEST_RECYCLES=20 PREFORK_TEST_UPGRADES=5 PREFORK_TEST_RELOADS=50: the README's numbers come from that.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

from support.deadline import SLOWNESS, Deadline
from support.load import Load, Phase
from support.measured import Measured
from support.server import Server, ServerFactory

RECYCLES = int(os.environ.get("PREFORK_TEST_RECYCLES", "8"))
UPGRADES = int(os.environ.get("PREFORK_TEST_UPGRADES", "2"))
RELOADS = int(os.environ.get("PREFORK_TEST_RELOADS", "4"))
WORKERS = 4
AT_REST = RECYCLES * 75
"""Requests before the operations and again after them, together about as many as during the recycles: what a percentile says
depends on how many there are, and how a machine is doing on the moment."""


def recycle(server: Server, number: int) -> None:
    """One worker, and wait until it has left."""
    mark = server.mark()
    done = server.command("recycle", str(number))
    assert done.returncode == 0, done.stderr
    server.wait_for_event("worker_exited", after=mark, worker=number)


def upgrade(server: Server) -> None:
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgraded", after=mark, pid=server.pid)
    gen = int(server.wait_for_event("reload_done", after=mark)["gen"])
    server.wait_for_workers(WORKERS, gen=gen)


def test_planned_operations_lose_no_request(serve: ServerFactory, measured: Measured) -> None:
    """Reloads by signal here; `test_operations` has them by command, whose own start is beside the workers too."""
    server = serve("whoami:app", workers=WORKERS)
    with Load(server.address) as load:
        load.begin("warm")
        load.wait_for(500)
        rest = load.begin("rest")
        load.wait_for(AT_REST)
        recycling = load.begin("recycles")
        for number in range(RECYCLES):
            recycle(server, number % WORKERS + 1)
        upgrading = load.begin("upgrades")
        for _ in range(UPGRADES):
            upgrade(server)
        reloading = load.begin("reloads")
        for _ in range(RELOADS):
            server.reload()
            load.wait_for(50)
        load.wait_for(100)
        load.begin("rest")
        load.wait_for(AT_REST)
    measured(f"at rest: {rest}")
    together = Phase([*recycling.seconds, *upgrading.seconds, *reloading.seconds])
    for what, phase in (
        (f"{RECYCLES} recycles", recycling),
        (f"{UPGRADES} upgrades", upgrading),
        (f"{RELOADS} reloads", reloading),
        ("together", together),
    ):
        ratio = phase.percentile_ms(99) / rest.percentile_ms(99)
        measured(f"{what}: {phase}; p99 is {ratio:.1f} times that at rest")
    for phase in (rest, recycling, upgrading, reloading):
        assert not phase.failures, phase.failures[:5]
    assert server.stop() == 0


def test_workers_follow_a_killed_master_under_load_and_the_next_start_succeeds(
    serve: ServerFactory, server_factory: ServerFactory, measured: Measured
) -> None:
    server = serve("whoami:app", workers=WORKERS, settings={"server": {"pid_file": "server.pid"}})
    children = [psutil.Process(pid) for pid in server.workers()]
    zygote = psutil.Process(int(server.wait_for_event("zygote_ready")["pid"]))
    address = server.address
    with Load(address) as load:
        load.wait_for(500)
        killed_at = time.monotonic()
        server.process.kill()
        server.process.wait()
        _, alive = psutil.wait_procs([*children, zygote], timeout=Deadline(10).remaining())
        gone_s = time.monotonic() - killed_at
        assert not alive
        settings = {**server.settings, "server": {"listen": [address], "pid_file": "server.pid"}}
        again = server_factory(settings, directory=server.directory)
        again.wait_ready()
        after = load.begin("after")
        load.wait_for(500)
    measured(f"workers of a killed master were gone after {gone_s:.2f} s")
    assert gone_s < 2 * SLOWNESS
    assert len(after.seconds) > 300
