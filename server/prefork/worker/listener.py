"""A listening socket that accepts at less cost.

Owns: `accept` without the look-ups of the standard library's, which asks for family and type of the listener each time and
makes members of an enum of both: as expensive as the system call. Runs in the worker. Must not know: who is accepted, when.
"""

from __future__ import annotations

import socket
from typing import Any

_HAS_ACCEPT = hasattr(socket.socket, "_accept")
"""What socket.accept itself calls, in every Python so far; should one have it no more, `accept` is the inherited one."""


class Listener(socket.socket):
    """A socket as any other, but for `accept`."""

    __slots__ = ("_kind",)

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        self._kind = (int(self.family), int(self.type), self.proto)

    def accept(self) -> tuple[socket.socket, Any]:
        """See socket.accept."""
        if not _HAS_ACCEPT:
            return super().accept()
        fd, peer = self._accept()  # type: ignore[attr-defined]
        return socket.socket(*self._kind, fd), peer
