"""The life of a zygote, from exec to the last fork.

Owns: the order of the steps and why it is this one. Runs in: zygote, and the first moments of each worker. Must not know:
the master's plans.

Started by the master as `python -c BOOTSTRAP ROOT CHANNEL_FD -1` in a fresh interpreter: new code, no inherited objects, no
descriptor but the standard streams and its channel. It imports all of prefork, then waits to be told the rest (`birth`).
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from prefork.errors import EXIT_BOOT_FAILED, BootError
from prefork.identity import Identity
from prefork.ipc.boot import Boot
from prefork.ipc.channel import Channel
from prefork.ipc.messages import RunHook, ZygoteFailed, ZygoteReady, clip
from prefork.ipc.metricregion import REGION_BYTES
from prefork.ipc.registry import registry
from prefork.ipc.scoreboard import Place
from prefork.observe.log import Log
from prefork.observe.sinks import sink_of
from prefork.settings.model import Settings
from prefork.title import setproctitle
from prefork.worker.boot import WorkerBoot
from prefork.worker.files import import_for
from prefork.worker.logconfig import configure_logging
from prefork.wsgi.loader import WSGIApplication
from prefork.zygote import hygiene
from prefork.zygote.birth import be_told, execute_again
from prefork.zygote.errands import is_wanted, run_errand
from prefork.zygote.forking import Birth, serve
from prefork.zygote.inspection import datagram_sockets, inspect_process, open_sockets, other_threads
from prefork.zygote.preload import freeze, preload
from prefork.zygote.warmup import prepare_with

if TYPE_CHECKING:
    import ssl


DEV_EXIT_S = 0.4
"""How long threads of the application may hold up the end of a worker in development: somebody waits for it."""


class _Image(msgspec.Struct, frozen=True):
    """What every worker is a copy of."""

    boot: Boot
    settings: Settings
    application: WSGIApplication | None
    tls: ssl.SSLContext | None
    collect: bool
    log: Log

    def wants(self, order: RunHook) -> bool:
        """Whether there is a hook to be run, and it is safe to fork for it."""
        if not is_wanted(self.settings, order.hook):
            return False
        threads = other_threads()
        if threads:
            error = f"the application started {len(threads)} thread(s) after its import: {', '.join(threads)}"
            self.log.warning("hooks_skipped", hook=order.hook, error=error)
        return not threads


def main() -> NoReturn:
    """Entered by the bootstrap. Never returns."""
    environment = dict(os.environ)
    hygiene.reset_signals()
    channel = Channel.from_fd(int(sys.argv[-2]))
    try:
        _import_ours()
        told = be_told(channel, int(sys.argv[-1]), environment)
        if told is None:
            hygiene.leave(0)
        boot, channel = told
        hygiene.die_with_parent(boot.master_pid)
        image = _prepare(boot, channel, environment)
    except BootError as error:
        _report(channel, error)
        hygiene.leave(EXIT_BOOT_FAILED)
    except Exception as error:  # noqa: BLE001 - nobody is above us: the master tells it, for a traceback would not
        _report(channel, BootError("zygote", f"{type(error).__name__}: {error}", traceback.format_exc()))
        hygiene.leave(EXIT_BOOT_FAILED)
    order = None if boot.trial else serve(channel, image.wants)
    if order is None:
        hygiene.leave(0)
    if isinstance(order, RunHook):
        _run_errand(image, order)
    _live_as_worker(image, order)


def _import_ours() -> None:
    """All of ours: while it can be read for certain, before the application's paths come first in sys.path, and before the fork,
    so that all workers share it. And before anything is told, for the master may have its own imports to do meanwhile."""
    importlib.import_module("prefork.worker.main")

    public = importlib.import_module("prefork")
    for name in set(public.__all__) - public.DEVELOPMENT:
        getattr(public, name)
    # Out of the collector's sight at once: its first run, and the one before the fork, would look at all that and find nothing.
    gc.freeze()
    gc.enable()


def _prepare(boot: Boot, channel: Channel, environment: Mapping[str, str]) -> _Image:
    """All steps from a bare interpreter to one that can fork. Raises BootError."""
    # Descriptors inherited by number are inheritable: programs the application starts must not hold our sockets.
    hygiene.keep_from_programs()
    hygiene.dump_stacks_to(boot.stacks_fd)
    suffix = f" [{boot.name}]" if boot.name else ""
    setproctitle(f"prefork: zygote gen {boot.generation}{suffix}")
    settings = _decode_settings(boot)
    import_for(settings)
    if settings.server.umask is not None:
        os.umask(settings.server.umask)
    # Before the fork, so that all workers share the keys of session tickets; before the application can break anything.
    context = _tls_context(boot)
    # Before the first line of the application, and before chdir: what root may enter, this user may not.
    Identity(boot.uid, boot.gid, tuple(boot.groups)).drop()
    hygiene.die_with_parent(boot.master_pid)
    _enter_application_directory(settings)
    if boot.metrics_fd is not None:
        registry.attach(boot.metrics_fd, boot.metrics_at)
    mode = "auto" if boot.trial and settings.app.preload == "never" else settings.app.preload
    sink = sink_of(boot.log_fd, settings.log.format, settings.log.config)
    log = Log(sink, settings.log.level, role="zygote", pid=os.getpid(), gen=boot.generation)
    registry.on_full = metrics_full(log)
    sockets = open_sockets()
    if mode != "never" and not boot.unsafe_note:
        configure_logging(settings)
        # Whole messages, each to the same place: what several processes send through one does not mix.
        sockets |= datagram_sockets()
    if settings.dev.enabled:
        _prepare_development(boot, settings, channel, environment, sockets, log)
    prepare = prepare_with(settings, boot.generation, boot.listeners, log)
    preloaded = preload(settings.app.target, mode, sockets, boot.unsafe_note, prepare)
    if preloaded.restart and not boot.trial:
        _restart(boot, preloaded.note, channel, environment)
    collect = freeze()
    if preloaded.application is None and settings.hooks.on_zygote_ready:
        log.warning("hooks_skipped", hook="on_zygote_ready", error="nothing is preloaded")
    channel.send(
        ZygoteReady(
            preloaded=preloaded.application is not None, note=clip("" if mode == "never" else preloaded.note)
        )
    )
    return _Image(boot, settings, preloaded.application, context, collect, log)


def _prepare_development(
    boot: Boot,
    settings: Settings,
    channel: Channel,
    environment: Mapping[str, str],
    sockets: Mapping[int, int],
    log: Log,
) -> None:
    """Libraries that leave threads or sockets behind are left to the workers, with all others. Raises BootError."""
    from prefork.dev.prepare import import_libraries, prepare_environment

    for problem in prepare_environment(settings):
        log.warning("environment", problem=problem)
    if boot.unsafe_note or boot.trial:
        return
    import_libraries(settings)
    hygiene.ignore_masters_signals()
    findings = inspect_process(sockets)
    if not findings.safe:
        _restart(boot, str(findings), channel, environment)


def _decode_settings(boot: Boot) -> Settings:
    try:
        return msgspec.json.decode(boot.settings, type=Settings)
    except msgspec.MsgspecError as error:
        # Another release of prefork in the environment of `[app] python`.
        raise BootError(
            "settings", f"the prefork in {sys.prefix} does not understand the settings: {error}"
        ) from error


def _tls_context(boot: Boot) -> ssl.SSLContext | None:
    if bytes(boot.tls) == b"null":
        return None
    from prefork.worker.tls import load_context

    return load_context(bytes(boot.tls))


def _enter_application_directory(settings: Settings) -> None:
    directory = settings.app.chdir
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise BootError(
                "chdir", f"[app] chdir = {directory!r}: {error.strerror} (uid {os.geteuid()})"
            ) from error
    sys.path[0:0] = [*settings.app.path, directory or str(Path.cwd())]
    # Not the zygote's own arguments: applications look here for commands such as "runserver".
    sys.argv[:] = ["prefork"]


def _restart(boot: Boot, note: str, channel: Channel, environment: Mapping[str, str]) -> NoReturn:
    """Execute this zygote again without the application that made it unsafe to fork. Raises BootError."""
    execute_again(msgspec.structs.replace(boot, unsafe_note=clip(note, 2000)), channel, environment)


def _report(channel: Channel, error: BootError) -> None:
    channel.send(
        ZygoteFailed(stage=error.stage, error=clip(error.error, 4000), traceback=clip(error.traceback))
    )


def _live_as_worker(image: _Image, birth: Birth) -> NoReturn:
    """A fresh worker, with an unwound stack, at the start of its own life."""
    from prefork.worker.main import run

    hygiene.reset_worker_signals()
    # The setting of the zygote is not inherited (prctl(2)). Set before the adoption it would fire at once: the parent
    # whose death it waits for would be the middle process.
    hygiene.die_with_parent(image.boot.master_pid, signal.SIGTERM)
    hygiene.forget_inherited_exit_handlers()
    # `random` has seeded itself at the fork (os.register_at_fork); generators of the application's own have not.
    if image.collect:
        gc.enable()
    boot = image.boot
    suffix = f" [{boot.name}]" if boot.name else ""
    setproctitle(f"prefork: worker {birth.slot} gen {boot.generation}{suffix}")
    log = Log(
        sink_of(boot.log_fd, image.settings.log.format, image.settings.log.config),
        image.settings.log.level,
        role="worker",
        pid=os.getpid(),
        worker=birth.slot,
        gen=boot.generation,
    )
    registry.on_full = metrics_full(log)
    if boot.metrics_fd is not None:
        registry.attach(boot.metrics_fd, birth.metrics)
    code = 1
    try:
        run(
            WorkerBoot(
                settings=image.settings,
                worker_id=birth.worker_id,
                slot=birth.slot,
                generation=boot.generation,
                master_pid=boot.master_pid,
                channel=birth.channel,
                listeners=tuple(boot.listeners),
                application=image.application,
                tls=image.tls,
                log=log,
                access_fd=boot.access_fd,
                slow_fd=boot.slow_fd,
                baton_fd=boot.baton_fd,
                scoreboard=_place(boot, birth),
            )
        )
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame of the process: whatever it is, it is told
        _tell_crash(log, error)
    if image.settings.dev.enabled:
        hygiene.leave_within(DEV_EXIT_S, code)
    hygiene.leave(code)


def _run_errand(image: _Image, order: RunHook) -> NoReturn:
    """A process for one hook, at the start of its own short life."""
    boot = image.boot
    title = f" [{boot.name}]" if boot.name else ""
    log = image.log.bind(role="hook", pid=os.getpid())
    has_application = image.application is not None
    run_errand(order, image.settings, boot.master_pid, log, has_application=has_application, title=title)
    hygiene.leave(0)


def metrics_full(log: Log) -> Callable[[str], None]:
    """What is told when the application counts more than there is room for."""

    def tell(name: str) -> None:
        room = f"a process has {REGION_BYTES >> 10} KiB for its metrics"
        hint = f"{room}: labels with few different values (no ids, no paths) need less"
        log.warning("metrics_full", metric=name, hint=hint)

    return tell


def _place(boot: Boot, birth: Birth) -> Place | None:
    return None if boot.scoreboard_fd is None or birth.row < 0 else Place(boot.scoreboard_fd, birth.row)


def _tell_crash(log: Log, error: BaseException) -> None:
    trace = "".join(traceback.format_exception(error))
    log.error("worker_crashed", error=f"{type(error).__name__}: {error}", traceback=trace, exception=error)
