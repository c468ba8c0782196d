"""The nearest thing that would have been right.

Owns: the end of a message that suggests a spelling. Runs in: cli, master. Must not know: which options exist.
"""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` is probably a misspelling of; None if none is near."""
    import difflib  # only for a message: it costs a start 2 ms

    by_form = {_form(candidate): candidate for candidate in candidates}
    # Cut, because the comparison takes quadratic time.
    found = difflib.get_close_matches(_form(word[:100]), by_form, n=1, cutoff=0.6)
    return by_form[found[0]] if found else None


def _form(word: str) -> str:
    """What nobody means to say with a word: its capitals, and which kind of dash."""
    return word.lower().replace("-", "_")


def did_you_mean(word: str, candidates: Iterable[str], form: str = '"{}"') -> str:
    """'; did you mean "count"?', or nothing."""
    found = nearest(word, candidates)
    return f"; did you mean {form.format(found)}?" if found else ""
