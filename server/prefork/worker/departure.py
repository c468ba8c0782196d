"""How a worker leaves: what the master says on the channel, and when nothing is left to do.

Owns: the ways out (drain, fast stop, death of the master) and the check at the end of each turn. Runs in the worker, loop
thread. Must not know: HTTP, the application.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from prefork.ipc.channel import Channel, ChannelClosed, ChannelError
from prefork.ipc.messages import Drain, ReopenLogs, Stop
from prefork.observe.log import Log
from prefork.worker.acceptor import Acceptor
from prefork.worker.connections import Connections
from prefork.worker.executors import Executor
from prefork.worker.loop import EventLoop
from prefork.worker.timers import NEVER

LINGER_S = 1.0
"""How long a worker stays at an address that is given up: for connections whose handshake has begun (RFC 9293 section 3.5; a
slow one takes half a second)."""

HURRIED_GRACE_S = 0.3
"""And in development, where somebody waits for the end. So long a replaced worker waits for connections that it has accepted and
that have said nothing yet (browsers open some in advance)."""

REPLACED_GRACE_S = 1.5
"""And so long for the requests that run then: nobody waits for it."""

GRACE_S = 1.0
"""How long running requests may go on after a fast stop or the death of the master."""


class Departure:
    """Watches the master's channel and ends the loop when the worker may go."""

    def __init__(
        self,
        loop: EventLoop,
        channel: Channel,
        acceptor: Acceptor,
        connections: Connections,
        executor: Executor,
        log: Log,
        *,
        hurries: bool = False,
    ) -> None:
        """`hurries`: a replacement is no time to wait for clients that say nothing (development)."""
        self._loop = loop
        self._channel = channel
        self._acceptor = acceptor
        self._connections = connections
        self._executor = executor
        self._log = log
        self._backlog: Sequence[int] = ()
        self._ending: Sequence[int] = ()
        self._hurries = hurries
        self._hurry = False
        self._patient = False
        self._lingers = False
        self.reason = ""
        """Why the worker leaves; empty while it stays."""
        self.deadline = NEVER
        self.bucket: float = 0
        loop.add(channel.fileno(), 1, self._on_message)

    def _on_message(self, _events: int) -> None:
        try:
            while (received := self._channel.receive()) is not None:
                message = received.message
                if isinstance(message, Drain):
                    self.drain(message.reason, message.backlog, message.ending)
                elif isinstance(message, Stop):
                    self.stop(message.reason)
                elif isinstance(message, ReopenLogs):
                    _replace(received.fds, message.targets)
        except ChannelClosed:
            # End of file: the master is dead. Nobody supervises this worker, and the next master needs its addresses.
            self._loop.remove(self._channel.fileno())
            self.stop("master_died")
        except ChannelError as error:
            # Fresh log files that came while no descriptor was free, say. What the master wants is unknown from here on.
            self._log.warning("channel_broken", error=str(error))
            self._loop.remove(self._channel.fileno())
            self.drain("channel_broken")

    def drain(self, reason: str, backlog: Sequence[int] = (), ending: Sequence[int] = ()) -> None:
        """Finishes what runs and what waits in `backlog` (descriptors of listeners), then leaves. No request is lost.

        `ending`: those of them that nobody will accept from again; if this takes longer, they do not keep clients waiting.
        """
        if self.reason:
            return
        self.reason = reason
        self._log.debug("worker_draining", reason=reason, connections=len(self._connections))
        self._connections.drain()
        self._acceptor.leave()
        self._backlog = backlog
        self._acceptor.take_backlog(backlog)
        if self._hurries and not backlog:
            self._patient = True
            self.deadline = self._connections.clock() + HURRIED_GRACE_S
            self._loop.watch_exactly(self)
        elif backlog and reason != "stop":
            # Addresses that are given up while the server goes on.
            self._lingers = True
            self._acceptor.linger(backlog)
            self.deadline = self._connections.clock() + LINGER_S
            self._loop.watch(self)
        elif ending:
            self._ending = ending
            self._acceptor.linger(ending)
            self.deadline = self._connections.clock() + LINGER_S
            self._loop.watch(self)

    def stop(self, reason: str, grace_s: float | None = None) -> None:
        """Finishes the requests that run, within GRACE_S or `grace_s`, then leaves."""
        self.reason = reason
        self._hurry = True
        self._connections.drain()
        self._acceptor.leave()
        self._backlog = self._ending = ()
        if grace_s is None:
            grace_s = HURRIED_GRACE_S if self._hurries else GRACE_S
        self.deadline = self._connections.clock() + grace_s
        self._loop.watch_exactly(self)

    def expire(self) -> None:
        """The grace is over, or the time at an address that is given up."""
        if self._hurry:
            self._loop.stop()
            return
        if self._patient:
            self.stop(self.reason, REPLACED_GRACE_S)
            return
        self._lingers = False
        self._acceptor.take_backlog(self._backlog)
        self._acceptor.shut_down(self._ending)
        self._acceptor.close(self._ending or self._backlog)
        self._backlog = self._ending = ()

    def check(self) -> None:
        """At the end of each turn: is there anything left to stay for?"""
        if not self.reason:
            return
        if self._hurry:
            self._connections.close_idle()
            if self._executor.idle and not self._connections.answering:
                self._loop.stop()
        elif (
            not self._lingers
            and not len(self._connections)
            and self._executor.idle
            and not self._acceptor.take_backlog(self._backlog)
        ):
            self._loop.stop()


def _replace(fds: Sequence[int], targets: Sequence[int]) -> None:
    for fd, target in zip(fds, targets, strict=False):
        os.dup2(fd, target, inheritable=False)
    for fd in fds:
        os.close(fd)


def on_terminate(
    loop: EventLoop, departure: Departure, master_pid: int, hard_end: Callable[[float], None]
) -> None:
    """SIGTERM to this worker: somebody wants it gone, or the kernel tells that the master died (PR_SET_PDEATHSIG)."""
    if os.getppid() != master_pid:
        # The loop may be inside the application and never come back to see the end of the channel.
        hard_end(GRACE_S)
        loop.post(lambda: departure.stop("master_died"))
    else:
        loop.post(lambda: departure.drain("signal"))
