"""What a running server has counted: its own numbers, and those of its application."""

from __future__ import annotations

import os

from prefork.ipc import appmetrics
from prefork.ipc.appmetrics import Family
from prefork.ipc.status import Status, decode_status
from support import processes
from support.server import Server


def status_of(server: Server) -> Status:
    """What it says about itself."""
    done = server.command("status", "--json")
    assert done.returncode == 0, done.stderr
    return decode_status(done.stdout.encode())


def metrics_of(server: Server) -> dict[str, Family]:
    """What its application has counted, read from the master's own descriptor."""
    for number, name in processes.descriptors(server.pid).items():
        if "prefork-metrics" in name:
            fd = os.open(f"/proc/{server.pid}/fd/{number}", os.O_RDONLY)
            try:
                return {family.name: family for family in appmetrics.read(fd)}
            finally:
                os.close(fd)
    raise AssertionError("the master has no memory for metrics")


def value_of(server: Server, name: str) -> float:
    """Of a metric without labels."""
    family = metrics_of(server).get(name)
    return 0.0 if family is None else sum(sample.value for sample in family.samples)
