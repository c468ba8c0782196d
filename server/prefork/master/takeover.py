"""Between the living objects of a master and the document of an upgrade.

Owns: writing down everything the master holds, and making it all again from that. Runs in: master, before and after an upgrade.
Must not know: how the program is executed (see `upgrade`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prefork.ipc.channel import Channel
from prefork.ipc.messages import TakeListeners
from prefork.master.control import ControlSocket
from prefork.master.generations import Generations
from prefork.master.handover import Handover, Remembered, ResourcesState, SocketState, StatusState
from prefork.master.links import Links
from prefork.master.pidfile import PidFile
from prefork.master.resources import Resources
from prefork.master.stacks import Stacks
from prefork.master.state import Pool
from prefork.net.listeners import Listener
from prefork.version import __version__


def describe(
    pool: Pool,
    links: Links,
    generations: Generations,
    control: ControlSocket,
    pid_file: PidFile | None,
    waiting: Sequence[int],
    status: Sequence[StatusState] = (),
    remembered: Remembered | None = None,
) -> Handover:
    """All of it. `waiting`: connections of those who wait for the end of the upgrade."""
    listeners: list[Listener] = []
    resources = {number: _resources_state(each, listeners) for number, each in sorted(generations.items())}
    in_force = next(number for number, each in generations.items() if each is generations.in_force)
    return Handover(
        release=__version__,
        pid=os.getpid(),
        pool=pool,
        sockets=[SocketState.of(each) for each in listeners],
        resources=resources,
        in_force=in_force,
        log_files=generations.files.descriptors(),
        pid_file=None if pid_file is None else (str(pid_file.path), pid_file.fileno()),
        baton_fd=generations.baton_fd,
        board_fd=generations.board.fd,
        metrics_fd=generations.metrics.fd,
        metrics_owners=generations.metrics.owners,
        control=None if control.listener is None else SocketState.of(control.listener),
        waiting=list(waiting),
        workers={worker: channel.fileno() for worker, channel in links.workers.items()},
        zygotes={number: channel.fileno() for number, channel in links.zygotes.items()},
        status=list(status),
        remembered=remembered or Remembered(),
    )


def _resources_state(resources: Resources, listeners: list[Listener]) -> ResourcesState:
    """Listeners are added to `listeners`, each once: generations share them."""
    for listener in (*resources.listeners, *resources.status_listeners):
        if listener not in listeners:
            listeners.append(listener)
    return ResourcesState(
        settings=resources.settings,
        identity=resources.identity,
        specs=[SocketState.of_spec(spec) for spec in resources.specs],
        listeners=[listeners.index(listener) for listener in resources.listeners],
        addresses=resources.addresses,
        log_fd=resources.log_fd,
        access_fd=resources.access_fd,
        slow_fd=resources.slow_fd,
        tls=resources.tls,
        stacks_fd=None if resources.stacks is None else resources.stacks.fd,
        status_specs=[SocketState.of_spec(spec) for spec in resources.status_specs],
        status_listeners=[listeners.index(listener) for listener in resources.status_listeners],
        entries=resources.entries,
    )


def restore_resources(handover: Handover) -> dict[int, Resources]:
    """The resources of every generation, with the listeners they share."""
    listeners = [each.listener() for each in handover.sockets]
    return {number: _resources(each, listeners) for number, each in handover.resources.items()}


def _resources(state: ResourcesState, listeners: Sequence[Listener]) -> Resources:
    resources = Resources(
        settings=state.settings,
        identity=state.identity,
        specs=[each.spec() for each in state.specs],
        listeners=[listeners[index] for index in state.listeners],
        log_fd=state.log_fd,
        access_fd=state.access_fd,
        slow_fd=state.slow_fd,
        tls=state.tls,
        status_specs=[each.spec() for each in state.status_specs],
        status_listeners=[listeners[index] for index in state.status_listeners],
        entries=state.entries,
    )
    # As the zygote knows them; a listener that was closed has no descriptor any more.
    resources.addresses = list(state.addresses)
    if state.stacks_fd is not None:
        resources.stacks = Stacks(state.stacks_fd)
    return resources


def restore_links(handover: Handover, links: Links) -> None:
    """The channels to everybody."""
    for number, fd in handover.zygotes.items():
        links.add_zygote(number, Channel.from_fd(fd))
    for worker, fd in handover.workers.items():
        links.add_worker(worker, Channel.from_fd(fd))


def replace_memory(links: Links, generations: Generations) -> None:
    """Zygotes get what this program made in the place of memory that it could not read, so that no worker looks for its part of
    the one in the other."""
    targets = [each.fd for each in (generations.board, generations.metrics) if each.replaced]
    if targets:
        for number in links.zygotes:
            links.tell_zygote(number, TakeListeners(targets=targets), targets)
