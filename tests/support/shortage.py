"""Real shortages for a running server: a full disk, a fork that the kernel refuses. Each lasts as long as its `with`.

What is possible depends on who runs the tests; `None` or False says that it is not, and the test takes something else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import psutil

DISK_BYTES = 32 << 20
_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
_PIDS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""Where the pids controller is: version 1, version 2."""


@lru_cache(maxsize=1)
def may_mount() -> bool:
    """A mount namespace of our own, and a file system in it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", "64k", "/mnt", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def with_small_disk(program: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command line of `program` that sees a small disk of its own at `folder`."""
    return ("unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(DISK_BYTES), str(folder), *program)


@contextlib.contextmanager
def full_disk(pid: int, folder: Path) -> Iterator[None]:
    """The disk that process `pid` sees at `folder` has no byte left."""
    inside = Path(f"/proc/{pid}/root") / folder.relative_to("/")
    filler = inside / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
    try:
        yield
    finally:
        filler.unlink()


@lru_cache(maxsize=1)
def _cgroup_root() -> Path | None:
    for root in _PIDS:
        probe = root / f"prefork-probe-{os.getpid()}"
        try:
            probe.mkdir()
        except OSError:
            continue
        found = (probe / "pids.max").exists()
        probe.rmdir()
        if found:
            return root
    return None


def may_refuse_forks() -> bool:
    """By a cgroup, or by RLIMIT_NPROC, which means nothing to root (getrlimit(2))."""
    return _cgroup_root() is not None or os.geteuid() != 0


@contextlib.contextmanager
def no_forks(process: psutil.Process) -> Iterator[None]:
    """fork(2) gives this process EAGAIN."""
    root = _cgroup_root()
    if root is None:
        soft, hard = process.rlimit(psutil.RLIMIT_NPROC)
        process.rlimit(psutil.RLIMIT_NPROC, (1, hard))
        try:
            yield
        finally:
            process.rlimit(psutil.RLIMIT_NPROC, (soft, hard))
        return
    group = root / f"prefork-test-{process.pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        (group / "pids.max").write_text("1")
        yield
    finally:
        (group / "pids.max").write_text("max")
        _dissolve(group, root)


def _dissolve(group: Path, root: Path) -> None:
    """Everybody back to where they may live on; those forked meanwhile too."""
    for _ in range(1000):
        pids = (group / "cgroup.procs").read_text().split()
        for pid in pids:
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(pid)
        if not pids:
            break
    group.rmdir()
