"""What the master says when it is asked: one question for all who want to know at the same time, and a limit on the wait.

Owns: the channel of questions. Any thread may ask; one waits for the answer, the others for that one. Runs in: status process.
Must not know: what a status means.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import msgspec

from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import StatusGiven, StatusWanted
from prefork.ipc.status import Status, decode_status

PATIENCE_S = 0.2
"""The master answers within a millisecond; who takes so long does not answer."""


class Answer(msgspec.Struct, frozen=True):
    """What the master said, and when."""

    data: bytes
    """`status` as JSON, with fields that only the master's release knows, if it has any."""
    status: Status
    at: float
    """Of the clock of `Source`."""


class Source:
    """The master."""

    def __init__(self, channel: Channel, clock: Callable[[], float], patience_s: float = PATIENCE_S) -> None:
        self._channel = channel
        self._clock = clock
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._is_asking = False
        self._owed = False
        self._answers = 0
        self._latest: Answer | None = None
        self._began = clock()

    def ask(self) -> Answer | None:
        """A fresh answer; None: there was none in time."""
        deadline = self._clock() + self._patience_s
        with self._changed:
            before = self._answers
            while self._is_asking:
                left_s = deadline - self._clock()
                if left_s <= 0 or not self._changed.wait(left_s):
                    return None
                if self._answers != before:
                    return self._latest
            self._is_asking = True
        answer = None
        try:
            answer = self._ask(deadline)
        finally:
            with self._changed:
                self._is_asking = False
                if answer is not None:
                    self._latest = answer
                    self._answers += 1
                self._changed.notify_all()
        return answer

    @property
    def latest(self) -> Answer | None:
        """The last there was; None: never."""
        return self._latest

    @property
    def silent_s(self) -> float:
        """Since the last answer, or since the beginning if there was none."""
        return self._clock() - (self._began if self._latest is None else self._latest.at)

    def _ask(self, deadline: float) -> Answer | None:
        try:
            # Answers that came too late for whoever asked: nobody knows how old they are.
            while self._receive() is not None:
                continue
            if not self._owed:
                self._owed = self._channel.send(StatusWanted())
            while (left_s := deadline - self._clock()) > 0 and self._channel.wait(left_s):
                data = self._receive()
                if data is not None:
                    return Answer(data, decode_status(data), self._clock())
        except (ChannelError, OSError, msgspec.MsgspecError):
            # The master is gone: the end of the other channel makes this process leave.
            return None
        return None

    def _receive(self) -> bytes | None:
        """An answer that is here already."""
        received = self._channel.receive()
        if received is None:
            return None
        self._owed = False
        if not isinstance(received.message, StatusGiven) or len(received.fds) != 1:
            for fd in received.fds:
                os.close(fd)
            return None
        with os.fdopen(received.fds[0], "rb") as file:
            file.seek(0)
            return file.read()
