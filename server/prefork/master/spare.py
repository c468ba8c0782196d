"""The interpreter of the next zygote: the one before has forked it when it had imported prefork, and nothing else.

Owns: the one that waits, if there is one, and whether it is fit for a zygote. Runs in: master. Must not know: settings,
generations.

A reload has 80 ms less to do with it, at the cost of 7 MiB. It finds out by itself what has changed on disk meanwhile
(`zygote/freshness.py`), and is then as new as any.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import BearSpare, SpareBorn
from prefork.master import spawning
from prefork.master.newborn import Newborn


class Spare:
    """One for the master."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._environment: Mapping[str, str] = {}
        self._pid: int | None = None

    def ask(self, zygote: Channel, environment: Mapping[str, str], title: str) -> None:
        """Have one that has not been told anything yet fork the next one; what was there before ends."""
        self.end()
        ours, theirs = Channel.pair()
        if zygote.send(BearSpare(title=title), [theirs.fileno()]):
            self._channel, self._environment = ours, environment
        else:
            ours.close()
        theirs.close()

    def take(self, environment: Mapping[str, str]) -> Newborn | None:
        """It, if it is there and has exactly this environment, which the interpreter and .pth files have read by now."""
        if not self._is_there() or environment != self._environment:
            self.end()
            return None
        assert self._channel is not None and self._pid is not None, "it is there"
        taken = Newborn(self._pid, self._channel.detach())
        self._channel = self._pid = None
        return taken

    def end(self) -> None:
        """It is not needed. One that has not said its number yet finds its channel closed, and leaves."""
        if self._channel is None:
            return
        if self._is_there():
            assert self._pid is not None, "it is there"
            spawning.end(self._pid)
        self._channel.close()
        self._channel = self._pid = None

    def _is_there(self) -> bool:
        """Whether it has said its number, and lives: the end of its channel is seen before it can be collected."""
        if self._channel is None:
            return False
        try:
            while (received := self._channel.receive()) is not None:
                if isinstance(received.message, SpareBorn):
                    self._pid = received.message.pid
        except ChannelError:
            self._pid = None
        return self._pid is not None
