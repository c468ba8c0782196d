"""`prefork stacks`: what every thread of the workers is doing, in Python, and for which request.

Owns: its lines and its document. Runs in: cli. Must not know: how stacks are taken, and read (`prefork.cli.threads`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import msgspec

from prefork.cli import text
from prefork.cli.steer import add_worker, steering_command
from prefork.cli.threads import Thread, threads_of
from prefork.ipc.control import Result, Stack, StacksRequest

VERSION = 1
"""Of the document that --json prints; it goes up when something in it changes its meaning or goes away."""


class WorkerStacks(msgspec.Struct, frozen=True, kw_only=True):
    """One process."""

    worker: int
    pid: int
    generation: int
    error: str
    """Why there are no threads."""
    threads: list[Thread]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_worker(parser)
    parser.add_argument("--all", action="store_true", help="idle threads and prefork's own frames as well")
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def _show(arguments: argparse.Namespace, result: Result) -> None:
    workers = [read(stack) for stack in msgspec.json.decode(result.data, type=list[Stack])]
    if arguments.json:
        document = msgspec.json.encode({"v": VERSION, "workers": workers})
        print(msgspec.json.format(document, indent=2).decode())
        return
    for worker in workers:
        print(f"worker {worker.worker}, pid {worker.pid}, generation {worker.generation}")
        for line in lines(worker, everything=arguments.all):
            print(f"  {line}" if line else "")
        print()


def read(stack: Stack) -> WorkerStacks:
    """What the server handed over, with its text taken apart."""
    return WorkerStacks(
        worker=stack.worker,
        pid=stack.pid,
        generation=stack.generation,
        error=stack.error,
        threads=threads_of(stack.text, stack.running),
    )


def lines(worker: WorkerStacks, *, everything: bool = False) -> Iterator[str]:
    """What a person reads of one worker, below its heading."""
    if worker.error:
        yield worker.error
    silent = 0
    for thread in worker.threads:
        if thread.idle and not everything:
            silent += 1
            continue
        yield heading(thread)
        frames = thread.frames if everything else thread.foreign
        yield from (f"    {text.one_line(str(frame))}" for frame in frames)
        beneath = len(thread.frames) - len(frames)
        if beneath:
            yield f"    ... called by prefork ({beneath} frames)"
    yield from _waiting(worker.threads, silent)


def heading(thread: Thread) -> str:
    """Whose stack follows."""
    request = thread.request
    if request is not None:
        whose = f"thread {request.thread}, {text.age(request.elapsed_s)}: {text.one_line(request.request)}"
        return f"{whose}, from {text.one_line(request.client)}" if request.client else whose
    name = f" {text.one_line(thread.name)}" if thread.name else ""
    if thread.role == "other":
        return f"another thread{name} ({thread.ident:#x}), not prefork's"
    if thread.idle:
        return f"{_WAITING[thread.role]} ({thread.ident:#x})"
    whose = "the loop" if thread.role == "loop" else "a thread of the pool"
    return f"{whose} ({thread.ident:#x}), at something short"


_WAITING = {"loop": "the loop waits for clients", "pool": "a thread waits for a request"}


def _waiting(threads: Sequence[Thread], silent: int) -> Iterator[str]:
    if not silent:
        return
    pool = sum(thread.idle and thread.role == "pool" for thread in threads)
    if pool:
        yield f"{pool} thread{'s wait' if pool > 1 else ' waits'} for a request"
    if any(thread.idle and thread.role == "loop" for thread in threads):
        yield _WAITING["loop"]


COMMAND = steering_command(
    "stacks",
    "print where every thread of the workers is, and for which request",
    "Print the Python stacks of the threads that work, innermost call first, with the request each of them runs, for how "
    "long, and from which client. The workers go on; this works even while C code holds the interpreter.",
    lambda arguments: StacksRequest(worker=arguments.worker),
    add_arguments=_add_arguments,
    show=_show,
)
