"""Warm-up of an application, with the environ that requests of this server have.

Owns: what those requests share. Runs in: worker (if it imports the application itself), zygote (through its own module).
Must not know: when it happens.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from prefork.net.address import TcpAddress, parse_address
from prefork.observe.log import Log
from prefork.settings.model import Settings
from prefork.version import __version__
from prefork.worker.stamp import HeaderStamp
from prefork.wsgi.context import ErrorStream, ServerContext, WSGIApplication
from prefork.wsgi.environ import UNIX_HOST, server_environ
from prefork.wsgi.warmup import warm_up


def warm_up_application(
    application: WSGIApplication,
    settings: Settings,
    generation: int,
    addresses: Sequence[str],
    log: Log,
) -> None:
    """Send it the requests of `[app] warmup`. Raises BootError (stage "warmup")."""
    if not settings.app.warmup:
        return
    context = ServerContext(
        app=application,
        stamp=HeaderStamp("", time.time()),
        log=log,
        access=None,
        errors=ErrorStream(log.words),
        server_software=f"prefork/{__version__}",
        multithread=settings.workers.threads > 1,
        extra=(("prefork.worker", 0), ("prefork.generation", generation)),
    )
    host, port = _host_and_port(addresses)
    for answer in warm_up(application, server_environ(context, host, port), settings.app.warmup):
        log.info("warmed_up", path=answer.target, status=answer.status, ms=round(answer.seconds * 1000, 1))


def _host_and_port(addresses: Sequence[str]) -> tuple[str, str]:
    address = parse_address(addresses[0]) if addresses else None
    return (address.host, str(address.port)) if isinstance(address, TcpAddress) else (UNIX_HOST, "80")
