"""What a real journal makes of the records: fields, priorities, a traceback in one piece, and one too large for a datagram."""

from __future__ import annotations

import json
from typing import Any

from prefork.observe.message_ids import MESSAGE_IDS
from support.deadline import eventually
from support.service import Service

LARGE = 400_000
"""Far above net.core.wmem_default, the most that a datagram takes."""

CODE = f"""
def inner(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise KeyError("small")
    if environ["PATH_INFO"] == "/large":
        raise KeyError("x" * {LARGE})
    if environ["PATH_INFO"] == "/words":
        environ["wsgi.errors"].write("two\\nlines\\n")
    return app(environ, start_response)
"""


def records(service: Service, **wanted: str) -> list[dict[str, Any]]:
    matches = [f"{key}={value}" for key, value in wanted.items()]
    text = service.box.journal("prefork", "-o", "json", "--all", *matches)
    return [json.loads(line) for line in text.splitlines()]


def test_tracebacks_are_one_record(service: Service) -> None:
    service.release(1, CODE)
    service.configure(app={"target": "shop:inner"})
    service.systemctl("start")
    for path in ("/raise", "/large"):
        service.get(path, check=False)
    service.get("/words")
    event = MESSAGE_IDS["request_failed"]
    eventually(lambda: len(records(service, MESSAGE_ID=event)) == 2, "both records")
    small, large = records(service, MESSAGE_ID=event)
    assert (small["PRIORITY"], small["PREFORK_ROLE"], small["PREFORK_GENERATION"]) == ("3", "worker", "1")
    assert small["PREFORK_WORKER"] in ("1", "2")
    assert small["PREFORK_REQUEST"] == "GET /raise HTTP/1.1"
    assert small["_SYSTEMD_UNIT"] == service.unit
    assert small["MESSAGE"].startswith("request_failed ")
    assert small["MESSAGE"].endswith("KeyError: 'small'")
    assert small["PREFORK_TRACEBACK"].splitlines()[0] == "Traceback (most recent call last):"
    assert len(large["PREFORK_TRACEBACK"]) > LARGE
    (words,) = [each for each in records(service, PRIORITY="4") if each["MESSAGE"] == "two\nlines"]
    assert words["PREFORK_WORKER"] in ("1", "2")
    service.systemctl("stop")
