"""The status process, as the master keeps it: started, asked to leave, answered.

Owns: carrying out what `statuskeeping` decides, and the answers to its questions, with a rest after each. Part of the master's
loop: nothing here waits. Runs in: master. Must not know: what a status says, who asks for it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from prefork.ipc.channel import Channel, ChannelClosed, ChannelError
from prefork.ipc.messages import (
    AnyMessage,
    Message,
    ReopenLogs,
    StatusGiven,
    StatusWanted,
    Stop,
    WorkerFailed,
    WorkerReady,
)
from prefork.master import statuskeeping
from prefork.master.generations import Generations
from prefork.master.handover import StatusState
from prefork.master.links import Links
from prefork.master.processes import Exit, Processes
from prefork.master.resources import Resources
from prefork.master.stacks import Stacks
from prefork.master.statuskeeping import Incarnation, Keeping, Kill, Leave, Phase, Start
from prefork.master.statusprocess import StatusPlace, StatusProcess, launch_status, place_of

SHARE = 0.1
"""Of the master's time goes to answers at most; questions that come too often get the next one together."""

BURST_S = 0.5
"""Its share of so much time may be used at once: whoever asks now and then never waits."""

_UNKNOWN = object()
"""What a process of another release serves: nothing that is wanted."""


class StatusKeeper:
    """One for the server, with or without `[status] listen`."""

    def __init__(
        self,
        processes: Processes,
        links: Links,
        generations: Generations,
        describe: Callable[[], bytes],
        clock: Callable[[], float],
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """`describe` gives the server's `Status` as JSON. `cpu_clock` tells what that costs, however busy the machine is."""
        self._processes = processes
        self._links = links
        self._generations = generations
        self._describe = describe
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._keeping = Keeping()
        self._members: dict[int, StatusProcess] = {}
        self._seen: Resources | None = None
        self._owed: dict[int, Channel] = {}
        self._paid_until = 0.0
        """So far into the future its share of the time is used up."""

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing arrives."""
        times = (
            statuskeeping.next_deadline(self._keeping),
            self._paid_until - BURST_S if self._owed else None,
        )
        return min((time for time in times if time is not None), default=None)

    @property
    def finished(self) -> bool:
        """There is no process, and none is wanted."""
        return self._keeping.wanted is None and not self._members

    def turn(self, *, ending: bool = False) -> None:
        """Do all that can be done now. `ending`: the server has nobody left to serve anything, so this process goes too."""
        in_force = None if ending else self._generations.in_force
        if in_force is not self._seen:
            self._seen = in_force
            self._keeping.wanted = None if in_force is None else place_of(in_force)
        for number in list(self._members):
            self._listen_to(number)
        self._answer()
        while decisions := statuskeeping.decide(self._keeping, self._clock()):
            for decision in decisions:
                statuskeeping.record(self._keeping, decision, self._clock())
                self._carry_out(decision)

    def ended(self, exit: Exit) -> bool:
        """Whether the child that was collected was ours."""
        number = next((number for number, each in self._members.items() if each.pid == exit.pid), None)
        if number is None:
            return False
        self._listen_to(number)
        last_words = "" if exit.code == 0 else self._members[number].stacks.take_all()
        self._forget(number)
        delay_s = statuskeeping.ended(self._keeping, number, self._clock())
        if delay_s is None:
            self._generations.log.info("status_exited", pid=exit.pid, how=exit)
        else:
            self._generations.log.warning("status_died", pid=exit.pid, how=exit, retry_in_s=round(delay_s, 1))
            if last_words:
                self._generations.log.traceback(last_words)
        return True

    def reopen_logs(self) -> None:
        """A fresh log file, if it writes to one, under the number it has."""
        for number, member in self._members.items():
            place = self._keeping.incarnations[number].what
            if isinstance(place, StatusPlace):
                fds = self._generations.files.files_among([place.log_fd])
                if fds:
                    _tell(member, ReopenLogs(targets=fds), fds)

    # Upgrades ---------------------------------------------------------------------------------------------------

    def handed_over(self) -> list[StatusState]:
        """The processes there are; those that were hung up on leave by themselves."""
        return [
            StatusState(each.pid, each.orders.fileno(), each.questions.fileno(), each.stacks.fd)
            for each in self._members.values()
            if each.orders.fileno() >= 0 and each.questions.fileno() >= 0
        ]

    def take_over(self, states: Sequence[StatusState]) -> None:
        """Those of the program before this one: they serve until one of this release is started in their place."""
        for state in states:
            number = self._keeping.started = self._keeping.started + 1
            self._keeping.incarnations[number] = Incarnation(_UNKNOWN, Phase.SERVING, self._clock())
            orders, questions = Channel.from_fd(state.orders_fd), Channel.from_fd(state.questions_fd)
            self._join(number, StatusProcess(state.pid, orders, questions, Stacks(state.stacks_fd)))

    # Decisions --------------------------------------------------------------------------------------------------

    def _carry_out(self, decision: statuskeeping.Decision) -> None:
        match decision:
            case Start():
                self._start(decision.number)
            case Leave():
                _tell(self._members[decision.number], Stop(reason="status"))
            case Kill():
                pid = self._members[decision.number].pid
                self._generations.log.warning("status_killed", pid=pid, why=decision.why)
                self._processes.kill(pid, signal.SIGKILL)

    def _start(self, number: int) -> None:
        place = self._keeping.wanted
        assert isinstance(place, StatusPlace), "decided so"
        try:
            member = launch_status(self._processes, place, self._generations.metrics.fd)
        except OSError as error:
            delay_s = statuskeeping.ended(self._keeping, number, self._clock())
            self._generations.log.error("status_not_started", error=error.strerror, retry_in_s=delay_s)
            return
        self._join(number, member)
        self._generations.log.debug("status_started", pid=member.pid)

    def _join(self, number: int, member: StatusProcess) -> None:
        self._members[number] = member
        self._links.watch(member.orders)
        self._links.watch(member.questions)

    def _forget(self, number: int) -> None:
        member = self._members.pop(number)
        self._owed.pop(number, None)
        for channel in (member.orders, member.questions):
            self._hang_up(channel)
        member.close()

    def _hang_up(self, channel: Channel) -> None:
        if channel.fileno() >= 0:
            self._links.unwatch(channel)
            channel.close()

    # What it says -----------------------------------------------------------------------------------------------

    def _listen_to(self, number: int) -> None:
        member = self._members[number]
        for message in self._messages(member.orders):
            self._hear(number, member, message)
        for message in self._messages(member.questions):
            if isinstance(message, StatusWanted):
                self._owed[number] = member.questions
        if member.questions.fileno() < 0:
            # It could not ask any more: the end of its orders makes it leave, and another one is started.
            self._hang_up(member.orders)

    def _hear(self, number: int, member: StatusProcess, message: Message) -> None:
        match message:
            case WorkerReady():
                statuskeeping.ready(self._keeping, number, self._clock())
                place = self._keeping.incarnations[number].what
                addresses = [text for _, text in place.listeners] if isinstance(place, StatusPlace) else []
                self._generations.log.info("status_ready", pid=member.pid, addresses=", ".join(addresses))
            case WorkerFailed():
                self._generations.log.error("status_failed", stage=message.stage, error=message.error)
                if message.traceback:
                    self._generations.log.traceback(message.traceback)

    def _messages(self, channel: Channel) -> Iterator[AnyMessage]:
        """All that wait; a channel that has ended or is broken is closed."""
        try:
            while channel.fileno() >= 0 and (received := channel.receive()) is not None:
                for fd in received.fds:
                    # It has none to send.
                    os.close(fd)
                yield received.message
        except ChannelError as error:
            if not isinstance(error, ChannelClosed):
                self._generations.log.error("channel_broken", error=error)
            self._hang_up(channel)

    def _answer(self) -> None:
        now = self._clock()
        if not self._owed or now < self._paid_until - BURST_S:
            return
        began = self._cpu_clock()
        owed, self._owed = self._owed, {}
        _give(owed, self._describe())
        self._paid_until = max(self._paid_until, now) + (self._cpu_clock() - began) / SHARE


def _tell(member: StatusProcess, message: Message, fds: Sequence[int] = ()) -> None:
    """One that was hung up on leaves anyway."""
    if member.orders.fileno() >= 0:
        member.orders.send(message, fds)


def _give(owed: Mapping[int, Channel], data: bytes) -> None:
    """No copy of ours stays: whoever does not take its answer holds the memory, and can ask no further."""
    try:
        fd = os.memfd_create("prefork-status", os.MFD_CLOEXEC)
    except OSError:
        # Out of descriptors: they hear nothing, and say so.
        return
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        for channel in owed.values():
            if channel.fileno() >= 0:
                channel.send(StatusGiven(), [fd])
    except OSError:
        return
    finally:
        os.close(fd)
