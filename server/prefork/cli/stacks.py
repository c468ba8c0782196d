"""`prefork stacks`: what every thread of the workers is doing, in Python. Runs in: cli."""

from __future__ import annotations

import argparse

import msgspec

from prefork.cli.steer import add_worker, steering_command
from prefork.ipc.control import Result, Stack, StacksRequest


def _show(_arguments: argparse.Namespace, result: Result) -> None:
    for stack in msgspec.json.decode(result.data, type=list[Stack]):
        print(f"worker {stack.worker}, pid {stack.pid}, generation {stack.generation}")
        for line in (stack.text or stack.error).splitlines():
            print(f"    {line}")
        print()


COMMAND = steering_command(
    "stacks",
    "print the Python stacks of all threads of the workers",
    "Print the Python stacks of all threads, innermost call first. The workers go on; this works even while C code "
    "holds the interpreter.",
    lambda arguments: StacksRequest(worker=arguments.worker),
    add_arguments=add_worker,
    show=_show,
)
