"""The page of numbers in docs/http.md is what `make numbers` writes."""

from __future__ import annotations

from fuzz.numbers import COUNT, SEED, render, split_page
from fuzz.run import run


def test_the_page_of_numbers_is_true() -> None:
    tally = run(COUNT, SEED)
    assert tally.violations == []
    assert split_page()[1] == render(tally), "run `make numbers`"
