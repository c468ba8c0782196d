"""The application of the status process.

Owns: what is at which path, and what is said while the master does not answer. Any thread. Runs in: status process. Must not
know: sockets, how the master is asked, how metrics are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from prefork.ipc.appmetrics import Family
from prefork.observe.log import Log
from prefork.observe.memory import Memory
from prefork.status import answers
from prefork.status.answers import JSON, Reply, StartResponse, send
from prefork.status.document import Document, page_document, pids, status_document
from prefork.status.exposition import NotInstalledError, expose, require
from prefork.status.memory import Memories
from prefork.status.page import load_page
from prefork.status.readiness import unready
from prefork.status.sampler import Sampler
from prefork.status.source import Answer, Source

Environ = dict[str, Any]


class StatusApplication:
    """WSGI (PEP 3333)."""

    def __init__(
        self,
        source: Source,
        sampler: Sampler,
        memories: Memories,
        log: Log,
        read_application: Callable[[], Sequence[Family]] = tuple,
    ) -> None:
        """`read_application` gives the application's own metrics."""
        self._source = source
        self._sampler = sampler
        self._memories = memories
        self._read_application = read_application
        self._page = load_page()
        self._routes: dict[str, Callable[[Environ], Reply]] = {
            "/": self._show_page,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._metrics,
            "/live": self._live,
        }
        try:
            require()
        except NotInstalledError as error:
            log.warning("metrics_unavailable", error=error)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        return send(self._reply(environ), environ, start_response)

    def _reply(self, environ: Environ) -> Reply:
        route = self._routes.get(environ["PATH_INFO"])
        if route is None:
            known = ", ".join(path for path in self._routes if path != "/live")
            return answers.text(404, f"there is nothing here; there is something at {known}")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return answers.text(405, "this is for reading: GET or HEAD", ("Allow", "GET, HEAD"))
        return route(environ)

    def _show_page(self, _environ: Environ) -> Reply:
        self._sampler.look()
        return self._page

    def _healthz(self, _environ: Environ) -> Reply:
        return answers.text(200, "ok") if self._sampler.ask() is not None else self._silence()

    def _readyz(self, _environ: Environ) -> Reply:
        answer = self._sampler.ask()
        if answer is None:
            return self._silence()
        reason = unready(answer.status)
        return answers.text(200, "ready") if reason is None else answers.text(503, reason)

    def _status(self, _environ: Environ) -> Reply:
        answer = self._sampler.ask()
        if answer is None and self._source.latest is None:
            return self._silence()
        return Reply(200, JSON, msgspec.json.encode(self._document(answer)))

    def _live(self, environ: Environ) -> Reply:
        """What the page shows: the status, and the points of its curves that it does not have yet."""
        self._sampler.look()
        answer = self._sampler.ask()
        silent_s = 0.0 if answer is not None else self._source.silent_s
        points = self._sampler.points_since(_number(environ.get("QUERY_STRING", ""), "since"))
        return Reply(200, JSON, msgspec.json.encode(page_document(self._document(answer), points, silent_s)))

    def _metrics(self, environ: Environ) -> Reply:
        answer = self._sampler.ask()
        status, memory = None, dict[int, Memory | None]()
        if answer is not None:
            status, memory = answer.status, self._memories.of(pids(answer))
        try:
            content_type, body = expose(
                status, memory, environ.get("HTTP_ACCEPT", ""), application=self._read_application()
            )
        except NotInstalledError as error:
            return answers.text(501, str(error))
        return Reply(200, content_type, body)

    def _document(self, answer: Answer | None) -> Document | None:
        """Of a fresh answer, or of the last there was."""
        stale_s = 0.0
        if answer is None:
            answer, stale_s = self._source.latest, self._source.silent_s
        if answer is None:
            return None
        return status_document(answer, self._memories.of(pids(answer)), stale_s)

    def _silence(self) -> Reply:
        latest = self._source.latest
        last = "it never has" if latest is None else f"its last answer is {self._source.silent_s:.1f} s old"
        return answers.text(503, f"the master does not answer; {last}")


def _number(query: str, name: str) -> float:
    try:
        return float(parse_qs(query).get(name, ["0"])[0])
    except ValueError:
        return 0.0
