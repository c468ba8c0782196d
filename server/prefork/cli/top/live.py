"""The loop of `prefork top`: keys, news and signals in, a screen out.

Owns: what is waited for. Runs in: cli. Needs rich. Must not know: what keys do, what is drawn.
"""

from __future__ import annotations

import os
import select
import signal

from rich.console import Console
from rich.text import Text

from prefork.cli.top.asking import Asking
from prefork.cli.top.draw import Picture, draw, pane_content
from prefork.cli.top.keys import ESCAPE_S, Keys
from prefork.cli.top.layout import layout
from prefork.cli.top.rates import Sample
from prefork.cli.top.session import Session, request_of
from prefork.cli.top.terminal import LeaveError, Terminal
from prefork.cli.top.ui import Quit, Redraw, Ui
from prefork.errors import EXIT_OK

_TICK_S = 1.0
"""Ages and messages change although nothing comes."""


def watch(path: str, first: Sample, ui: Ui, interval_s: float, *, unicode: bool) -> int:
    """Show the server at `path` until the user leaves; returns the exit code."""
    painter = _Painter()
    session = Session(first, ui)
    try:
        with Terminal(0, 1) as terminal, Asking(path, interval_s) as asking:
            _Loop(session, terminal, asking, painter, interval_s, unicode=unicode).run()
    except LeaveError as ended:
        if ended.number == signal.SIGINT:
            return EXIT_OK  # as q
        return 128 + ended.number  # as a shell reports it
    return EXIT_OK


class _Loop:
    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        asking: Asking,
        painter: _Painter,
        interval_s: float,
        *,
        unicode: bool,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._asking = asking
        self._painter = painter
        self._interval_s = interval_s
        self._unicode = unicode
        self._keys = Keys()

    def run(self) -> None:
        """Until the user leaves. Raises LeaveError."""
        while True:
            self._show()
            sources = [self._terminal.keys_fd, self._terminal.signals_fd, self._asking.fd]
            ready, _, _ = select.select(sources, [], [], ESCAPE_S if self._keys.unfinished else _TICK_S)
            if self._terminal.signals_fd in ready:
                self._terminal.take_signals()
            if self._asking.fd in ready:
                for news in self._asking.take():
                    self._session.hear(news)
            for key in self._new_keys(ready):
                if not self._press(key):
                    return

    def _new_keys(self, ready: list[int]) -> list[str]:
        if self._terminal.keys_fd not in ready:
            return self._keys.settle()
        data = os.read(self._terminal.keys_fd, 1024)
        if not data:
            raise LeaveError(signal.SIGHUP)  # the terminal has gone
        return self._keys.feed(data)

    def _press(self, key: str) -> bool:
        """False: leave."""
        picture, (width, height) = self._picture(), self._terminal.size()
        shared = layout(height, len(picture.rows), pane=True)
        effect = self._session.press(key, shared.pane, len(pane_content(picture, width)))
        if isinstance(effect, Quit):
            return False
        if isinstance(effect, Redraw):
            self._terminal.forget()
        elif effect is not None:
            request = request_of(effect)
            if request is not None:
                self._asking.errand(effect, request)
        return True

    def _picture(self) -> Picture:
        session = self._session
        return Picture(
            sample=session.sample,
            rates=session.rates,
            rows=session.rows,
            ui=session.ui,
            problem=session.problem,
            message=session.message,
            pane_title=session.pane_title,
            pane_lines=session.pane_lines,
            requests_trail=list(session.requests_trail),
            p99_trail=list(session.p99_trail),
            unicode=self._unicode,
            interval_s=self._interval_s,
        )

    def _show(self) -> None:
        width, height = self._terminal.size()
        self._terminal.show(self._painter.paint(draw(self._picture(), width, height), width))


class _Painter:
    """Styled lines as the terminal takes them, in as many colours as it has (NO_COLOR, TERM: rich knows)."""

    def __init__(self) -> None:
        self._console = Console(force_terminal=True, highlight=False, markup=False, emoji=False)

    def paint(self, lines: list[Text], width: int) -> list[str]:
        self._console.width = width
        with self._console.capture() as captured:
            for line in lines:
                self._console.print(line, no_wrap=True, overflow="crop", crop=True)
        return captured.get().split("\n")[: len(lines)]
