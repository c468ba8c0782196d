"""Run the matrix and print it as Markdown: `python bench/reload_matrix.py [--peers DIRECTORY] [--only prefork] [--row KEY]`.

`--peers` is a virtual environment with gunicorn, pyuwsgi, granian and uvicorn; whoever is not there is left out. Exit code 1 if
prefork does not pass every row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from matrix.clients import Outcome
from matrix.rows import ROWS, Row
from matrix.servers import KINDS, Kind, NotOfferedError, Server, Wish

OWN = "prefork"


def measure(kind: Kind, row: Row, bin_folder: Path) -> Outcome | None:
    """One cell; None: the server has nothing of the kind."""
    with ExitStack() as stack:

        def start(wish: Wish, before: str = "", environment: Mapping[str, str] | None = None) -> Server:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="matrix-", ignore_cleanup_errors=True))
            )
            server = Server(kind, bin_folder, folder, wish, before, environment)
            stack.callback(server.close)
            if not server.wait_ready():
                raise RuntimeError(f"{kind.name} does not start:\n{server.log[-2000:]}")
            return server

        try:
            return row.run(start)
        except NotOfferedError:
            return None
        except (RuntimeError, OSError) as error:
            print(f"{kind.name}, {row.key}: {error}", file=sys.stderr)
            return Outcome(False, "did not run")


def cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not offered"
    return f"{'✓' if outcome.good else '✗'} {outcome.text}"


def heading(kind: Kind, bin_folder: Path) -> str:
    package = {"uWSGI": "pyuwsgi"}.get(kind.name, kind.name.partition(" ")[0])
    if kind.name == OWN:
        return f"**{OWN}**"
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([bin_folder / "python", "-c", code], capture_output=True, text=True, check=False)
    return f"{kind.name} {done.stdout.strip()}".strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"))
    parser.add_argument("--only", action="append", default=[], help="names of servers")
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        choices=[row.key for row in ROWS],
        metavar="KEY",
        help="this row only (may be given several times); keys are in bench/matrix/rows.py",
    )
    chosen = parser.parse_args()
    bin_folder = chosen.peers.absolute() / "bin"
    kinds = [
        kind
        for kind in KINDS
        if (not chosen.only or kind.name in chosen.only)
        and (kind.name == OWN or (bin_folder / kind.program).exists())
    ]
    rows = [row for row in ROWS if not chosen.row or row.key in chosen.row]
    print(f"| | {' | '.join(heading(kind, bin_folder) for kind in kinds)} |")
    print(f"|---|{'---|' * len(kinds)}")
    passed = True
    for row in rows:
        outcomes = [measure(kind, row, bin_folder) for kind in kinds]
        print(f"| {row.title} | {' | '.join(map(cell, outcomes))} |", flush=True)
        for kind, outcome in zip(kinds, outcomes, strict=True):
            passed = passed and (kind.name != OWN or (outcome is not None and outcome.good))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
