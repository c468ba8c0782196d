"""`prefork status`: what is there, and how it is.

Owns: how it is printed, and memory, which it measures itself: that takes time for large processes, and the master has none. Runs
in: cli. Must not know: the words (`prefork.cli.statustext`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from prefork.cli.command import Command
from prefork.cli.steer import steering_command
from prefork.errors import EXIT_OK
from prefork.ipc.control import Result, StatusRequest
from prefork.ipc.status import Status, decode_status

if TYPE_CHECKING:
    from prefork.observe.memory import Memory


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, for programs (docs/control.md)")
    parser.add_argument("--plain", action="store_true", help="no colours, as into a pipe")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON schema of --json; needs no server"
    )


def _show(arguments: argparse.Namespace, result: Result) -> None:
    # Here, so that other commands do not load the library that reads /proc.
    from prefork.observe.memory import measure

    status = decode_status(bytes(result.data))
    memory = {w.pid: measure(w.pid) for w in status.workers if w.pid is not None}
    if arguments.json:
        print(json.dumps(as_json(result.data, memory), indent=2))
    elif arguments.plain or not _in_colour(status, memory):
        for line in table(status, memory):
            print(line)


def as_json(data: msgspec.Raw, memory: dict[int, Memory | None]) -> dict[str, Any]:
    """What the server said, unchanged, and the memory of each worker in bytes."""
    said: dict[str, Any] = json.loads(bytes(data))
    for worker in said["workers"]:
        found = memory.get(worker["pid"])
        worker["memory"] = None if found is None else msgspec.structs.asdict(found)
    return said


def table(status: Status, memory: dict[int, Memory | None]) -> list[str]:
    """The lines a person sees, without colours."""
    from prefork.cli import statustext
    from prefork.cli.text import aligned

    lines = list(statustext.above(status))
    if status.workers:
        rows = [statustext.TITLES, *statustext.rows(status, memory)]
        lines += ["", *aligned(rows, frozenset({statustext.STATE}))]
    below = list(statustext.below(status))
    return [*lines, *(["", *below] if below else [])]


def _in_colour(status: Status, memory: dict[int, Memory | None]) -> bool:
    """False: there are none (no terminal, NO_COLOR, no rich), and nothing was printed."""
    # https://no-color.org: whatever its value is, unless it is empty
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        from prefork.cli.statuscolour import show
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        return False
    show(status, memory)
    return True


_ASKING = steering_command(
    "status",
    "show the server's generations, workers and memory",
    "Show the server's state, its generations, its workers and the requests that run for long. PRIVATE is what a worker has "
    "of its own, SHARED what it has in common with its siblings through the zygote. In colour on a terminal if rich is "
    "installed (pip install 'prefork[top]').",
    lambda _: StatusRequest(),
    add_arguments=_add_arguments,
    show=_show,
)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.schema:
        return _ASKING.run(arguments)
    from prefork.cli.statusschema import schema_text

    print(schema_text(), end="")
    return EXIT_OK


COMMAND = Command(_ASKING.name, _ASKING.summary, _ASKING.description, _ASKING.add_arguments, _run)
