"""The double fork, in C and in Python: the same child, announced in time, with one copy of the address space or two."""

from __future__ import annotations

import json
import os

import pytest

from prefork import speedups
from support.child import child

FORKS = [
    "prefork.zygote.orphan.fork_in_python",
    pytest.param(
        "prefork._orphan.fork", marks=pytest.mark.skipif(speedups.orphan is None, reason="not compiled")
    ),
]

START = """
    import ctypes, importlib, json, os, resource, signal, socket, sys
    module, _, name = sys.argv[1].rpartition(".")
    fork = getattr(importlib.import_module(module), name)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
"""

ORDINARY = (
    START
    + """
    calls = []
    os.register_at_fork(before=lambda: calls.append("before"), after_in_child=lambda: calls.append("child"),
                        after_in_parent=lambda: calls.append("parent"))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    variable = "old"
    if fork(theirs.fileno(), b'{"pid":', b'}'):
        variable = "new"
        blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        told = {"pid": os.getpid(), "parent": os.getppid(), "calls": calls, "blocked": blocked}
        theirs.send(json.dumps(told).encode())
        os._exit(7)
    announced = json.loads(ours.recv(1000))  # it was sent before fork returned: no wait
    told = json.loads(ours.recv(1000))
    pid, status = os.waitpid(-1, 0)
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        alone = True
    told.update(announced=announced["pid"], collected=pid, code=os.waitstatus_to_exitcode(status), mine=calls,
                me=os.getpid(), alone=alone, variable=variable,
                still=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    print(json.dumps(told))
"""
)


def run(script: str, *arguments: object) -> dict[str, object]:
    with child(script, *arguments) as process:
        output = process.communicate()[0]
    found: dict[str, object] = json.loads(output)
    return found


@pytest.mark.parametrize("fork", FORKS)
def test_the_child_is_announced_and_adopted(fork: str) -> None:
    told = run(ORDINARY, fork)
    assert told["announced"] == told["pid"] == told["collected"]
    assert told["parent"] == told["me"]
    assert told["code"] == 7
    assert told["alone"], "the middle process was not collected"
    assert told["variable"] == "old", "the child wrote to its parent's memory"
    assert told["blocked"] == told["still"] == [10], "signals that the caller blocks, no others"


def test_the_middle_process_is_no_copy_and_runs_no_python() -> None:
    """What is called at each fork, such as the application's handlers, is called once."""
    if speedups.orphan is None:
        pytest.skip("not compiled")
    told = run(ORDINARY, "prefork._orphan.fork")
    assert told["calls"] == ["before", "child"]
    assert told["mine"] == ["before", "parent"]


@pytest.mark.parametrize("fork", FORKS)
def test_nothing_is_announced_where_nobody_listens(fork: str) -> None:
    script = """
    if fork(-1, b"", b""):
        theirs.send(b"%d" % os.getppid())
        os._exit(0)
    print(json.dumps({"parent": int(ours.recv(1000)), "me": os.getpid()}))
    """
    told = run(START + script, fork)
    assert told["parent"] == told["me"]


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("processes", [1, 2])
def test_no_more_processes_are_allowed(fork: str, processes: int) -> None:
    """Neither for the middle process nor (of a user who has no others) for the child."""
    script = """
    if os.getuid() == 0:
        os.setuid(60000 + os.getpid() % 5000)  # root is not limited
    resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        fork(theirs.fileno(), b"", b"")
        os._exit(9)
    except OSError as error:
        told = {"errno": error.errno, "text": error.strerror}
    ours.setblocking(False)
    try:
        ours.recv(1000)
    except BlockingIOError:
        told["silent"] = True
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        told["alone"] = True
    print(json.dumps(told))
    """
    told = run(START + script, fork, processes)
    assert told == {"errno": 11, "text": os.strerror(11), "silent": True, "alone": True}
