"""Being the first process of a container.

Owns: signals that come before their handlers are there. Runs in: the process that becomes the master. Must not know: what the
signals mean (see `master.signals`, which lets them in).

The kernel drops a signal to the first process of a namespace while it has its default action (pid_namespaces(7)): a `docker stop`
that comes during the start would be forgotten, and the container killed after its whole grace period. A signal that is blocked
is kept (sigaction(2): the action counts when it is delivered).
"""

from __future__ import annotations

import signal

_KEPT = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def hold_signals() -> None:
    """Keep what comes until the master has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _KEPT)
