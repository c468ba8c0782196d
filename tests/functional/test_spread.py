"""Connections are spread over the workers, also where the server has so little to do that any worker could take them all."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack

from support.server import ServerFactory

WORKERS, CONNECTIONS = 4, 64


def test_connections_that_come_one_by_one(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=WORKERS)
    with ExitStack() as stack:
        found: Counter[str] = Counter()
        for _ in range(CONNECTIONS):
            client = stack.enter_context(server.connect())
            found[str(json.loads(client.get("/environ").body)["prefork.worker"])] += 1
    assert len(found) == WORKERS, found
    assert max(found.values()) <= CONNECTIONS // 2, found
