"""Fixtures of the functional tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.http import Connection
from support.server import Server


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """A connection to the `server` of the module."""
    with server.connect() as opened:
        yield opened
