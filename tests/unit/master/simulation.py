"""A pool without processes: actions are answered by a model of zygotes and workers, time is a number."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from prefork.master import actions, events
from prefork.master.notes import Note
from prefork.master.plan import next_deadline, plan
from prefork.master.processes import Exit
from prefork.master.state import Failure, Limits, Pool
from prefork.master.transitions import apply

LIMITS = Limits(boot_timeout_s=60.0, drain_timeout_s=30.0, rollback_window_s=600.0)


@dataclass
class FakeProcess:
    """A process of the model. What it was told is acted upon when the test says so."""

    pid: int
    generation: int
    worker: int | None = None
    trial: bool = False
    """It is the trial of a new program."""
    told: str = ""
    """The last order: "drain", "stop", "term", "exit"."""


@dataclass
class Simulation:
    """Runs `plan` to its end after every event, as the supervisor does."""

    count: int = 2
    limits: Limits | None = None
    pool: Pool = field(default_factory=Pool)
    now: float = 1000.0
    processes: dict[int, FakeProcess] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    done: list[actions.Action] = field(default_factory=list)
    refuse_reload: bool = False
    refuse_rollback: bool = False
    zygotes_dawdle: bool = False
    """They fork when `forks` is called, not at once."""
    orders: list[actions.SpawnWorker] = field(default_factory=list)
    next_pid: int = 100
    zombies: list[tuple[int, Exit]] = field(default_factory=list)

    def start(self) -> Simulation:
        """The first generation."""
        self.happens(self._new_zygote(restart=False))
        return self

    def boot(self) -> Simulation:
        """Start, and let everything come up."""
        self.start()
        self.settle()
        return self

    # -- events ----------------------------------------------------------------------------------------------

    def happens(self, event: events.Event) -> None:
        self.notes += apply(self.pool, event, self.now)
        self.run_plan()

    def run_plan(self) -> None:
        rounds = 0
        while due := plan(self.pool, self.now):
            rounds += 1
            assert rounds < 50, f"the plan never ends: {due}"
            for action in due:
                actions.record(self.pool, action, self.now)
                self.done.append(action)
                for event in self._carry_out(action):
                    self.notes += apply(self.pool, event, self.now)
                self.check(action)
        # Deaths by SIGKILL are seen after the plan, like in the loop.
        while self.zombies:
            pid, exit = self.zombies.pop(0)
            del self.processes[pid]
            self.happens(events.ProcessEnded(exit))

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at every deadline on the way."""
        end = self.now + seconds
        while (deadline := next_deadline(self.pool, self.now)) is not None and deadline <= end:
            self.now = deadline
            self.run_plan()
        self.now = end
        self.run_plan()

    def zygote_ready(self, generation: int) -> None:
        self.happens(events.ZygoteReports(generation, preloaded=True))

    def forks(self) -> None:
        """A zygote that dawdles carries out its oldest order."""
        self.happens(self._forked(self.orders.pop(0)))

    def accepts(self, worker: int) -> None:
        self.happens(events.WorkerAccepts(worker))

    def dies(self, pid: int, code: int | None = None, signal: int | None = 9) -> None:
        del self.processes[pid]
        self.happens(events.ProcessEnded(Exit(pid, code=code, signal=None if code is not None else signal)))

    def worker_gives_up(self, worker: int, why: str = "no such module") -> None:
        pid = self.pid_of(worker)
        self.happens(events.WorkerGivesUp(worker, Failure("import", why, f"Traceback of {why}")))
        self.dies(pid, code=0)

    def obey(self, pid: int) -> None:
        """Do what the process was told, or come up if it was told nothing."""
        process = self.processes[pid]
        if process.told or process.trial:
            self.dies(pid, code=0)
        elif process.worker is not None:
            self.accepts(process.worker)
        else:
            self.zygote_ready(process.generation)

    def settle(self) -> None:
        """Everybody comes up or obeys until nothing changes any more."""
        for _ in range(500):
            waiting = [p for p in self.processes.values() if p.told or self._is_booting(p)]
            if not waiting:
                return
            self.obey(waiting[0].pid)
        raise AssertionError("it never settles")

    def check(self, action: actions.Action) -> None:
        """What no single action may do, whatever happened before it."""
        if isinstance(action, actions.DrainWorker) and action.reason not in ("stop", "pause", "scale"):
            slot = self.pool.workers[action.worker].slot
            assert self.pool.accepting(slot), f"{action} leaves slot {slot} without a worker"
        if isinstance(action, actions.StopWorker | actions.TerminateWorker):
            worker = self.pool.workers[action.worker]
            assert worker.ready_at is None or self.pool.stop.name == "FAST", f"{action} cuts a serving worker"
        if isinstance(action, actions.ExitZygote):
            assert not list(self.pool.of_generation(action.generation)), f"{action} before its workers"
        if isinstance(action, actions.SpawnWorker):
            assert self.pool.generations[action.generation].phase.name != "PARKED", f"{action} while parked"
        surges = [w for w in self.pool.workers.values() if w.is_booting and self.pool.accepting(w.slot)]
        assert len(surges) <= 1, "more than one replacement at a time"

    # -- questions -------------------------------------------------------------------------------------------

    def pid_of(self, worker: int) -> int:
        return next(p.pid for p in self.processes.values() if p.worker == worker)

    def zygote_of(self, generation: int) -> int:
        return next(p.pid for p in self.processes.values() if p.worker is None and p.generation == generation)

    def accepting(self) -> dict[int, list[int]]:
        """Slot -> generations of the workers that accept there."""
        slots: dict[int, list[int]] = {}
        for worker in self.pool.workers.values():
            if worker.phase.name == "ACCEPTING":
                slots.setdefault(worker.slot, []).append(worker.generation)
        return {slot: sorted(slots[slot]) for slot in sorted(slots)}

    def booting(self) -> list[int]:
        return [worker.id for worker in self.pool.workers.values() if worker.is_booting]

    def said(self, event: str) -> list[Note]:
        return [note for note in self.notes if note.event == event]

    # -- the model -------------------------------------------------------------------------------------------

    def _is_booting(self, process: FakeProcess) -> bool:
        if process.trial:
            return True
        if process.worker is None:
            return self.pool.generations[process.generation].zygote.name in ("BOOTING", "HUNG")
        return self.pool.workers[process.worker].is_booting

    def _forked(self, order: actions.SpawnWorker) -> events.Event:
        pid = self._pid()
        self.processes[pid] = FakeProcess(pid, order.generation, order.worker)
        return events.WorkerForked(order.worker, pid)

    def _pid(self) -> int:
        self.next_pid += 1
        return self.next_pid

    def _new_zygote(self, *, restart: bool) -> events.GenerationStarted:
        pid = self._pid()
        self.processes[pid] = FakeProcess(pid, self.pool.next_generation)
        return events.GenerationStarted(self.count, self.limits or LIMITS, pid, restart)

    def _carry_out(self, action: actions.Action) -> list[events.Event]:
        match action:
            case actions.BeginReload() if self.refuse_reload:
                return [events.StartRefused(Failure("settings", "unknown key"))]
            case actions.BeginReload():
                return [self._new_zygote(restart=False)]
            case actions.BeginRollback() if self.refuse_rollback:
                return [events.RollbackRefused(action.generation, Failure("listen", "address in use"))]
            case actions.BeginRollback():
                return [events.GenerationReturns(action.generation)]
            case actions.BeginRestart():
                return [self._new_zygote(restart=True)]
            case actions.TryUpgrade():
                pid = self._pid()
                self.processes[pid] = FakeProcess(pid, 0, trial=True)
                return [events.UpgradeTried(pid, self.now + 70)]
            case actions.EndDrain():
                return [events.DrainEnded()]
            case actions.KillTrial():
                self._kill(next(p.pid for p in self.processes.values() if p.trial))
            case actions.ExecuteProgram():
                # All that the next program knows is what has been written down.
                self.pool = msgspec.json.decode(msgspec.json.encode(self.pool), type=Pool)
                return [events.ReloadAsked()]
            case actions.SpawnWorker() if self.zygotes_dawdle:
                self.orders.append(action)
            case actions.SpawnWorker():
                return [self._forked(action)]
            case actions.DrainWorker():
                self.processes[self.pid_of(action.worker)].told = "drain"
            case actions.StopWorker() | actions.TerminateWorker():
                self.processes[self.pid_of(action.worker)].told = "stop"
            case actions.KillWorker():
                self._kill(self.pid_of(action.worker))
            case actions.ExitZygote():
                self.processes[self.zygote_of(action.generation)].told = "exit"
            case actions.KillZygote():
                self._kill(self.zygote_of(action.generation))
            case _:
                pass
        return []

    def _kill(self, pid: int) -> None:
        self.zombies.append((pid, Exit(pid, signal=9)))
