"""`prefork upgrade`: the client that asks waits across the exec, and hears how it ended."""

from __future__ import annotations

from pathlib import Path

from support.server import ServerFactory

RELEASE = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [{body!r}]
"""


def test_upgrade_waits_for_the_generation_it_brings(server_factory: ServerFactory, tmp_path: Path) -> None:
    (tmp_path / "release.py").write_text(RELEASE.format(body=b"v1"))
    settings = {"app": {"target": "release:app", "path": [str(tmp_path)]}, "workers": {"count": 2}}
    server = server_factory(settings).wait_ready()
    (tmp_path / "release.py").write_text(RELEASE.format(body=b"v2"))
    done = server.command("upgrade")
    assert done.returncode == 0, done.stderr
    assert "generation 2 serves" in done.stdout + done.stderr
    assert server.get("/").body == b"v2"
    # And a bad one is told with its reason.
    (tmp_path / "release.py").write_text("raise RuntimeError('half copied')")
    done = server.command("upgrade")
    assert done.returncode == 1
    assert "half copied" in done.stderr
    assert "generation 2 goes on serving" in done.stderr
    assert server.get("/").body == b"v2"
