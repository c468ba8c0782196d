"""The page of numbers in docs/http.md: made here, compared by a test. `make numbers` writes it."""

from __future__ import annotations

from pathlib import Path

from fuzz.run import Tally, run
from unit.http.cases import ACCEPTED, REFUSED
from unit.http.families import CASES

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
BEGIN = "<!-- begin: written by `make numbers` -->\n"
END = "<!-- end -->\n"

COUNT, SEED = 10_000, 4
"""Of the run that the page shows: short, so that a test can repeat it."""


def render(tally: Tally) -> str:
    """The part of the page between the marks."""
    families = list(dict.fromkeys(case.family for case in CASES))
    lines = ["| family | cases | refused | read as one request |", "|---|---|---|---|"]
    for family in families:
        cases = [case for case in CASES if case.family == family]
        refused = sum(case.status != 0 for case in cases)
        lines.append(f"| {family} | {len(cases)} | {refused} | {len(cases) - refused} |")
    refused = sum(case.status != 0 for case in CASES)
    lines.append(f"| all families | {len(CASES)} | {refused} | {len(CASES) - refused} |")
    total = len(ACCEPTED) + len(REFUSED)
    lines.append(f"| the rules above | {total} | {len(REFUSED)} | {len(ACCEPTED)} |")
    by_status = ", ".join(f"{status}: {number}" for status, number in sorted(tally.refusals.items()))
    lines += [
        "",
        f"Fuzzer, count {tally.count}, seed {tally.seed}: {tally.requests} requests read, "
        f"{tally.refusals.total()} inputs refused ({by_status}), {tally.untouched} inputs without a refusal, "
        f"{len(tally.violations)} violations.",
        "",
    ]
    return "\n".join(lines)


def split_page() -> tuple[str, str, str]:
    """The page before, between and behind the marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    between, _, behind = rest.partition(END)
    return before, between, behind


def write() -> None:
    before, _, behind = split_page()
    text = before + BEGIN + render(run(COUNT, SEED)) + END + behind
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
