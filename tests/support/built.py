"""prefork as it is shipped: a source distribution and the wheel made from it, once for all tests of a run."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.deadline import DEADLINE_S, SLOWNESS

PROJECT = Path(__file__).parents[2]


def built(factory: pytest.TempPathFactory) -> Path:
    """The directory that holds both."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    return made_once(factory, "built", lambda place: run([*command, str(place), str(PROJECT)]))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A directory that the first of the parallel processes of a run that wants it makes, for all of them."""
    base = factory.getbasetemp()
    # Theirs are beside each other.
    place = (base.parent if base.name.startswith("popen-") else base) / name
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = Path(f"{place}.done")
        if not done.exists():
            place.mkdir()
            make(place)
            done.touch()
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
