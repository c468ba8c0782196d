"""A short run of the fuzzer (`make fuzz` is the long one), and proof that it sees what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fuzz.generate import HIDDEN, Dice, sample
from fuzz.run import run
from prefork.http import chunked, fields, head, receiver
from prefork.http.errors import ProtocolError


def test_no_input_is_read_as_something_else() -> None:
    tally = run(2000, seed=20)
    assert tally.violations == []
    assert tally.requests > 500
    assert tally.refusals.total() > 500


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, second = Dice(7), Dice(7)
    assert [sample(first) for _ in range(50)] == [sample(second) for _ in range(50)]
    assert any(HIDDEN in sample(first) for _ in range(50))


def any_number(length: str) -> int:
    try:
        return int(length)
    except ValueError:
        raise ProtocolError(400, "bad") from None


def any_size(decoder: chunked.ChunkedDecoder, line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise ProtocolError(400, "bad") from None


def coding_beside_length(environ: dict[str, Any], minor: int) -> tuple[int | None, bool]:
    if "HTTP_TRANSFER_ENCODING" in environ and "CONTENT_LENGTH" in environ:
        del environ["HTTP_TRANSFER_ENCODING"]
    return fields.read_framing(environ, minor)


def last_wins(key: str, first: str, second: str) -> str:
    return second


def crash(name: str) -> str:
    raise KeyError(name)


def forgets_the_rest(self: receiver.RequestReceiver) -> receiver.Request | None:
    self.pending = b""
    return None


@pytest.mark.parametrize(
    ("place", "name", "bug"),
    [
        (fields, "_read_content_length", any_number),
        (chunked.ChunkedDecoder, "_read_size", any_size),
        (head, "read_framing", coding_beside_length),
        (head, "combine", last_wins),
        (head, "key_of", crash),
        (receiver.RequestReceiver, "next", forgets_the_rest),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, bug: Callable[..., Any]
) -> None:
    monkeypatch.setattr(place, name, bug)
    assert run(3000, seed=1).violations
