"""Connections are spread over the workers, also where the server has so little to do that any worker could take them all."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack

import pytest

from support.server import ServerFactory

WORKERS, CONNECTIONS = 4, 64


@pytest.mark.parametrize("before", [WORKERS, 1])
def test_connections_that_come_one_by_one(serve: ServerFactory, before: int) -> None:
    """Also of a pool that began with one worker, which nobody told that it has siblings now."""
    server = serve("probe:app", workers=before)
    assert server.command("scale", str(WORKERS)).returncode == 0
    server.wait_for_workers(WORKERS)
    with ExitStack() as stack:
        found: Counter[str] = Counter()
        for _ in range(CONNECTIONS):
            client = stack.enter_context(server.connect())
            found[str(json.loads(client.get("/environ").body)["prefork.worker"])] += 1
    assert len(found) == WORKERS, found
    assert max(found.values()) <= CONNECTIONS // 2, found
