"""Taking new connections from the shared listeners, only when a request could start now.

The kernel wakes one waiting worker for a new connection (EPOLLEXCLUSIVE). A worker that is woken and then cannot accept at once,
because a request came in the same turn or its threads are all busy, would leave the connection waiting beside idle workers: it
passes the *baton*, an eventfd that all workers wait on in the same exclusive way, and another one accepts in its place.

Owns: whether this worker listens, the pause when every thread is busy, when the process is out of descriptors or has as many
connections as it may, and the emptying of the backlog when the server stops. Runs in the worker, loop thread. Must not know:
HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterable

import msgspec

from prefork.worker.connections import Connections
from prefork.worker.executors import Executor
from prefork.worker.loop import LISTEN, EventLoop
from prefork.worker.newcomers import Turn
from prefork.worker.timers import NEVER
from prefork.wsgi.context import EventLog

CLIENT_GONE = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
        errno.EPERM,
    }
)
"""accept(2), "Error handling": what went wrong is the new connection, not the listener; take the next one."""

PAUSE_S = 1.0
"""How long a worker that cannot accept leaves new connections to the others."""

MAX_SHARE = 16
"""New connections that the only worker of a server takes together: each may bring a request with it, and the others wait
meanwhile."""

MAX_BATONS = 64
"""Batons that are passed on together: each costs a wake-up, and nobody needs more than there are workers."""

STEP_BACK_AFTER = 4
"""Connections after which a worker goes to the end of the queue of those who wait. The kernel wakes the first who sleeps,
and nobody moves in that queue by being woken: a server with little to do would have all its connections in one worker."""

STEP_BACK_S = 0.001
"""So long it then leaves them to the others: when many come at once and no processor is free, the one that runs would have taken
all of them before the others, which have been woken, run at all."""

STEP_BACK_EVERY_S = 0.01
"""But not more often than that: when the others have no time, newcomers wait a tenth longer and no more."""

EVICT = 16
"""Connections closed at once to make room: looking for them costs as much as accepting a few dozen."""


class Door(msgspec.Struct, frozen=True):
    """One listener as a worker sees it."""

    sock: socket.socket
    receive: Callable[[socket.socket, object], None]
    """What to do with an accepted, non-blocking socket and what accept(2) said of its peer."""
    take: Callable[[], bool] | None = None
    """Both in one step: accepts and receives. False: nobody waits. Raises what accept(2) raises."""


class Acceptor:
    """Accepts while the worker has room."""

    def __init__(
        self,
        loop: EventLoop,
        doors: Iterable[Door],
        connections: Connections,
        executor: Executor,
        tell_when_free: Callable[[], None],
        log: EventLog,
        baton_fd: int | None = None,
        share: int = 1,
        alone: bool = False,
        step_back_s: float = STEP_BACK_S,
    ) -> None:
        """`share`: how many new connections it takes at once from each listener while its threads are never free. As many as it
        has threads: of several workers in that state each takes what it can do, and newcomers wait no longer than others.
        `alone`: it has no siblings to share new connections with, and takes so many whenever it has had no time to look."""
        self._alone = alone
        self._step_back_s = step_back_s
        self._share = share
        self._loop = loop
        self._doors = {door.sock.fileno(): door for door in doors}
        self._queues = (
            select.poll()
        )  # tells who waits without accepting anybody, and without an exception if nobody does
        for fd in self._doors:
            self._queues.register(fd, select.POLLIN)
        self._connections = connections
        self._executor = executor
        self._tell_when_free = tell_when_free
        self._log = log
        self._baton_fd = baton_fd
        self._listening = False
        self._listens_since = 0.0
        self._taken = 0  # connections since it stepped back
        self._leaving = False
        self._told_at = float("-inf")
        self._stepped_back_at = float("-inf")
        self._turn = Turn()
        self.deadline = NEVER
        self.bucket: float = 0
        connections.on_room = self.resume  # while it does not listen

    # Listening or not -------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Listens (again) if there is room; harmless otherwise."""
        if self._listening or self._leaving or len(self._connections) >= self._connections.maximum:
            return
        if self._executor.saturated:
            self._wait_for_thread()
            return
        self._listening = True
        self._connections.on_room = None
        self._listens_since = self._loop.now
        self.deadline = NEVER
        self._loop.forget(self)
        try:
            for fd, door in self._doors.items():
                self._loop.add(fd, LISTEN, self._callback(door), ahead=self._pass_baton)
            if self._baton_fd is not None:
                self._loop.add(self._baton_fd, LISTEN, self._take_baton)
        except OSError as error:
            self._cannot_accept(error)
            self._rest()

    def pause(self) -> None:
        """Leaves new connections to the other workers."""
        if self._listening:
            self._listening = False
            self._connections.on_room = self.resume
            self._connections.backlog = True
            for fd in self._doors:
                self._loop.remove(fd)
            if self._baton_fd is not None:
                self._loop.remove(self._baton_fd)

    def leave(self) -> None:
        """This worker accepts no more."""
        self.pause()
        self._leaving = True
        self._loop.forget(self)

    def yield_when_saturated(self) -> None:
        """Leaves the listeners as soon as no request could start here: a wake-up spent on this worker would be lost, and
        another one that has a free thread would sleep on. Called in each turn."""
        if self._listening:
            if self._executor.saturated:
                self.pause()
                self._turn.stopped_listening(self._loop.now, self._listens_since)
                self._wait_for_thread()
        elif self._loop.now >= self._turn.at and self._turn.is_due(self._loop.now, self._executor.finished):
            self._give_new_ones_a_turn()

    def _wait_for_thread(self) -> None:
        self._turn.begin(self._loop.now, self._executor.finished)
        self._tell_when_free()

    def _give_new_ones_a_turn(self) -> None:
        if self._leaving:
            return
        waiting = self._waiting()
        self._turn.looked(self._loop.now, self._executor.finished, bool(waiting))
        for fd in waiting:
            for _ in range(min(self._share, self._connections.maximum - len(self._connections))):
                if not self._accept_one(self._doors[fd]):
                    break

    def _waiting(self) -> list[int]:
        """The listeners at which somebody waits."""
        return [fd for fd, _ in self._queues.poll(0) if fd in self._doors]

    def _callback(self, door: Door) -> Callable[[int], None]:
        def ready(_events: int) -> None:
            # After the connections that are ready in the same turn: they came first. A loop that slept until now was woken by
            # the first: a second look would find nobody.
            at_once = self._share if self._alone and self._loop.behind_s else 1
            self._loop.defer(lambda: self._accept(door, at_once))

        return ready

    # The baton --------------------------------------------------------------------------------------------------

    def _pass_baton(self) -> None:
        if self._baton_fd is not None:
            os.eventfd_write(self._baton_fd, 1)

    def _take_baton(self, _events: int) -> None:
        assert self._baton_fd is not None
        try:
            count = os.eventfd_read(self._baton_fd)
        except BlockingIOError:
            count = 1  # another worker was faster; look all the same
        if count > 1:  # two were written before anybody read, perhaps with one wake-up for both
            os.eventfd_write(self._baton_fd, min(count - 1, MAX_BATONS))
        for door in self._doors.values():
            self._loop.defer(lambda door=door: self._accept(door))  # type: ignore[misc]

    # Accepting --------------------------------------------------------------------------------------------------

    def _accept(self, door: Door, at_once: int = 1) -> None:
        if not self._listening:
            return
        if self._executor.saturated:
            self.yield_when_saturated()
            self._pass_baton()
        elif len(self._connections) >= self._connections.maximum:
            self._make_room(door)
        else:
            self._turn.accepted()
            room = self._connections.maximum - len(self._connections)  # whoever closes meanwhile makes more
            for _ in range(min(at_once, room)):
                if not self._accept_one(door):
                    break
                self._taken += 1
                if self._executor.saturated:
                    break
            if self._taken >= STEP_BACK_AFTER and self._baton_fd is not None and self._listening:
                self._step_back(door)

    def _step_back(self, door: Door) -> None:
        """The others are woken before this worker now. Who comes in between is not lost: adding a descriptor looks whether it is
        ready (epoll_ctl(2))."""
        self._taken = 0
        now = self._loop.now
        if now - self._stepped_back_at >= STEP_BACK_EVERY_S:
            self._stepped_back_at = now
            self.pause()
            self._pass_baton()
            self.deadline = now + self._step_back_s
            self._loop.watch_exactly(self)
            return
        fd = door.sock.fileno()
        self._loop.remove(fd)
        try:
            self._loop.add(fd, LISTEN, self._callback(door), ahead=self._pass_baton)
        except OSError as error:
            self._cannot_accept(error)
            self._rest()

    def _accept_one(self, door: Door) -> bool:
        try:
            if (take := door.take) is not None:
                return take()
            sock, peer = door.sock.accept()
        except BlockingIOError:
            return False  # another worker was faster
        except OSError as error:
            if error.errno in CLIENT_GONE:
                return True
            if error.errno == errno.EINVAL:
                # Another worker has shut it down, for the server stops.
                self.close([door.sock.fileno()])
                return False
            self._cannot_accept(error)
            return False
        sock.setblocking(False)
        door.receive(sock, peer)
        return True

    def _make_room(self, door: Door) -> None:
        """Idle connections, then slow heads, yield to new ones; without any, the rest waits in the backlog."""
        if door.sock.fileno() not in self._waiting():
            return
        if not self._connections.make_room(EVICT):
            self._rest()

    def _cannot_accept(self, error: OSError) -> None:
        """Mostly out of descriptors (EMFILE). Idle connections make room at once; without any, new ones are left to the
        other workers for a moment."""
        closed = self._connections.make_room(EVICT)
        now = self._loop.now
        if not closed:
            self._rest()
        if now - self._told_at >= PAUSE_S:
            self._told_at = now
            reason = error.strerror or str(error)
            self._log.warning(
                "accept_failed", error=reason, closed_idle=closed, connections=len(self._connections)
            )

    def expire(self) -> None:
        """The pause is over."""
        self.deadline = NEVER
        if len(self._connections) < self._connections.maximum:
            self.resume()
        elif not (self._waiting() and self._connections.make_room(EVICT)):  # making room resumes
            self._rest()

    def _rest(self) -> None:
        self.pause()
        self._pass_baton()
        self.deadline = self._loop.now + PAUSE_S
        self._loop.watch(self)

    # The end ----------------------------------------------------------------------------------------------------

    def linger(self, fds: Iterable[int]) -> None:
        """Goes on accepting from these listeners, whatever else; see `Departure`."""
        for fd in fds:
            if fd in self._doors:
                self._loop.add(fd, LISTEN, lambda _events, fd=fd: self._take(fd))  # type: ignore[misc]

    def _take(self, fd: int) -> None:
        self.take_backlog([fd])

    def shut_down(self, fds: Iterable[int]) -> None:
        """The end of these listeners for every process that has them: whoever connects is refused (shutdown(2))."""
        for fd in fds:
            if fd in self._doors:
                # Another worker may have been first.
                with contextlib.suppress(OSError):
                    self._doors[fd].sock.shutdown(socket.SHUT_RD)

    def close(self, fds: Iterable[int]) -> None:
        """The end of these listeners, as far as this process is concerned."""
        for fd in fds:
            door = self._doors.pop(fd, None)
            if door is not None:
                self._queues.unregister(fd)
                self._loop.remove(fd)
                door.sock.close()

    def take_backlog(self, fds: Iterable[int]) -> int:
        """Accepts what waits in the backlog of these listeners; gives how many."""
        taken = 0
        for fd in fds:
            door = self._doors.get(fd)
            if door is not None:
                before = len(self._connections)
                while self._accept_one(door):
                    pass
                taken += max(len(self._connections) - before, 0)
        return taken
