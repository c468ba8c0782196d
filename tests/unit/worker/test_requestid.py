"""Whose word is taken for the name of a request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from prefork.worker.requestid import KEY, request_id_steps


def test_nobody_wants_one() -> None:
    def correct(environ: dict[str, Any]) -> None:
        environ["corrected"] = True

    assert request_id_steps(False, correct) == (correct, None)
    assert request_id_steps(False, None) == (None, None)


def test_new_ones_are_different() -> None:
    _, name = request_id_steps(True, None)
    assert name is not None
    seen = set()
    for _ in range(1000):
        environ: dict[str, Any] = {"HTTP_X_REQUEST_ID": "mine"}
        name(environ)
        assert re.fullmatch("[0-9a-f]{32}", environ[KEY])
        seen.add(environ[KEY])
    assert len(seen) == 1000


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("r-1", True),
        ("a" * 200, True),
        ("a" * 201, False),
        ("a b", False),
        ("caf\xe9", False),
        ("", False),
        (None, False),
    ],
)
def test_a_trusted_proxy_is_believed_if_it_makes_sense(told: str | None, believed: bool) -> None:
    believe, _ = request_id_steps(True, lambda environ: environ.update(corrected=True))
    assert believe is not None
    environ: dict[str, Any] = {} if told is None else {"HTTP_X_REQUEST_ID": told}
    believe(environ)
    assert environ["corrected"]
    assert (environ[KEY] == told) is believed
    assert environ[KEY]
