"""The pictures of docs/top.md and docs/status.md: a real server under load, in a real terminal (tmux) and a real browser
(Chromium). `make screenshots` makes them again.

PYTHONPATH=tests python bench/screenshots.py docs
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from support.browser import Browser, chromium
from support.http import encode
from support.load import Load
from support.server import Server
from support.tmux import Tmux

WIDTH, HEIGHT = 132, 24

SHOP = """
import hashlib, threading, time

def render_report():
    time.sleep(60)

def wait_for_payment():
    threading.Event().wait(60)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/reports/yearly":
        render_report()
    if path == "/checkout":
        wait_for_payment()
    if path.startswith("/images/"):
        hashlib.pbkdf2_hmac("sha256", b"image", b"salt", 8000)
    if path.startswith("/search"):
        time.sleep(0.02)
    body = path.encode() * 200
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

BROKEN = """
from catalogue import prices
"""
"""Put before the shop: a release that cannot be imported, for the page."""

SETTINGS = {
    "status": {"listen": "127.0.0.1:0"},
    "app": {"target": "shop:app"},
    "workers": {"count": 4, "threads": 4},
    "requests": {"slow": 120, "timeout": 0},
}

LOADS = {"/": (20, 0.05), "/images/17.png": (6, 0.1), "/search?q=tea": (20, 0.08)}
"""Path: clients, seconds between two requests of each. All the time."""

WAVES = (5, 40, 15, 70, 30)
"""So many clients more, one after the other, for eight intervals each."""


def main(directory: Path) -> None:
    """Write top.svg, status.svg, status-light.png and status-dark.png."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (home / "shop.py").write_text(SHOP)
        server = Server(
            home, {**SETTINGS, "server": {"name": "shop"}, "app": {**SETTINGS["app"], "path": [str(home)]}}
        )
        stack.callback(server.close, leave_s=30)
        server.wait_ready()
        server.reload()
        for path, (clients, pace_s) in LOADS.items():
            stack.enter_context(Load(server.address, path, keep_alive=clients, fresh=2, pace_s=pace_s))
        for path in ("/reports/yearly", "/checkout"):
            stack.enter_context(server.connect()).send(encode("GET", path))
        browser = stack.enter_context(chromium(home / "profile"))
        browser.screen(1200, 900)
        browser.open(f"http://{server.status_address}/")  # its curves begin here
        terminal = stack.enter_context(Tmux(WIDTH, HEIGHT))
        command = [sys.executable, "-m", "prefork"]
        terminal.run(*command, "top", "--interval", "0.5", "--sort", "age", "-c", str(server.config))
        for number, clients in enumerate(WAVES, 1):
            with Load(server.address, keep_alive=clients, fresh=0, pace_s=0.04):
                terminal.wait_for(rf"^req/s .*[▁-▇]{{{8 * number}}}", deadline_s=120)
        terminal.keys("t")
        terminal.wait_for(r"in render_report|in wait_for_payment")
        write(directory / "top.svg", "prefork top", terminal.coloured())
        terminal.keys("q", "q")
        terminal.wait_for(r"ready>$")
        terminal.run("clear")
        terminal.run(*command, "status", "-c", str(server.config))
        terminal.wait_for(r"requests that run for long:\n.*\n.*\n")
        lines = [line for line in terminal.coloured().splitlines() if "ready>" not in line]
        write(directory / "status.svg", "prefork status", "\n".join(lines))
        (home / "shop.py").write_text(BROKEN + SHOP)
        server.command("reload", "--wait")
        take_page(server, browser, directory)


def take_page(server: Server, browser: Browser, directory: Path) -> None:
    """The page, light and dark, after more than a minute of load."""
    stuck = server.connect()
    stuck.send(encode("GET", "/reports/yearly"))
    for clients in WAVES:
        with Load(server.address, keep_alive=clients, fresh=0, pace_s=0.04):
            time.sleep(9)  # and less than `render_report` takes
    for scheme in ("light", "dark"):
        path = directory / f"status-{scheme}.png"
        browser.scheme(scheme)
        browser.picture(path)
        print(f"{path}: {path.stat().st_size} bytes")
    stuck.close()


def write(path: Path, title: str, screen: str) -> None:
    """A screen with its escape sequences as a picture that needs nothing from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.rstrip("\n")), no_wrap=True, crop=True)
    # Fonts of the reader's own: each run of text has its length, so any of them fits.
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = re.sub(r"<!--.*?-->\n", "", form).replace(
        "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
    )
    picture = console.export_svg(
        title=title, theme=MONOKAI, code_format=form, unique_id=title.replace(" ", "-")
    )
    assert "url(http" not in picture
    path.write_text(re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE), encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
