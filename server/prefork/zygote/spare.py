"""A zygote that keeps another one for later, as it is itself now: all of prefork imported, nothing of the application.

Owns: the fork of a spare zygote. Runs in: zygote, before it is told what to be. Must not know: what it will be told.

The next reload begins with the spare, which has nothing left to import but the application, and shares what it has with this one.
"""

from __future__ import annotations

from prefork.ipc.channel import Channel
from prefork.ipc.messages import BearSpare, SpareBorn, encode
from prefork.title import setproctitle
from prefork.zygote import orphan
from prefork.zygote.freshness import Freshness
from prefork.zygote.inspection import other_threads


class _Self:
    """This process."""

    freshness: Freshness | None = None
    """Of its interpreter: a spare has that from the one that forked it."""
    is_spare = False


def is_outdated() -> bool:
    """Whether this has waited as a spare, for so long that a new interpreter would be another one."""
    return _Self.is_spare and _Self.freshness is not None and _Self.freshness.is_lost()


def bear(order: BearSpare, theirs: Channel, ours: Channel) -> bool:
    """True in the spare, which has the channel `theirs` alone. Where it cannot be, the end of that channel tells the master."""
    is_spare = not other_threads() and _is_fresh() and _fork(theirs)
    if is_spare:
        _Self.is_spare = True
        ours.close()
        setproctitle(order.title)
    else:
        theirs.close()
    return is_spare


def _is_fresh() -> bool:
    try:
        if _Self.freshness is None:
            _Self.freshness = Freshness()
    except OSError:
        # /proc cannot be read, as of a program with capabilities of its own: nothing can be told later.
        return False
    return not _Self.freshness.is_lost()


def _fork(theirs: Channel) -> bool:
    try:
        return orphan.fork(theirs.fileno(), *orphan.around_pid(encode(SpareBorn(pid=0))))
    except OSError:
        # No memory, no process number: the next zygote begins anew.
        return False
