"""One request through the handler, without a connection: what the application was asked for and what went out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from prefork.http.limits import Limits
from prefork.http.receiver import Request, RequestReceiver
from prefork.wsgi.context import ServerContext
from prefork.wsgi.environ import connection_environ, server_environ
from prefork.wsgi.filewrapper import FileSpan
from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.input import SpooledBody
from prefork.wsgi.response import ClientGoneError, Response
from support.serving import AccessLines, RecordingLog, make_context
from support.wire import Answer, parse_answer

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
PEER = ("192.0.2.7", 40001)


def make_request(
    raw: bytes, context: ServerContext, *, peer: object = PEER, memory_bytes: int = 1000
) -> Request:
    """The request in `raw`, as a worker's connection gets it."""
    base = connection_environ(server_environ(context, "127.0.0.1", "8000"), peer)
    request = RequestReceiver(Limits(), base, lambda: SpooledBody(memory_bytes)).feed(raw)
    assert request is not None
    return request


class Exchange:
    """A handler and one request for it. The steps are those of a connection."""

    def __init__(
        self,
        app: App,
        method: str = "GET",
        *,
        version: str = "1.1",
        fields: str = "",
        body: bytes = b"",
        keep_alive: bool = True,
        handler_class: type[WSGIRequestHandler] = WSGIRequestHandler,
        gone_after: int | None = None,
        peer: object = PEER,
    ) -> None:
        """`gone_after`: the client goes away once it has got so many pieces."""
        self.log = RecordingLog()
        self.access = AccessLines()
        self.context = make_context(app, self.log, access=self.access)
        self.pieces: list[bytes] = []
        self.gone_after = gone_after
        self.keep_alive = keep_alive
        self.method = method
        if body:
            fields += f"Content-Length: {len(body)}\r\n"
        head = f"{method} /p/a?q=1 HTTP/{version}\r\nHost: example.org\r\n{fields}\r\n"
        self.request = make_request(head.encode("latin-1") + body, self.context, peer=peer)
        self.handler = handler_class(self.context, peer, self.take)
        self.response: Response

    def take(self, data: bytes) -> None:
        """The client gets a piece."""
        if self.gone_after is not None and len(self.pieces) >= self.gone_after:
            raise ClientGoneError("gone")
        self.pieces.append(data)

    def respond(self) -> Exchange:
        """The application is called."""
        self.response = self.handler.respond(self.request, self.keep_alive)
        return self

    def pull(self) -> bool:
        """The next piece of the response; False: there is none."""
        if self.response.done:
            return False
        output = self.handler.pull(self.response)
        if output is None:
            return False
        if isinstance(output, FileSpan):
            output = os.pread(output.fd, output.length, output.offset)
        self.take(output if isinstance(output, bytes) else b"".join(output))
        return True

    def end(self, dropped: BaseException | None = None) -> Exchange:
        """The response is out, or the client is gone."""
        self.handler.end(self.response, dropped)
        return self

    def run(self) -> Exchange:
        """All of it."""
        self.respond()
        try:
            while self.pull():
                pass
        except ClientGoneError as error:
            return self.end(error)
        return self.end()

    @property
    def raw(self) -> bytes:
        """All bytes that went out."""
        return b"".join(self.pieces)

    def answer(self) -> Answer:
        """What the client makes of them; it must be complete, and framed if the connection stays."""
        return parse_answer(self.raw, self.method, closed=not self.response.keep_alive)

    @property
    def problems(self) -> list[str]:
        """What was logged, by name."""
        return self.log.events


def exchange(app: App, method: str = "GET", **options: Any) -> Exchange:
    """One request, from its first byte to its last."""
    return Exchange(app, method, **options).run()
