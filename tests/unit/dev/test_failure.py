"""The page that stands in for an application that does not import."""

from __future__ import annotations

from typing import Any

from prefork.dev.failure import MARK, failure_application
from prefork.dev.urls import urls


def ask(app: Any, accept: str) -> tuple[str, dict[str, str], str]:
    seen: list[Any] = []
    body = b"".join(app({"HTTP_ACCEPT": accept}, lambda *given: seen.append(given)))
    return seen[0][0], dict(seen[0][1]), body.decode()


def test_text_for_tools_and_a_page_for_browsers_in_which_nothing_is_markup() -> None:
    app = failure_application("a:b", "'a:b': SyntaxError: <b>", 'File "<script>alert(1)</script>"')
    status, headers, text = ask(app, "*/*")
    assert status.startswith("500 ")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text == 'File "<script>alert(1)</script>"\n'
    _, page_headers, page = ask(app, "text/html,*/*;q=0.8")
    assert page_headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<h1>SyntaxError: &lt;b&gt;</h1>" in page
    assert headers[MARK] in page


def test_another_failure_has_another_mark() -> None:
    one, two = (ask(failure_application("a:b", "x", text), "")[1][MARK] for text in ("one", "two"))
    assert one != two


def test_addresses_to_click_on() -> None:
    assert urls(["127.0.0.1:80", "unix:/run/x", "[::1]:8000"], secure=True) == [
        "https://127.0.0.1:80",
        "unix:/run/x",
        "https://[::1]:8000",
    ]
    assert urls(["0.0.0.0:8000"])[0] == "http://127.0.0.1:8000"
