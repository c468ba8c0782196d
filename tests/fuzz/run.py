"""A run of the fuzzer: so many inputs from a seed, counted by what came out."""

from __future__ import annotations

import faulthandler
import traceback
from collections import Counter
from dataclasses import dataclass, field

from fuzz.check import check
from fuzz.generate import Dice, sample
from support.deadline import SLOWNESS

A_WHILE = 100
HANG_S = 60.0 * SLOWNESS
"""So many inputs take a tenth of a second; a run that needs this long for them hangs, shows where, and ends."""

MOST_VIOLATIONS = 20


@dataclass
class Tally:
    """What came out."""

    count: int
    seed: int
    requests: int = 0
    """Read by prefork."""
    untouched: int = 0
    """Inputs without a refusal."""
    only_h11_refused: int = 0
    """Requests that prefork reads and h11 does not."""
    refusals: Counter[int] = field(default_factory=Counter)
    violations: list[tuple[int, bytes, str]] = field(default_factory=list)

    def text(self) -> str:
        """In words."""
        by_status = ", ".join(f"{number} with {status}" for status, number in sorted(self.refusals.items()))
        return (
            f"{self.count} inputs (seed {self.seed}): {self.requests} requests read, "
            f"{self.only_h11_refused} of them refused by h11; "
            f"{self.untouched} inputs without a refusal, {self.refusals.total()} refused ({by_status}); "
            f"{len(self.violations)} violations"
        )


def run(count: int, seed: int) -> Tally:
    """Tries `count` inputs. A violation, an exception of the codec's included, does not end the run."""
    dice = Dice(seed)
    tally = Tally(count, seed)
    for number in range(count):
        if number % A_WHILE == 0:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
        wire = sample(dice)
        try:
            outcome, refused_by_h11 = check(wire, dice)
        except Exception:  # noqa: BLE001 - that is what we look for
            tally.violations.append((number, wire, traceback.format_exc()))
            if len(tally.violations) >= MOST_VIOLATIONS:
                break
            continue
        tally.requests += len(outcome.requests)
        tally.only_h11_refused += refused_by_h11
        if outcome.status:
            tally.refusals[outcome.status] += 1
        else:
            tally.untouched += 1
    faulthandler.cancel_dump_traceback_later()
    return tally
