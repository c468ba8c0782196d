"""Being told to stop, by a signal handler too.

Owns: the flag. Runs in: the processes of `run_simple(use_reloader=True)` and a worker of `prefork --dev`. Must not know: why.

`threading.Event` will not do: its `set` takes a lock that the interrupted thread may hold in its `wait`, and then neither ever
goes on. `queue.SimpleQueue.put` is reentrant by its documentation.
"""

from __future__ import annotations

import queue


class Stop:
    """Set once, never cleared. One thread waits."""

    def __init__(self) -> None:
        self._set = False
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Any thread, any signal handler."""
        self._set = True
        self._woken.put(None)

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Until `set` is called, at most so long; returns whether it was."""
        if not self._set:
            try:
                self._woken.get(timeout=timeout_s)
            except queue.Empty:
                pass
        return self._set
