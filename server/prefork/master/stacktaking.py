"""Python stacks on demand: ask a process, wait without waiting, hand over what it wrote.

Owns: the order of such questions. Processes of a generation share the memory they write to, so one is asked at a time. Part
of the master's loop. Runs in: master. Must not know: who wants the stacks, and why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from prefork.ipc.boot import STACKS_SIGNAL
from prefork.master.stacks import Stacks

POLL_S = 0.02
"""Between two looks at whether a process has written; it takes about a millisecond if it runs at all. Nothing tells."""

PATIENCE_S = 2.0
"""Then there is no answer: the process is stopped, or sleeps inside the kernel."""

Answer = Callable[[str], None]
"""Takes the text; empty if there is none."""


class _Question(msgspec.Struct):
    pid: int
    stacks: Stacks
    is_there: Callable[[], bool]
    answer: Answer
    asking: Callable[[], None]
    give_up_at: float = 0.0
    looked_at: float = 0.0
    size: int = 0


class StackTaking:
    """One for the server."""

    def __init__(self, kill: Callable[[int, int], None], clock: Callable[[], float]) -> None:
        self._kill = kill
        self._clock = clock
        self._questions: deque[_Question] = deque()
        self._asked = False
        """Whether the first of them has been sent its signal."""

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing happens."""
        return self._clock() + POLL_S if self._questions else None

    def ask(
        self,
        pid: int,
        stacks: Stacks,
        is_there: Callable[[], bool],
        answer: Answer,
        *,
        asking: Callable[[], None] = lambda: None,
    ) -> None:
        """Have `answer` called with the stacks of the process `pid`, which writes them to `stacks`.

        `is_there` says whether it is still a child that has not been collected: only then may it be sent a signal. `asking` is
        called right before that: it may have to wait for its turn.
        """
        self._questions.append(_Question(pid, stacks, is_there, answer, asking))
        self.turn()

    def turn(self) -> None:
        """Go on as far as it goes now."""
        while self._questions:
            first = self._questions[0]
            text = self._look(first)
            if text is None:
                return
            self._questions.popleft()
            self._asked = False
            first.answer(text)

    def _look(self, question: _Question) -> str | None:
        """The text; None while it may still come."""
        if not question.is_there():
            return ""
        now = self._clock()
        if not self._asked:
            question.stacks.take()  # what somebody else left there
            self._asked, question.give_up_at = True, now + PATIENCE_S
            question.looked_at = now
            question.asking()
            self._kill(question.pid, STACKS_SIGNAL)
            return None
        if now < question.looked_at + POLL_S:
            return None
        question.looked_at = now
        size = question.stacks.size
        # It writes piece by piece: complete is what does not grow from one look to the next.
        complete = size > 0 and size == question.size
        question.size = size
        if complete or now >= question.give_up_at:
            return question.stacks.take_all()
        return None
