"""What a master has before it supervises.

Owns: the shape of it, and how the process says who it is. Runs in: master. Must not know: whether it was opened now or taken
over.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from prefork.master.control import ControlSocket
from prefork.master.events import Event
from prefork.master.generations import Generations
from prefork.master.handover import Remembered, StatusState
from prefork.master.links import Links
from prefork.master.pidfile import PidFile
from prefork.master.processes import Processes
from prefork.master.resources import LoadSettings
from prefork.master.service import Service
from prefork.master.state import Pool
from prefork.settings.model import Settings
from prefork.title import setproctitle


class Held(msgspec.Struct, frozen=True):
    """What a master has before it supervises, and what happens first."""

    pool: Pool
    generations: Generations
    control: ControlSocket
    pid_file: PidFile | None
    first: Event
    waiting: Sequence[int] = ()
    """Connections of those who wait for the end of an upgrade."""
    status: Sequence[StatusState] = ()
    """Status processes of the program before this one."""
    remembered: Remembered = Remembered()


class Means(msgspec.Struct, frozen=True):
    """What both ways to begin need."""

    load_settings: LoadSettings
    processes: Processes
    links: Links
    cleanup: ExitStack
    service: Service


def set_title(settings: Settings) -> None:
    """What `ps` shows."""
    name = settings.server.name
    setproctitle(f"prefork: master [{name}]" if name else "prefork: master")


def python() -> str:
    """Our interpreter's version."""
    return sys.version.split()[0]
