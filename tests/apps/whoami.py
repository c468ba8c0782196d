"""Tells who runs it: at import, and at a request."""

from __future__ import annotations

import os


def me() -> str:
    umask = os.umask(0)
    os.umask(umask)
    return f"uid={os.getresuid()} gid={os.getresgid()} groups={os.getgroups()} umask={umask:#o} home={os.environ.get('HOME')}"


AT_IMPORT = me()


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{AT_IMPORT}\n{me()}\n".encode()]
