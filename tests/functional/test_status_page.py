"""The status page of a real server in a real browser."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.browser import Browser, chromium
from support.deadline import eventually
from support.http import encode
from support.server import Server, ServerFactory

MARKUP = "<img src=x onerror=window.harmed=1>"

LONG = "x" * 150

POISONED = """
const poison = value => typeof value === "string" ? `${value}<script>window.harmed=1</script>%s`
  : Array.isArray(value) ? value.map(poison)
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, poison(v)])) : value;
const done = arguments[0];
fetch("live?since=0").then(answer => answer.json()).then(answer => { show(poison(answer)); done(); });
""".replace("%s", MARKUP)
"""An answer in which every text holds markup."""

CONTRASTS = """
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => {
  const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  return .2126 * f(r) + .7152 * f(g) + .0722 * f(b);
};
const behind = e => {
  for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.offsetParent || e.closest(".hidden, svg, .skip, script, style")) continue;
  const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) poor.push(`${e.className || e.tagName} ${e.textContent.slice(0, 20)}: ${ratio.toFixed(2)}`);
}
return poor;
"""
"""Texts with less contrast than WCAG 2.2 asks for (1.4.3, level AA)."""

ASKED_LATER = """
const done = arguments[0], asked = () => performance.getEntriesByType("resource").filter(e => e.name.includes("live?")).length;
const before = asked();
setTimeout(() => done(asked() - before), 2500);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def server(serve: ServerFactory) -> Server:
    tables = {"status": {"listen": ["127.0.0.1:0"]}, "server": {"name": MARKUP}, "log": {"level": "info"}}
    started = serve("stuck:app", workers=3, settings=tables)
    started.wait_for_event("status_ready")
    return started


def look_at(browser: Browser, server: Server) -> None:
    browser.screen(1200, 900)
    browser.complaints()
    browser.open(f"http://{server.status_address}/")
    browser.wait_for("#pulse", "live")


def test_load_and_a_stuck_request_are_seen(browser: Browser, server: Server) -> None:
    look_at(browser, server)
    assert browser.text("#state") == "serving"
    assert browser.text("h1") == MARKUP, "as text"
    assert browser.run("return document.querySelectorAll('.worker').length") == 3
    assert browser.text("#no-requests") == "None at the moment."

    def some_load() -> str:
        for _ in range(20):
            server.get("/quick")
        return browser.text(".tile .value")

    eventually(lambda: some_load() not in ("0", "\u2013"), "a rate of requests")
    eventually(
        lambda: browser.run("return document.querySelector('.plot path.line').getAttribute('d').length > 20"),
        "a curve",
    )

    with ExitStack() as stack:
        stuck = stack.enter_context(server.connect())
        stuck.send(encode("GET", f"/sleep?{LONG}"))
        browser.wait_for("#request-rows", f"GET /sleep?{LONG} HTTP/1.1")
        browser.wait_for("#request-rows", "slow")
        browser.wait_for("#worker-list", "busy, ")
        # Whoever comes now finds what was before.
        look_at(browser, server)
        assert browser.run("return points.length") >= 2
        browser.wait_for("#request-rows", f"GET /sleep?{LONG} HTTP/1.1")

        # On a phone, with that long line.
        browser.screen(360, 740)
        widths = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert widths == [360, 360]
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            assert (
                browser.run("return getComputedStyle(document.body).backgroundColor")
                == {
                    "light": "rgb(243, 245, 248)",
                    "dark": "rgb(15, 20, 27)",
                }[scheme]
            )
            eventually(lambda: not browser.run(CONTRASTS), "colours that have settled")
            assert browser.run(CONTRASTS) == []
        browser.scheme("light")
    origin = browser.run("return location.origin")
    asked = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked and all(each.startswith(f"{origin}/live?") for each in asked), "nobody else is asked"
    assert browser.complaints() == []
    server.stop(signal.SIGINT)
    browser.wait_for("#silence", "cannot be reached")


def names(tree: list[dict[str, Any]], role: str) -> list[str]:
    return [node.get("name", {}).get("value", "") for node in tree if node["role"]["value"] == role]


def test_a_failed_reload_shows_its_traceback(browser: Browser, server: Server) -> None:
    look_at(browser, server)
    assert browser.text("#no-history") == "None since the server began."
    server.configure({"app": {"target": "broken:app", "path": [str(server.directory)]}})
    (server.directory / "broken.py").write_text(
        f"def table():\n    raise ValueError({MARKUP!r})\n\ntable()\n"
    )
    server.signal(signal.SIGHUP)
    browser.wait_for("#failure", f"The last reload failed (import): 'broken:app': ValueError: {MARKUP}.")
    assert "Generation 1 goes on serving." in browser.text("#failure")
    browser.wait_for("#announce", "reload failed: 'broken:app': ValueError")
    assert browser.text("#history-list pre") == "", "closed"

    # With the keyboard alone: down to the traceback, and open it.
    for _ in range(40):
        browser.press("Tab")
        if browser.run("return document.activeElement.tagName") == "SUMMARY":
            break
    browser.press("Enter")
    browser.wait_for("#history-list pre", 'broken.py", line 2, in table')
    assert browser.text("#history-list pre").rstrip().endswith(f"ValueError: {MARKUP}")
    browser.run("window.seen = points.length")
    eventually(lambda: browser.run("return points.length > window.seen"), "the next answers")
    assert "broken.py" in browser.text("#history-list pre"), "stays open"
    assert unharmed(browser)

    tree = browser.accessibility_tree()
    roles = {node["role"]["value"] for node in tree}
    assert {"banner", "main", "contentinfo", "heading", "list", "status", "image", "button"} <= roles
    unnamed = [
        role
        for role in ("button", "link", "image", "table", "region")
        for name in names(tree, role)
        if not name
    ]
    assert unnamed == []
    assert any("Arrow keys" in name for name in names(tree, "image"))
    assert browser.complaints() == []


def unharmed(browser: Browser) -> bool:
    found: bool = browser.run(
        "return window.harmed === undefined && !document.querySelector('body img, .frame script')"
    )
    return found


def test_nothing_the_server_says_is_taken_for_markup(browser: Browser, server: Server) -> None:
    look_at(browser, server)
    with server.connect() as stuck:
        stuck.send(encode("GET", "/sleep"))
        browser.wait_for("#request-rows", "GET /sleep")
        server.configure({"app": {"target": "nothing:app"}})
        server.signal(signal.SIGHUP)
        browser.wait_for("#history-list", "failed")
        browser.run("document.getElementById('pause').click()")
        browser.run_async(POISONED)
        for place in (
            "#request-rows",
            "h1",
            "#state",
            "#facts",
            "#worker-list",
            "#generation-list",
            "#history-list",
            "#queue-rows",
        ):
            assert "<script>window.harmed=1</script>" in browser.text(place), place
        assert unharmed(browser)
        assert browser.complaints() == []
        server.stop(signal.SIGINT)


def test_it_asks_only_while_somebody_looks(browser: Browser, server: Server) -> None:
    look_at(browser, server)
    browser.run("document.getElementById('pause').focus()")
    browser.press("Enter")
    assert browser.run("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    browser.wait_for("#pulse", "paused")
    assert browser.run_async(ASKED_LATER) <= 1, "one may have been on its way"
    browser.press("Enter")
    browser.wait_for("#pulse", "live")
    browser.run(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert browser.run_async(ASKED_LATER) <= 1
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    assert browser.run_async(ASKED_LATER) >= 1
