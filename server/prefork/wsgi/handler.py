"""WSGIRequestHandler: turns a complete request into a call of the application.

Owns: the points where a user may change how requests are served (`[server] request_handler = "pkg.mod:Class"`), with the
names that users of Werkzeug's development server know. One handler a connection, used for one request at a time. Runs in the
worker, in the thread that has the request. Must not know: sockets, epoll, which executor runs it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from prefork.errors import RequestTimeout
from prefork.http.receiver import Request
from prefork.http.response import InvalidResponseError
from prefork.version import __version__
from prefork.wsgi.after import current
from prefork.wsgi.context import ServerContext, WSGIApplication
from prefork.wsgi.failures import Failure, application_traceback, caller_traceback, in_words
from prefork.wsgi.fields import RequestFields
from prefork.wsgi.input import BodyError, SpooledBody, StreamedBody
from prefork.wsgi.response import ApplicationError, ClientGoneError, Output, Response

_OVERLOADED = "503 Service Unavailable"

# For every request: one look-up instead of two.
_monotonic_ns, _BytesIO, _set_current = time.monotonic_ns, io.BytesIO, current.set


class WSGIRequestHandler:
    """Serves the requests of one connection. Subclass it and override any of the methods without underscore."""

    __slots__ = (
        "_response",
        "_started_ns",
        "_write_out",
        "bytes_in",
        "client_address",
        "duration_ns",
        "environ",
        "failure",
        "failures",
        "queued_ns",
        "request",
        "server",
    )

    server_version = f"prefork/{__version__}"
    """SERVER_SOFTWARE, and what `version_string` says."""

    def __init__(
        self, server: ServerContext, client_address: object, write_out: Callable[[bytes], None]
    ) -> None:
        self.server = server
        self.client_address = client_address
        """What accept(2) gave: (host, port) for TCP, a string for unix sockets."""
        self.environ: dict[str, Any] = {}
        """The environ of the current request; empty between two requests."""
        self.request: Request | None = None
        self.duration_ns = 0
        """How long the request has taken, when `log_request` is called."""
        self.failure: Failure | None = None
        """What went wrong, while `log_error` is called for that."""
        self._write_out = write_out
        self._response: Response | None = None
        self._started_ns = 0
        self.queued_ns = 0
        """How long the request has waited for its turn, in nanoseconds; 0 if nobody knows."""
        self.bytes_in = 0
        """Of the body of the request."""
        self.failures = 0
        """How often the application has raised; whoever counts them sets it back."""

    # Points of extension ----------------------------------------------------------------------------------------

    def make_environ(self) -> dict[str, Any]:
        """The environ of the current request. Override to add to it; the base fills it completely."""
        return self.environ

    def run_wsgi(self) -> None:
        """Calls the application. What it returns is pulled afterwards, when the socket has room."""
        response = self._response
        assert response is not None
        environ = self.environ = self.make_environ()
        response.begin(self.server.app(environ, response.start_response))

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """The client went away before it had the whole response. By default nothing is done."""

    def version_string(self) -> str:
        """The `Server` line of responses, if a subclass says so here or in `server_version` and `[server] server_header` is not
        set. Asked once, at the start, of an instance without a request."""
        return self.server_version

    def log_request(self, code: int = 0, size: int = 0) -> None:
        """The response is out (or given up). Writes the access line if `[log] access` is on."""
        if self.server.access is not None:
            self.server.access(self.environ, code, size, self.duration_ns, self.queued_ns, self.bytes_in)

    def log_error(self, format: str, *args: Any) -> None:
        """Something about this request that the operator should know: a failure of the application (`failure` has the whole of
        it), or words of a subclass (`format % args`)."""
        failure = self.failure
        if failure is None:
            self.log("error", format, *args)
        else:
            self._tell(self.server.log.error, failure.event, **failure.fields)

    def log_message(self, format: str, *args: Any) -> None:
        """Words of a subclass, level info."""
        self.log("info", format, *args)

    def log(self, type: str, message: str, *args: Any) -> None:
        """Words of a subclass about this request; `type` is "debug", "info", "warning" or "error"."""
        tell = getattr(self.server.log, type)
        self._tell(tell, "handler", message=message % args if args else message)

    def _tell(self, tell: Callable[..., None], event: str, **fields: Any) -> None:
        request_id = self.environ.get("prefork.request_id")
        if request_id is not None:
            fields["request_id"] = request_id
        tell(event, request=self.request_line(), client=self.address_string(), **fields)

    def address_string(self) -> str:
        """The client's address, without port; empty for unix sockets."""
        address = self.client_address
        return str(self.environ.get("REMOTE_ADDR") or (address[0] if isinstance(address, tuple) else ""))

    def port_integer(self) -> int:
        """The client's port, 0 for unix sockets."""
        return int(self.environ.get("REMOTE_PORT", 0))

    def request_line(self) -> str:
        """The request line as it was received, for logs."""
        return self.request.head.line if self.request is not None else ""

    @property
    def response(self) -> Response:
        """The response to the present request, in `run_wsgi`."""
        assert self._response is not None
        return self._response

    @property
    def command(self) -> str:
        """The method of the present request."""
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def path(self) -> str:
        """The target of the present request, as it was received."""
        return str(self.environ.get("RAW_URI", ""))

    @property
    def request_version(self) -> str:
        """ "HTTP/1.1" or "HTTP/1.0"."""
        return str(self.environ.get("SERVER_PROTOCOL", ""))

    @property
    def headers(self) -> RequestFields:
        """The header fields of the present request, by their names in any case."""
        return RequestFields(self.environ)

    def response_begun(self) -> bool:
        """The head of the response is on its way."""
        return self._response is not None and self._response.head_sent

    # Called by the connection, in the thread that has the request -------------------------------------------------

    def begin(self, request: Request) -> None:
        """This is the present request."""
        self._started_ns = time.monotonic_ns()
        self.request, self.environ = request, request.environ

    def respond(self, request: Request, keep_alive: bool, instead: WSGIApplication | None = None) -> Response:
        """Runs the application for `request`, or one of ours `instead`. An error in it becomes a 500; this never raises."""
        self._started_ns = _monotonic_ns()  # `begin`, without a call
        self.request = request
        environ = self.environ = request.environ
        head = request.head
        self._response = response = Response(
            self.server.stamp,
            self._write_out,
            head.minor,
            head.method == "HEAD",
            keep_alive and head.keep_alive,
        )
        _set_current(response)
        environ["wsgi.early_hints"] = response.early_hints
        body = request.body
        try:
            if body is None:
                environ["wsgi.input"] = _BytesIO()
            elif isinstance(body, SpooledBody):
                environ["wsgi.input"] = body.as_input()
            elif isinstance(body, StreamedBody):
                environ["wsgi.input"] = body.as_input()
                response.unread = body.unread
            if instead is None:
                self.run_wsgi()
            else:
                response.begin(instead(environ, response.start_response))
        except BaseException as error:  # noqa: BLE001 - application code; reported and answered with 500
            self.raised(response, error)
        return response

    def raised(self, response: Response, error: BaseException) -> None:
        """The application has raised instead of returning."""
        if isinstance(error, ClientGoneError):
            response.lose(error)
        else:
            self._application_raised(response, error)

    def turn_away(self, request: Request, keep_alive: bool, retry_after_s: int) -> Response:
        """Answers 503 without running the application: `request` has waited too long for its turn."""
        self.begin(request)
        head = request.head
        self._response = response = Response(
            self.server.stamp,
            self._write_out,
            head.minor,
            head.method == "HEAD",
            keep_alive and head.keep_alive,
        )
        headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
        response.start_response(_OVERLOADED, [*headers, ("Retry-After", str(retry_after_s))])
        response.begin([f"{_OVERLOADED}\n".encode()])
        return response

    def pull(self, response: Response) -> Output | None:
        """The next bytes of the response, None at the end. An error in the application becomes a 500 or cuts the response.
        Raises ClientGoneError.
        """
        try:
            return response.pull()
        except ClientGoneError:
            raise
        except BaseException as error:  # noqa: BLE001 - application code
            self._application_raised(response, error)
            return response.pull()

    def end(self, response: Response, dropped: BaseException | None = None) -> None:
        """The last byte is out, or the client is gone (`dropped`): close() of the iterable, then the log."""
        try:
            response.close()
        except BaseException as error:  # noqa: BLE001 - application code
            self._report(error, "close_failed")
        request = self.request
        body = None if request is None else request.body
        self.bytes_in = 0 if body is None or not isinstance(body, SpooledBody | StreamedBody) else body.size
        try:
            if response.problem:
                self.server.log.warning(
                    "bad_response",
                    request=self.request_line(),
                    problem=response.problem,
                    application=self.server.app_name,
                )
            if dropped is not None:
                self.connection_dropped(dropped, self.environ)
        except BaseException as error:  # noqa: BLE001 - code of a subclass
            self._report(error, "handler_failed")
        self.log_end(response)
        self.let_go(response)

    def log_end(self, response: Response) -> None:
        """The response is over: `log_request`."""
        self.duration_ns = _monotonic_ns() - self._started_ns
        try:
            self.log_request(response.status, response.body_bytes)
        except BaseException as error:  # noqa: BLE001 - code of a subclass
            self._report(error, "handler_failed")

    def answered_instead(self, status: int, size: int) -> None:
        """The loop has answered, because the thread of the request does not come back: the access log. Called by the loop."""
        elapsed_ns = self.duration_ns = time.monotonic_ns() - self._started_ns
        fields = {"request": self.request_line(), "client": self.address_string()}
        self.server.log.warning(
            "request_taken_over", **fields, status=status, elapsed_s=round(elapsed_ns / 1e9, 3)
        )
        try:
            self.log_request(status, size)
        except BaseException as error:  # noqa: BLE001 - code of a subclass
            self._report(error, "handler_failed")

    def end_unheard(self, response: Response) -> None:
        """The thread has come back after that: close() of the iterable; what it said is for nobody. `let_go` is left to the loop,
        which may still be at its part."""
        elapsed_s = round((time.monotonic_ns() - self._started_ns) / 1e9, 3)
        fields = {"request": self.request_line(), "client": self.address_string()}
        self.server.log.warning("request_came_back", **fields, elapsed_s=elapsed_s)
        try:
            response.close()
        except BaseException as error:  # noqa: BLE001 - application code
            self._report(error, "close_failed")
        response.ended = True
        response.line = self.request_line()

    def let_go(self, response: Response) -> None:
        """The end of the request. An idle connection keeps nothing of it alive: frameworks put their objects into the environ."""
        request = self.request
        if request is not None and request.body is not None:
            request.body.close()
        response.ended = True
        if response.later is not None:
            response.line = self.request_line()
        self.request = self._response = None
        self.environ = {}

    def _application_raised(self, response: Response, error: BaseException) -> None:
        if isinstance(error, BodyError):  # the client's doing, which the application need not know about
            self.server.log.debug("request_refused", status=error.status, detail=str(error))
            response.fail(error.status_line)
            return
        self.failures += 1
        escaped = self.server.escaped
        if escaped is not None and escaped(error):
            response.fail()
            return
        if isinstance(error, RequestTimeout):
            self._report(error, "request_interrupted")
            response.fail("503 Service Unavailable")
        else:
            self._report(error, "request_failed")
            response.fail()

    def _report(self, error: BaseException, event: str) -> None:
        broken_rule = isinstance(error, ApplicationError | InvalidResponseError)
        fields: dict[str, Any] = {"application": self.server.app_name} if broken_rule else {}
        text = caller_traceback(error) if broken_rule else application_traceback(error)
        if text:
            fields |= {"traceback": text, "exception": error}
        words = in_words(error)
        self.failure = Failure(event, {"error": words, **fields})
        try:
            self.log_error("%s: %s", event, words)
        except BaseException as second:  # noqa: BLE001 - code of a subclass
            self.server.log.error(
                event, error=words, log_error=in_words(second), traceback=text, exception=error
            )
        finally:
            self.failure = None
