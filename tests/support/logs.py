"""Reads what a server writes, line by line, and lets a test wait for a line instead of sleeping."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TypeVar

from support.deadline import DEADLINE_S, Deadline

_FIELD = re.compile(r'(?:^|(?<= ))([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)')
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

T = TypeVar("T")


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code)


def fields_of(line: str) -> dict[str, str]:
    """The `key=value` pairs of one log line; quoted values come back without quotes and escapes."""
    return {
        key: _ESCAPE.sub(_unescape, value[1:-1]) if value.startswith('"') else value
        for key, value in _FIELD.findall(line)
    }


class LogStream:
    """The reading end of a pipe that a server's processes hold as their stdout or stderr.

    A thread collects lines and wakes whoever waits; the end of the stream (the last process closed it) ends
    every wait at once, so a server that died is reported as such and not after the deadline.
    """

    def __init__(self, name: str) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._changed = threading.Condition()
        self._read_fd, self.write_fd = os.pipe()
        self._thread = threading.Thread(target=self._collect, name=f"log {name}", daemon=True)
        self._thread.start()

    def close_writer(self) -> None:
        """Give up this process's copy of the writing end, once the server has its own."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self, deadline: Deadline) -> bool:
        """Wait for the end of the stream. False: some process still holds the other end."""
        self.close_writer()
        self._thread.join(deadline.remaining())
        return not self._thread.is_alive()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_end(self) -> None:
        """Until the last process that could write has gone, and all it wrote is here."""
        self.wait_until(lambda: self.ended or None, "the end of the output")

    def wait_until(self, found: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
        """Call `found` after every change until it returns something; fail with the whole log otherwise."""
        deadline = Deadline(deadline_s)
        with self._changed:
            while True:
                ended = self.ended
                result = found()
                if result is not None:
                    return result
                if ended:
                    raise AssertionError(f"the server went away before {what}; its log:\n{self.text}")
                if not self._changed.wait(deadline.remaining()):
                    raise AssertionError(f"no sign of {what} in time; the log:\n{self.text}")

    def search(self, pattern: str, after: int = 0) -> re.Match[str] | None:
        """First line from number `after` on that the regular expression is found in."""
        for line in self.lines[after:]:
            match = re.search(pattern, line)
            if match:
                return match
        return None

    def events(self, name: str, after: int = 0) -> list[dict[str, str]]:
        """Fields of every `event=name` line from line number `after` on, oldest first."""
        wanted = re.compile(rf"(?:^| )event={re.escape(name)}(?: |$)")
        return [fields_of(line) for line in self.lines[after:] if wanted.search(line)]

    def _collect(self) -> None:
        pending = b""
        while True:
            data = os.read(self._read_fd, 65536)
            *whole, pending = (pending + data).split(b"\n")
            if not data and pending:
                whole = [pending]
            with self._changed:
                self.lines += [line.decode("utf-8", "backslashreplace") for line in whole]
                self.ended = not data
                self._changed.notify_all()
            if not data:
                os.close(self._read_fd)
                return
