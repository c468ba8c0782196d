"""The channels to all zygotes and workers.

Owns: who is at the other end of which channel, and the translation of messages into events. Runs in: master. Must not
know: what an event leads to.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from prefork.ipc.channel import Channel, ChannelClosed, ChannelError
from prefork.ipc.messages import (
    AnyMessage,
    CodeChanged,
    Message,
    Spawned,
    SpawnFailed,
    WorkerFailed,
    WorkerLeaving,
    WorkerReady,
    WorkerWantsReplacement,
    ZygoteFailed,
    ZygoteReady,
)
from prefork.master import events
from prefork.master.journal import Journal
from prefork.master.signals import SignalInbox
from prefork.master.state import Failure

LONGEST_WAIT_S = 86_400.0
"""Two to the power of 31 milliseconds is the most that epoll_wait(2) can be asked for, 24 days."""


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int:
        """Its descriptor."""


class _Worker(NamedTuple):
    """What its channel is registered with."""

    id: int


class _Zygote(NamedTuple):
    """What its channel is registered with."""

    generation: int


class Links:
    """Channels by worker id and by generation, and the wait for any of them or a signal."""

    def __init__(self, inbox: SignalInbox) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox, selectors.EVENT_READ)
        self.workers: dict[int, Channel] = {}
        self.zygotes: dict[int, Channel] = {}

    def wait(self, timeout_s: float | None) -> None:
        """Until a message, an end of file or a signal has arrived, or the time is over; a day at most, unless it is None."""
        self._selector.select(None if timeout_s is None else min(timeout_s, LONGEST_WAIT_S))

    def watch(self, other: HasFileno) -> None:
        """Have `wait` end for this one too."""
        self._selector.register(other, selectors.EVENT_READ)

    def unwatch(self, other: HasFileno) -> None:
        """Not any more; to be called before it is closed."""
        self._selector.unregister(other)

    def add_worker(self, worker: int, channel: Channel) -> None:
        """The master's end of a new worker's channel."""
        self.workers[worker] = channel
        self._selector.register(channel, selectors.EVENT_READ, _Worker(worker))

    def add_zygote(self, generation: int, channel: Channel) -> None:
        """The master's end of a new zygote's channel."""
        self.zygotes[generation] = channel
        self._selector.register(channel, selectors.EVENT_READ, _Zygote(generation))

    def tell_worker(self, worker: int, message: Message) -> None:
        """Send, if it is still there. One that does not listen is ended by its deadline."""
        channel = self.workers.get(worker)
        if channel is not None:
            channel.send(message)

    def tell_zygote(self, generation: int, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send, if it is still there and listens; returns whether it did."""
        channel = self.zygotes.get(generation)
        return channel is not None and channel.send(message, fds)

    def drop_worker(self, worker: int) -> None:
        """Close the channel, which tells a worker that hears nothing else to leave."""
        self._drop(self.workers.pop(worker, None))

    def drop_zygote(self, generation: int) -> None:
        """Close the channel."""
        self._drop(self.zygotes.pop(generation, None))

    def close(self) -> None:
        """Close everything."""
        for channel in (*self.workers.values(), *self.zygotes.values()):
            channel.close()
        self._selector.close()

    def receive(self, log: Journal) -> Iterator[events.Event]:
        """Everything that has arrived, in the order each peer sent it.

        Ends of workers come last, after the zygotes' messages: a zygote that cannot fork says so before it closes the
        worker's channel.
        """
        # Only who has something to say is asked: there may be a thousand of them.
        ready = [key.data for key, _ in self._selector.select(0)]
        ended: list[int] = []
        for worker in (each.id for each in ready if isinstance(each, _Worker)):
            for message in _messages(self.workers.get(worker), log):
                if message is None:
                    ended.append(worker)
                else:
                    yield from _from_worker(worker, message)
        for generation in (each.generation for each in ready if isinstance(each, _Zygote)):
            for message in _messages(self.zygotes.get(generation), log):
                if message is None:
                    self.drop_zygote(generation)
                    yield events.ZygoteChannelEnded(generation)
                else:
                    yield from _from_zygote(generation, message)
        for worker in ended:
            self.drop_worker(worker)
            yield events.WorkerChannelEnded(worker)

    def _drop(self, channel: Channel | None) -> None:
        if channel is not None:
            self._selector.unregister(channel)
            channel.close()


def _messages(channel: Channel | None, log: Journal) -> Iterator[AnyMessage | None]:
    """All waiting messages; None for the end. Of a channel that has been dropped meanwhile, nothing."""
    while channel is not None:
        try:
            received = channel.receive()
        except ChannelClosed:
            yield None
            return
        except ChannelError as error:
            log.error("channel_broken", error=error)
            yield None
            return
        if received is None:
            return
        for fd in received.fds:
            # Nobody sends descriptors to the master.
            os.close(fd)
        yield received.message


def _from_zygote(generation: int, message: AnyMessage) -> Iterator[events.Event]:
    match message:
        case ZygoteReady():
            yield events.ZygoteReports(generation, message.preloaded, message.note)
        case ZygoteFailed():
            failure = Failure(message.stage, message.error, message.traceback)
            yield events.ZygoteGivesUp(generation, failure)
        case SpawnFailed():
            yield events.WorkerNotForked(message.worker_id, message.error)


def _from_worker(worker: int, message: AnyMessage) -> Iterator[events.Event]:
    """The channel says who speaks; the id in the message is for people who trace it."""
    match message:
        case Spawned():
            yield events.WorkerForked(worker, message.pid)
        case WorkerReady():
            yield events.WorkerAccepts(worker)
        case WorkerFailed():
            failure = Failure(message.stage, message.error, message.traceback)
            yield events.WorkerGivesUp(worker, failure)
        case WorkerWantsReplacement():
            yield events.WorkerWantsLeave(worker, message.reason)
        case CodeChanged():
            yield events.CodeChanged(worker, message.files, message.whole)
        case WorkerLeaving():
            yield events.WorkerLeaves(worker, message.requests)
