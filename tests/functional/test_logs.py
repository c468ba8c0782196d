"""What a server writes down: JSON, filters, slow requests, names of requests, and the standard library's logging."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.deadline import eventually
from support.noted import calls
from support.server import ServerFactory


def entries(path: Path, event: str = "") -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if event in ("", entry.get("event"))]


def test_json_filters_slow_requests_and_names(server_factory: ServerFactory, tmp_path: Path) -> None:
    log, access, slow, sock = (tmp_path / name for name in ("log", "access.log", "slow.log", "app.sock"))
    settings: dict[str, dict[str, Any]] = {
        "app": {"target": "hooked:app"},
        "server": {"listen": [f"unix:{sock}"]},
        "requests": {"slow": 0.2},
        "proxy": {"trusted": ["unix"]},
        "log": {
            "output": str(log),
            "format": "json",
            "access": str(access),
            "access_format": "json",
            "access_filter": ["slow", "4xx", "5xx"],
            "slow": str(slow),
            "slow_after": 0.3,
        },
    }
    server = server_factory(settings, environment={"HOOK_LOG": str(tmp_path / "hooks")})
    eventually(lambda: entries(log, "ready"), "the event ready")
    with server.connect(f"unix:{sock}") as connection:
        told = connection.get("/", [("X-Request-ID", "from-the-proxy")])
        assert told.body == b"from-the-proxy"
        assert re.fullmatch(rb"[0-9a-f]{32}", connection.get("/missing").body)
        assert connection.get("/slow?0.6").status == 200
        connection.get("/raise", [("X-Request-ID", "r-4")])
    eventually(lambda: len(entries(access)) == 3, "three lines in the access log")
    missing, slowly, raised = entries(access)
    assert (missing["status"], missing["path"], missing["connection_request"]) == (404, "/missing", 2)
    assert (slowly["status"], slowly["worker"], slowly["gen"]) == (200, 1, 1)
    assert slowly["duration_us"] >= 600_000
    assert (raised["status"], raised["request_id"], raised["connection_request"]) == (500, "r-4", 4)

    (failed,) = entries(log, "request_failed")
    assert failed["traceback"].endswith("KeyError: 'raised'")
    assert failed["request_id"] == "r-4"
    (in_log,), (in_slow,) = entries(log, "request_slow"), entries(slow, "request_slow")
    assert "hooked.py" in in_slow["traceback"]
    assert "traceback" not in in_log, "the stack is in the file for slow requests"
    (ended,) = entries(slow, "request_slow_ended")
    assert (ended["request"], ended["status"]) == ("GET /slow?0.6 HTTP/1.1", 200)

    # All files are opened anew, that of the slow requests too.
    for path in (log, access, slow):
        path.rename(f"{path}.1")
    assert server.command("reopen-logs").returncode == 0
    eventually(lambda: entries(log, "logs_reopened"), "the new log")

    def moved() -> bool:
        with server.connect(f"unix:{sock}") as connection:
            connection.get("/slow?0.4")
        return bool(entries(access) and entries(slow, "request_slow_ended"))

    eventually(moved, "lines in the new files")

    # An upgrade hands all of them on, open as they are.
    assert server.command("upgrade").returncode == 0
    with server.connect(f"unix:{sock}") as connection:
        connection.get("/slow?0.5")

    def told() -> bool:
        lines = entries(access), entries(slow, "request_slow"), entries(slow, "request_slow_ended")
        return all(any(entry["gen"] == 2 for entry in each) for each in lines)

    eventually(told, "lines of the second generation")
    assert server.stop() == 0
    assert entries(log, "stopped")


CONFIG = """
[formatters.plain]
format = "%(levelname)s %(name)s %(message)s"

[handlers.file]
class = "logging.FileHandler"
filename = "{file}"
formatter = "plain"

[handlers.ours]
class = "hooked.Handler"

[loggers.prefork]
handlers = ["file", "ours"]
level = "INFO"
"""


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_the_log_goes_to_logging(server_factory: ServerFactory, tmp_path: Path, preload: str) -> None:
    noted, file, config, sock = (tmp_path / name for name in ("hooks", "log", "logging.toml", "app.sock"))
    config.write_text(CONFIG.format(file=file))
    settings = {
        "app": {"target": "hooked:app", "preload": preload},
        "server": {"listen": [f"unix:{sock}"]},
        "log": {"config": str(config), "access": "logger", "access_format": "{request} {status}"},
    }
    server = server_factory(settings, environment={"HOOK_LOG": str(noted)})

    def has(text: str) -> bool:
        return file.exists() and re.search(text, file.read_text()) is not None

    eventually(lambda: has(r"INFO prefork ready"), "what the master says")
    with server.connect(f"unix:{sock}") as connection:
        assert connection.get("/raise").status == 500
    eventually(lambda: has(r"INFO prefork.access GET /raise HTTP/1.1 500"), "an access line")
    assert has(r"INFO prefork log_handlers_left_out .*handlers=ours")
    assert has(r"ERROR prefork request_failed .*\nTraceback")
    ours = calls(noted, "logged")
    assert {"request_failed"} == {
        entry["text"].partition(" ")[0] for entry in ours if entry["raised"] == "KeyError"
    }
    assert not any(entry["text"].startswith("ready") for entry in ours), (
        "the master runs no code of the application's"
    )

    mark = server.mark()
    config.write_text(CONFIG.format(file=file).replace("hooked.Handler", "hooked.Hadler"))
    result = server.command("reload", "--wait")
    assert result.returncode != 0
    assert "ours" in result.stderr
    assert server.mark() == mark
    check = server.command("check")
    assert check.returncode == 3
    assert "hooked.Hadler" in check.stderr or "Hadler" in check.stderr
    config.write_text("[handlers")
    assert server.command("check").returncode == 78
    with server.connect(f"unix:{sock}") as connection:
        assert connection.get("/").status == 200
    assert server.stop() == 0
