"""What is served instead of an application that does not import.

Owns: the page and its text. Runs in: a worker of `prefork --dev`. Must not know: how the application is loaded, who notices
that it is mended.

The page asks in the background whether another answer is to be had, and shows it as soon as there is.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Iterable
from typing import Any

MARK = "X-Prefork-Failure"
"""Which failure an answer is about, for the page that waits for another."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --soft: #f4f4f6; --alarm: #b3261e; --faint: #6b6b70; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ececf0; --paper: #17171a; --soft: #232327; --alarm: #ff8a80; --faint: #9a9aa2; }}
}}
body {{ margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem; }}
h1 {{ margin: 0 0 .25rem; font-size: 1.25rem; color: var(--alarm); overflow-wrap: anywhere; }}
p {{ margin: 0 0 1.5rem; color: var(--faint); }}
pre {{ margin: 0; padding: 1rem; overflow: auto; background: var(--soft); border-radius: 6px;
  font: 14px/1.5 ui-monospace, monospace; }}
</style>
<noscript><meta http-equiv="refresh" content="2"></noscript>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{target} cannot be served. Mend the file, and this page goes on by itself.</p>
<pre>{text}</pre>
</main>
<script>
setInterval(async () => {{
  try {{
    const answer = await fetch(location.href, {{method: "HEAD", cache: "no-store"}});
    if (answer.headers.get("{mark}") !== "{name}") location.reload();
  }} catch {{ /* the server is away for a moment */ }}
}}, 500);
</script>
</body>
</html>
"""


def failure_application(target: str, error: str, traceback: str) -> Callable[..., Iterable[bytes]]:
    """A WSGI application that answers everything with 500 and the traceback: HTML for browsers, text for everybody else."""
    text = traceback.rstrip() or error
    name = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    title = html.escape(error.removeprefix(f"{target!r}: "))
    page = _PAGE.format(title=title, target=html.escape(target), text=html.escape(text), mark=MARK, name=name)
    as_html, as_text = page.encode("utf-8", "replace"), f"{text}\n".encode("utf-8", "replace")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        wants_html = "text/html" in environ.get("HTTP_ACCEPT", "")
        body = as_html if wants_html else as_text
        kind = "text/html" if wants_html else "text/plain"
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Vary", "Accept"),
            (MARK, name),
        ]
        start_response("500 Internal Server Error", headers)
        return [body]

    return application
