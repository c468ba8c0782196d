"""`make fuzz`: a bounded run. Prints its count and seed, what came out, and each violation with the input that shows it."""

from __future__ import annotations

import argparse
import sys
import time

from fuzz.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="inputs to try (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the inputs; without it, the time of day")
    arguments = parser.parse_args()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"fuzzing: count {arguments.count}, seed {seed}", flush=True)
    start = time.monotonic()
    tally = run(arguments.count, seed)
    print(tally.text())
    print(f"{time.monotonic() - start:.0f} seconds")
    for number, wire, problem in tally.violations:
        print(f"\ninput {number}: {wire!r}\n{problem}")
    return bool(tally.violations)


sys.exit(main())
