"""Releases of an application, deployed in the middle of a test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from support.server import Server, ServerFactory

HEADER = """
import os, signal, sys, time

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]

VERSION = {version!r}
"""

Tables = Mapping[str, Mapping[str, Any]]
Deploy = Callable[..., None]


def deploy(server: Server, version: str, body: str = "") -> None:
    """Put another release of the served application in place: `VERSION`, then the statements of `body`."""
    text = HEADER.format(version=version) + textwrap.dedent(body)
    (server.directory / "release.py").write_text(text)


@pytest.fixture
def deployed(server_factory: ServerFactory, tmp_path: Any) -> Callable[..., Server]:
    """A server of the release "v1", ready: `deployed(workers=2, settings={...}, body="...")`."""

    def start(*, workers: int = 2, settings: Tables | None = None, body: str = "", **options: Any) -> Server:
        text = HEADER.format(version="v1") + textwrap.dedent(body)
        (tmp_path / "release.py").write_text(text)
        tables: dict[str, dict[str, Any]] = {
            # Without byte code: two releases within one second would share it.
            "app": {"target": "release:app", "env": {"PYTHONDONTWRITEBYTECODE": "1"}},
            "workers": {"count": workers},
        }
        for table, entries in (settings or {}).items():
            tables.setdefault(table, {}).update(entries)
        return server_factory(tables, directory=tmp_path, **options).wait_ready()

    return start
