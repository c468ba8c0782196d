"""The loop of the master: events in, plan out, actions carried out.

Owns: the order of things within one turn. Runs in: master. Must not know: what an event changes (`transitions`), what is
to be done (`plan`), how it is done (`effects`).
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterable, Sequence

from prefork.master.actions import record
from prefork.master.control import ControlSocket
from prefork.master.desk import Desk
from prefork.master.doorbell import Doorbell
from prefork.master.effects import Effects
from prefork.master.events import (
    ClockJumped,
    ConnectionWaits,
    Event,
    PauseAsked,
    ProcessEnded,
    ReloadAsked,
    ScaleAsked,
    StopAsked,
    UpgradeAsked,
)
from prefork.master.generations import Generations
from prefork.master.links import Links
from prefork.master.notes import Note
from prefork.master.oom import OomCounter
from prefork.master.overseer import Overseer
from prefork.master.plan import next_deadline, plan
from prefork.master.processes import Exit, Processes
from prefork.master.queuewatch import QueueWatch
from prefork.master.service import Service
from prefork.master.signals import SignalInbox
from prefork.master.snapshot import Snapshots
from prefork.master.state import Pool, Stop
from prefork.master.statsd import Statsd
from prefork.master.statuskeeper import StatusKeeper
from prefork.master.transitions import apply
from prefork.master.upgrade import Upgrade

JUMP_S = 5.0
"""A wait, or a turn, that ends so much later than it should means that this process, or the machine, stood still."""

MAX_LAST_REQUESTS = 4
"""So many requests of a dead worker are named."""

MAX_FAULTS_S = 60.0
"""If all turns have failed for so long, no other will succeed: the master ends, and the workers with it."""

MAX_FAULTS_OF_STOP = 10
"""Once a stop has been asked for, so many turns in a row that fail are enough."""

_ASKS: dict[signal.Signals, Event] = {
    signal.SIGHUP: ReloadAsked(),
    signal.SIGTERM: StopAsked(fast=False, by="SIGTERM"),
    signal.SIGINT: StopAsked(fast=True, by="SIGINT"),
    signal.SIGQUIT: StopAsked(fast=True, by="SIGQUIT"),
    signal.SIGTTIN: ScaleAsked(+1),
    signal.SIGTTOU: ScaleAsked(-1),
    signal.SIGWINCH: PauseAsked(),
    signal.SIGUSR2: UpgradeAsked(by="SIGUSR2"),
}


class Supervisor:
    """Runs the pool until it is told to stop, or its first generation cannot boot."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        inbox: SignalInbox,
        links: Links,
        generations: Generations,
        overseer: Overseer,
        control: ControlSocket,
        upgrade: Upgrade,
        snapshots: Snapshots,
        status_keeper: StatusKeeper,
        service: Service,
        statsd: Statsd,
        queue_watch: QueueWatch,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._inbox = inbox
        self._links = links
        self._generations = generations
        self._overseer = overseer
        self._effects = Effects(pool, processes, links, generations, upgrade, self._last_orders, clock)
        self._status_keeper = status_keeper
        self._service = service
        self._statsd = statsd
        self._queue_watch = queue_watch
        self._oom = OomCounter()
        self._clock = clock
        self._sleep = sleep
        self._awake_at = clock()
        """When this process was last seen to run."""
        self._doorbell = Doorbell(links)
        links.watch(control)
        self._desk = Desk(
            control,
            pool,
            generations,
            snapshots,
            overseer.stack_taking,
            self._has_happened,
            self._reopen_logs,
            clock,
        )

    def adopt_waiting(self, connections: Iterable[int]) -> None:
        """Those who asked the program before this one for an upgrade."""
        for fd in connections:
            self._desk.adopt(fd)

    def run(self, first: Event) -> int:
        """Supervise from the start of the first generation to the end of the last process; returns the exit code."""
        self._happened([first])
        faults, failing_since = 0, 0.0
        while not self._is_over:
            try:
                if faults:
                    # A turn that fails before its time for that would never hear of a stop.
                    self._take_signals()
                self._turn()
                faults = 0
            except Exception as error:
                # A fault of ours must not take the site down: the pool serves on, and the next turn plans anew.
                failing_since = failing_since if faults else self._clock()
                faults += 1
                if self._is_hopeless(faults, self._clock() - failing_since):
                    raise
                self._generations.log.error("internal_error", error=f"{type(error).__name__}: {error}")
                self._generations.log.traceback(traceback.format_exc())
                # What failed may be over in a second, and would have failed a thousand times by then.
                self._sleep(min(0.005 * 2**faults, 1.0))
        return self._pool.exit_code

    def _is_hopeless(self, faults: int, failing_s: float) -> bool:
        is_asked_to_stop = self._pool.stop is not Stop.NO
        return failing_s > MAX_FAULTS_S or (is_asked_to_stop and faults > MAX_FAULTS_OF_STOP)

    @property
    def _is_over(self) -> bool:
        """The status process goes last: until then somebody may ask how the end is getting on."""
        return self._pool.finished and self._status_keeper.finished

    def _turn(self) -> None:
        self._carry_out_plan()
        self._status_keeper.turn(ending=self._pool.finished)
        if self._is_over:
            return
        self._wait()
        self._take_signals()
        if self._doorbell.rings():
            self._happened([ConnectionWaits()])
        # Before reaping: last words come before the death they explain.
        self._receive()
        ended = self._processes.reap(self._receive)
        for each in ended:
            self._effects.courtesy.forget(each.pid)
        self._happened(self._ended(exit) for exit in ended if not self._status_keeper.ended(exit))
        # After the reaping: it signals only those who are there.
        self._happened(self._overseer.look(self._time()))
        self._desk.turn()
        self._statsd.turn()
        self._queue_watch.turn()
        self._effects.courtesy.turn()
        # Last: a sign of life is for a turn that came to its end.
        self._service.turn()

    def _carry_out_plan(self) -> None:
        while actions := plan(self._pool, self._time()):
            for action in actions:
                # Recorded first: whatever goes wrong then, it is not tried again at once and for ever.
                record(self._pool, action, self._clock())
                self._happened(self._effects.carry_out(action))

    def _wait(self) -> None:
        self._listen_when_resting()
        now = self._time()
        times = (
            next_deadline(self._pool, now),
            self._overseer.next_look,
            self._desk.deadline,
            self._status_keeper.deadline,
            self._service.deadline,
            self._statsd.deadline,
            self._queue_watch.deadline,
            self._effects.courtesy.deadline,
        )
        deadline = min((each for each in times if each is not None), default=None)
        if deadline is None:
            self._links.wait(None)
            self._awake_at = self._clock()
            return
        # What was due before, such as all that an upgrade has interrupted, is late without any jump.
        deadline = max(deadline, now)
        self._links.wait(deadline - now)
        self._notice_stand_still(deadline)

    def _time(self) -> float:
        """The time, for who judges by it: nobody is late for a time in which nobody ran."""
        return self._notice_stand_still(self._awake_at)

    def _notice_stand_still(self, due: float) -> float:
        """This process should have gone on when `due`, or soon after. Returns the time."""
        now = self._clock()
        if now - due > JUMP_S:
            # When it began is not known: in doubt, requests are given the time.
            self._overseer.stood_still(self._awake_at, now)
            self._happened([ClockJumped(now - due)])
        self._awake_at = now
        return now

    def _listen_when_resting(self) -> None:
        """A pool at rest is not looked at: the first connection ends the rest."""
        if not self._pool.load.resting:
            self._doorbell.disarm()
        elif not self._doorbell.armed:
            self._doorbell.arm(each.fileno() for each in self._generations.in_force.listeners)

    def _take_signals(self) -> None:
        for number in self._inbox.take():
            if number in _ASKS:
                self._happened([_ASKS[number]])
            elif number is signal.SIGUSR1:
                self._reopen_logs()

    def _last_orders(self) -> Sequence[int] | None:
        self._take_signals()
        return self._desk.waiting if self._pool.stop is Stop.NO else None

    def _receive(self) -> None:
        self._happened(self._links.receive(self._generations.log))

    def _reopen_logs(self) -> None:
        for error in self._generations.files.reopen():
            self._generations.log.error("log_not_reopened", error=error)
        self._effects.reopen_logs()
        self._status_keeper.reopen_logs()
        self._generations.log.info("logs_reopened")

    def _ended(self, exit: Exit) -> ProcessEnded:
        oom = self._oom.verdict() if exit.signal == signal.SIGKILL else ""
        return ProcessEnded(exit, self._last_words(exit), oom, self._last_requests(exit))

    def _last_requests(self, exit: Exit) -> str:
        """What a worker that died was answering, as the scoreboard still has it."""
        dead = [worker.id for worker in self._pool.workers.values() if worker.pid == exit.pid]
        if exit.code == 0 or not dead:
            return ""
        lines = [running.line for running in self._generations.board.running(dead[0])]
        return "; ".join(lines[:MAX_LAST_REQUESTS])

    def _last_words(self, exit: Exit) -> str:
        """Stacks that a process left behind: its own, unless two of a generation crash in the same moment."""
        if exit.code == 0:
            return ""
        trial = self._pool.trial
        if trial is not None and trial.pid == exit.pid:
            return self._effects.trial_output()
        for worker in self._pool.workers.values():
            if worker.pid == exit.pid:
                return self._generations.stacks_of(worker.generation)
        for generation in self._pool.generations.values():
            if generation.zygote_pid == exit.pid:
                return self._generations.stacks_of(generation.number)
        return ""

    def _has_happened(self, event: Event) -> None:
        self._happened([event])

    def _happened(self, events: Iterable[Event]) -> None:
        for event in events:
            notes = apply(self._pool, event, self._clock())
            # Before it is told: who serves is scheduled as it should be.
            self._effects.notice(event)
            for note in notes:
                self._tell(note)

    def _tell(self, note: Note) -> None:
        self._generations.log.tell(note)
