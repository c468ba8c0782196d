"""The table [status]: which addresses it takes."""

from __future__ import annotations

from typing import Any

import pytest

from prefork.settings.kinds.base import InvalidValueError
from prefork.settings.listen import Listen
from prefork.settings.status import StatusListenList, listened_twice

KIND = StatusListenList()


@pytest.mark.parametrize("nowhere", [[], ""])
def test_it_may_be_nowhere(nowhere: Any) -> None:
    assert KIND.convert(nowhere, "/srv") == ()
    assert KIND.plain(()) == []


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        ("127.0.0.1:9180", [Listen("127.0.0.1:9180")]),
        (["127.0.0.1:9180", "unix:s"], [Listen("127.0.0.1:9180"), Listen("unix:/srv/s")]),
        ({"address": "unix:/run/s", "mode": "0660"}, [Listen("unix:/run/s", mode=0o660)]),
    ],
)
def test_it_is_written_like_the_addresses_of_the_server(value: Any, entries: list[Listen]) -> None:
    assert list(KIND.convert(value, "/srv")) == entries
    assert KIND.convert(KIND.plain(tuple(entries)), "/srv") == tuple(entries)


@pytest.mark.parametrize("key", ["tls", "proxy_protocol"])
def test_what_is_for_the_site_alone_is_refused(key: str) -> None:
    with pytest.raises(InvalidValueError, match="not for the status page"):
        KIND.convert([{"address": "127.0.0.1:9180", key: True}], "/srv")
    (_, entry, _) = KIND.schema()["anyOf"]
    assert key not in entry["anyOf"][1]["properties"]


def test_one_address_cannot_serve_both() -> None:
    rule = listened_twice((Listen("0.0.0.0:80"),), (Listen("127.0.0.1:9180"), Listen("127.0.0.1:80")))
    assert rule is not None and '"127.0.0.1:80"' in rule
    assert listened_twice((Listen("0.0.0.0:80"),), (Listen("127.0.0.1:9180"),)) is None
