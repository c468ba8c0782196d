"""slowhttptest, the attacker that Debian ships: while it is at work, everybody else is served."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.crowd import need_descriptors, open_descriptors, settled, wait_until_gone
from support.deadline import SLOWNESS
from support.measured import Measured
from support.server import ServerFactory

TOOL = shutil.which("slowhttptest")
CONNECTIONS, SECONDS = 400, 6
BOUND_S = 1.0 * SLOWNESS

MODES = {
    "slow heads": ["-H", "-i", "1", "-x", "10"],
    "slow bodies": ["-B", "-i", "1", "-s", "100000", "-x", "10", "-t", "POST"],
    "slow reading": ["-X", "-w", "1", "-y", "2", "-n", "2", "-z", "1", "-k", "5"],
    "ranges": ["-R", "-t", "HEAD", "-a", "10", "-b", "3000"],
}


@pytest.mark.skipif(TOOL is None, reason="slowhttptest is not installed (apt-get install slowhttptest)")
@pytest.mark.parametrize("mode", MODES)
def test_everybody_else_is_served(
    serve: ServerFactory, measured: Measured, tmp_path: Path, mode: str
) -> None:
    need_descriptors()
    times = {"header_timeout": 3, "body_timeout": 3, "write_timeout": 3}
    server = serve("probe:app", workers=2, settings={"requests": times})
    workers = list(server.workers())
    before = settled(lambda: sum(map(open_descriptors, workers)), "a number of descriptors")
    url = f"http://{server.address}/" + (f"whole?size={1 << 20}" if mode == "slow reading" else "digest")
    limits = ["-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "3"]
    command = [str(TOOL), *MODES[mode], *limits, "-u", url]
    took: list[float] = []
    most = 0
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as attacker:
        try:
            while attacker.poll() is None:
                start = time.monotonic()
                assert server.get("/").body == b"Hello, World!"
                took.append(time.monotonic() - start)
                most = max(most, sum(map(open_descriptors, workers)) - before)
                time.sleep(0.01)  # the pace of the client
        finally:
            attacker.kill()
    took.sort()
    measured(
        f"{most} connections at most; {len(took)} answers beside it, median {took[len(took) // 2] * 1000:.1f} ms, "
        f"slowest {took[-1] * 1000:.0f} ms"
    )
    assert took[len(took) // 2] < BOUND_S
    wait_until_gone(workers, before)
    assert list(server.workers()) == workers
