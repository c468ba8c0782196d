"""The one error of the codec.

Owns: `ProtocolError`. Runs in: worker. Must not know who sends the answer: it only says which status fits.
"""

from __future__ import annotations

_SHOWN = 60
"""Characters of the peer's text that go into a detail: enough to recognise it, too few to fill a log."""


class ProtocolError(Exception):
    """The peer's bytes are not a request that may be served; the connection cannot be used any further.

    `status` is the answer that fits (400, 413, 414, 417, 431, 501, 505). `detail` is for our own log only: it may quote
    the peer and is never sent to it.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"


def quoted(text: str | bytes) -> str:
    """The peer's text, safe and short enough for a log line."""
    shown = ascii(text[:_SHOWN])
    return shown if len(text) <= _SHOWN else shown + "..."
