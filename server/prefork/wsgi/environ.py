"""The part of the WSGI environ that does not change from request to request on one connection.

Owns: the base dictionary (PEP 3333 "environ Variables"); the parser copies it and adds what the request says. Pure. Runs in
the worker at accept. Must not know: sockets.
"""

from __future__ import annotations

from typing import Any

from prefork.wsgi.context import ServerContext
from prefork.wsgi.filewrapper import FileWrapper

UNIX_HOST = "localhost"
"""SERVER_NAME of a unix listener, and what stands for its Host: there is none, and PEP 3333 wants it never empty."""


def server_environ(context: ServerContext, host: str, port: str, scheme: str = "http") -> dict[str, Any]:
    """The entries that all connections of one listener share. `host` and `port` are those of the listener."""
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": context.errors,
        "wsgi.multithread": context.multithread,
        "wsgi.multiprocess": context.multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "SERVER_SOFTWARE": context.server_software,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SCRIPT_NAME": "",
    }
    environ.update(context.extra)
    return environ


def connection_environ(listener: dict[str, Any], peer: object) -> dict[str, Any]:
    """`listener`'s entries plus the client's address. `peer` is what accept(2) gave: (host, port, ...) or a unix name."""
    environ = listener.copy()
    environ["prefork.peer"] = text_of_peer(peer)
    if isinstance(peer, tuple):
        environ["REMOTE_ADDR"] = peer[0]
        environ["REMOTE_PORT"] = str(peer[1])
    else:
        environ["REMOTE_ADDR"] = ""
    return environ


def text_of_peer(peer: object) -> str:
    """ "192.0.2.1:40000", "[2001:db8::1]:40000", or "unix" for whoever comes over a unix socket."""
    if not isinstance(peer, tuple):
        return "unix"
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
