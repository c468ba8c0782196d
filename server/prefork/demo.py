"""The demo application: `prefork prefork.demo:app`.

Owns: a page that says who answered, and three paths to try a server with. Runs in: worker, as any application would.
Must not know: prefork. It is plain WSGI (PEP 3333).
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LONGEST_SLEEP_S = 60.0
CHUNK = 64 * 1024

Answer = tuple[str, str, Iterable[bytes]]
"""Status, content type, body."""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>prefork</title>
<style>
  :root {{ color-scheme: light dark; --ink: #1d2a35; --soft: #6b7c8a; --line: #dde4ea; --paper: #fbfcfd; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ink: #e6edf3; --soft: #8b9aa8; --line: #2b3640; --paper: #12181e; }}
  }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper);
         color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
  main {{ width: min(34rem, 90vw); padding: 2rem 0; }}
  h1 {{ font-size: 1.1rem; font-weight: 600; margin: 0; color: var(--soft); }}
  .who {{ font-size: clamp(2.5rem, 12vw, 4.5rem); line-height: 1.1; margin: .2em 0 .5em; letter-spacing: -.03em;
         color: hsl({hue} 60% 45%); }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1.5rem; margin: 0;
       border-top: 1px solid var(--line); padding-top: 1rem; }}
  dt {{ color: var(--soft); }}
  dd {{ margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
  nav {{ display: flex; flex-wrap: wrap; gap: 1.2rem; margin-top: 1.5rem; }}
  a {{ color: inherit; }}
</style>
<main>
  <h1>It works. You were answered by</h1>
  <p class="who">{who}</p>
  <dl>
{rows}
  </dl>
  <nav><a href="/">again</a> <a href="/slow?seconds=2">/slow?seconds=2</a> <a href="/headers">/headers</a></nav>
</main>
</html>
"""


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application."""
    handler = ROUTES.get(environ.get("PATH_INFO") or "/", _not_found)
    status, content_type, body = handler(environ)
    headers = [("Content-Type", content_type), ("Cache-Control", "no-store")]
    if isinstance(body, list):
        headers.append(("Content-Length", str(sum(map(len, body)))))
    start_response(status, headers)
    return body


def _page(environ: WSGIEnvironment) -> Answer:
    pid = os.getpid()
    worker = environ.get("prefork.worker")
    facts = {
        "process": pid,
        "generation": environ.get("prefork.generation"),
        "request": f"{environ.get('REQUEST_METHOD')} {environ.get('SERVER_PROTOCOL')}",
        "you are": environ.get("REMOTE_ADDR"),
        "server": environ.get("SERVER_SOFTWARE"),
        "python": f"{platform.python_version()} on {sys.platform}",
    }
    rows = "\n".join(
        f"    <dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value
    )
    who = f"process {pid}" if worker is None else f"worker {worker}"
    # Neighbouring numbers get colours far apart (the golden angle), so that one sees the workers take turns.
    hue = (pid if worker is None else int(worker)) * 137 % 360
    return "200 OK", "text/html; charset=utf-8", [PAGE.format(who=escape(who), rows=rows, hue=hue).encode()]


def _slow(environ: WSGIEnvironment) -> Answer:
    """Sleep for `?seconds=` (default 1), as an application does that waits for a database."""
    text = parse_qs(environ.get("QUERY_STRING", "")).get("seconds", ["1"])[0]
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_SLEEP_S:
        return _text("400 Bad Request", f"seconds must be a number from 0 to {LONGEST_SLEEP_S:g}\n")
    time.sleep(seconds)
    return _text("200 OK", f"slept for {seconds:g} s in process {os.getpid()}\n")


def _echo(environ: WSGIEnvironment) -> Answer:
    """The request's body, piece by piece."""
    read = environ["wsgi.input"].read
    return "200 OK", "application/octet-stream", iter(lambda: read(CHUNK), b"")


def _headers(environ: WSGIEnvironment) -> Answer:
    """The request as the application sees it."""
    lines = [
        f"{key} = {value!r}\n"
        for key, value in sorted(environ.items())
        if isinstance(value, str | int | tuple)
    ]
    return _text("200 OK", "".join(lines))


def _not_found(environ: WSGIEnvironment) -> Answer:
    return _text("404 Not Found", f"nothing here; try {', '.join(ROUTES)}\n")


def _text(status: str, text: str) -> Answer:
    return status, "text/plain; charset=utf-8", [text.encode(errors="backslashreplace")]


ROUTES: dict[str, Callable[[WSGIEnvironment], Answer]] = {
    "/": _page,
    "/slow": _slow,
    "/echo": _echo,
    "/headers": _headers,
}
