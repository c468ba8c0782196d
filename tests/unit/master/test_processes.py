"""Real children of the test: how they start, and how their ends are told."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from prefork.master.processes import Exit, SystemProcesses

PROCESSES = SystemProcesses()


def run(code: str, inherit: tuple[int, ...] = (), environment: dict[str, str] | None = None) -> int:
    return PROCESSES.spawn([sys.executable, "-I", "-S", "-c", code], environment or {}, (0, 1, 2, *inherit))


@pytest.mark.parametrize(
    ("exit", "text"),
    [
        (Exit(1, code=0), "exit code 0"),
        (Exit(1, code=3), "exit code 3"),
        (Exit(1, signal=9), "signal 9 (SIGKILL)"),
        (Exit(1, signal=11), "signal 11 (SIGSEGV)"),
        (Exit(1, signal=signal.SIGRTMIN + 3), f"signal {signal.SIGRTMIN + 3} (real-time)"),
    ],
)
def test_an_exit_in_words(exit: Exit, text: str) -> None:
    assert str(exit) == text


def test_ends_are_told_apart() -> None:
    assert PROCESSES.wait(pid := run("import os; os._exit(7)")) == Exit(pid, code=7)
    assert PROCESSES.wait(pid := run("import os; os.kill(os.getpid(), 9)")) == Exit(pid, signal=9)


def test_only_what_is_named_is_inherited_and_under_its_number() -> None:
    read, write = os.pipe()
    other = os.memfd_create("other")
    try:
        code = f"import os; os.write({write}, repr(sorted(map(int, os.listdir('/proc/self/fd')))).encode())"
        names = [entry.name for entry in Path("/proc/self/fd").iterdir()]
        inherited_anyway = [fd for fd in map(int, names) if _is_inheritable(fd)]
        PROCESSES.wait(run(code, inherit=(write,)))
        found = eval(os.read(read, 4096))
        assert write in found
        assert read not in found
        assert other not in found
        # The listing's own descriptor is the lowest free number.
        assert len(set(found) - {0, 1, 2, write, *inherited_anyway}) == 1
        assert not os.get_inheritable(write), "the parent's own flag is untouched"
    finally:
        for fd in (read, write, other):
            os.close(fd)


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def test_the_signal_state_is_clean() -> None:
    read, write = os.pipe()
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        code = (
            "import os, signal;"
            f"os.write({write}, f'{{len(signal.pthread_sigmask(signal.SIG_BLOCK, []))}}"
            " {signal.getsignal(signal.SIGHUP) == signal.SIG_DFL}'.encode())"
        )
        PROCESSES.wait(run(code, inherit=(write,)))
    finally:
        signal.signal(signal.SIGHUP, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert os.read(read, 100) == b"0 True"
    os.close(read)
    os.close(write)


def test_a_program_that_does_not_exist_is_an_error_here() -> None:
    with pytest.raises(FileNotFoundError):
        PROCESSES.spawn(["/no/such/python"], {}, ())


def test_reaping_listens_before_it_collects() -> None:
    pid = run("pass")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    seen: list[bool] = []

    def learn() -> None:
        seen.append(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)

    assert Exit(pid, code=0) in PROCESSES.reap(learn)
    assert seen[0], "at that time it was not collected yet"
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
