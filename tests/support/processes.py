"""What /proc tells about the processes of a server under test: who is alive, and what they cost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from pathlib import Path
from typing import NamedTuple

from support.deadline import Deadline

_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """The fields of /proc/PID/stat (proc_pid_stat(5)) that tests look at."""

    pid: int
    state: str
    parent: int
    session: int
    ticks: int


def become_subreaper() -> None:
    """Adopt what the servers under test leave behind, so that it is seen, and reaped even without an init."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descriptors(pid: int) -> dict[int, str]:
    """Descriptor -> what it is, of one process."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:
            continue
    return found


def read_process(pid: int) -> Process | None:
    """One process, or None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return Process(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[11]) + int(fields[12]))


def of_session(session: int) -> list[Process]:
    """Living processes of one session; zombies that were left to us are reaped on the way."""
    found = []
    for entry in Path("/proc").iterdir():
        process = read_process(int(entry.name)) if entry.name.isdigit() else None
        if process is None or process.session != session:
            continue
        if process.state not in "ZX":
            found.append(process)
        elif process.parent == os.getpid() and process.pid != session:  # the leader belongs to its Popen
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    process = read_process(pid)
    return process is not None and process.state not in "ZX"


def wait_gone(pid: int, deadline: Deadline) -> bool:
    """Wait for the end of any process, our child or not (its pidfd turns readable). False: it lives on."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        return bool(poller.poll(deadline.remaining() * 1000))
    finally:
        os.close(pidfd)


def wait_session_gone(session: int, deadline: Deadline) -> list[Process]:
    """Wait until no process of the session is left; returns those that stayed past the deadline."""
    while True:
        left = of_session(session)
        if not left or deadline.passed:
            return left
        wait_gone(left[0].pid, deadline)


def kill_session(session: int) -> None:
    """Last resort at teardown, so that one failed test does not load the machine for the rest."""
    for process in of_session(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def command_line(pid: int) -> str:
    """The title of the process on one line, as ps(1) shows it; empty when it is gone."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return " ".join(title.replace(b"\0", b" ").decode(errors="replace").split())


def voluntary_switches(pid: int) -> int:
    """How often the threads of a process went to sleep by themselves, which is how often they were woken."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total
