"""Memory for request bodies, used again and again.

Fresh memory costs more than receiving into it: the kernel gives it page by page, and zeroes each. So bodies lie in pieces of one
size, which go from request to request and are given back to the system when they have not been needed for a while.

Owns: the pieces, the bound on all of them together. Runs in the worker: `take`, `promise` and `trim` in the loop thread,
`give_back` and `Promise.end` in any. Must not know: whose they are, how bodies arrive.
"""

from __future__ import annotations

from collections.abc import Callable

CHUNK_BYTES = 64 * 1024

SCRATCH_BYTES = 256 * 1024
"""For what is received only to be written to a file."""


class Promise:
    """See `ChunkPool.promise`. Ends when it is dropped, too."""

    __slots__ = ("_count", "_ended")

    def __init__(self, ended: list[int], count: int) -> None:
        self._ended: list[int] | None = ended
        self._count = count

    def end(self) -> None:
        """They lie there no more. Any thread, one at a time."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.append(self._count)  # one step for all threads, which -= is not

    __del__ = end


class ChunkPool:
    """Pieces of memory, `CHUNK_BYTES` each."""

    def __init__(self, bound: Callable[[], int], on_use: Callable[[], None] = lambda: None) -> None:
        """`bound()` is asked once: how many bytes may be out at a time (beyond what `take` is told to give all the same).
        `on_use()` is called when there begins to be something to trim."""
        self._ask = bound
        self._on_use = on_use
        self._bound = -1
        self._free: list[memoryview] = []
        self._made = 0  # and neither given back to the system
        self._least_free = 0  # since the last `trim`
        self._scratch: memoryview | None = None
        self._promised = 0  # bytes
        self._ended_promises: list[int] = []  # other threads', not subtracted yet

    @property
    def out(self) -> int:
        """How many are in use."""
        return self._made - len(self._free)

    @property
    def idle(self) -> bool:
        """There is nothing to trim."""
        return not self._made and self._scratch is None

    def take(self, all_the_same: bool) -> memoryview | None:
        """One to write to; None: enough are out (never `all_the_same`). What is in it is left over from others."""
        if not all_the_same and not self._within_bound(CHUNK_BYTES):
            return None
        free = self._free
        if not free:
            self._made += 1
            self._least_free = 0
            self._on_use()
            return memoryview(bytearray(CHUNK_BYTES))
        chunk = free.pop()
        self._least_free = min(self._least_free, len(free))
        return chunk

    def _within_bound(self, more: int) -> bool:
        if self._bound < 0:
            self._bound = self._ask()
        while self._ended_promises:
            self._promised -= self._ended_promises.pop()
        return self.out * CHUNK_BYTES + self._promised + more <= self._bound

    def promise(self, count: int) -> Promise | None:
        """So many bytes lie elsewhere, and count like those here until the end of the promise. None: that is too much.

        Half of the bound at most: they may still be on their way, and who only announces them must not take others' memory."""
        if not self._within_bound(count) or 2 * (self._promised + count) > self._bound:
            return None
        self._promised += count
        return Promise(self._ended_promises, count)

    def give_back(self, chunks: list[memoryview]) -> None:
        """Nobody looks at them any more."""
        self._free.extend(chunks)

    def scratch(self) -> memoryview:
        """For use within one turn."""
        if self._scratch is None:
            self._scratch = memoryview(bytearray(SCRATCH_BYTES))
            self._on_use()
        return self._scratch

    def trim(self) -> None:
        """Gives to the system what was not needed since the last call."""
        unused = min(self._least_free, len(self._free))
        del self._free[:unused]
        self._made -= unused
        self._least_free = len(self._free)
        self._scratch = None
