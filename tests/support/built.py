"""prefork as it is shipped: a source distribution and the wheel made from it, once for all tests of a run."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from support.deadline import DEADLINE_S, SLOWNESS

PROJECT = Path(__file__).parents[2]


def built(factory: pytest.TempPathFactory) -> Path:
    """The directory that holds both."""
    base = factory.getbasetemp()
    # The parallel processes of one run have directories beside each other.
    place = (base.parent if base.name.startswith("popen-") else base) / "built"
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            making = place.with_suffix(".making")
            making.mkdir(exist_ok=True)
            pip = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(making), str(PROJECT)]
            run(pip)
            making.rename(place)
    return place


def run(command: list[str], **options: object) -> str:
    """What a command that succeeds prints."""
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * DEADLINE_S * SLOWNESS,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}"
    return str(ended.stdout)
