"""What a process must shake off after exec or fork: signals, descriptors, ties to a dead parent.

Owns: those resets, in functions that each do one. Runs in: zygote, and worker right after the fork. Must not know:
settings, messages, the application.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` is made of; no stub
import atexit
import ctypes
import faulthandler
import functools
import io
import mmap
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import FrameType
from typing import NoReturn

from prefork.ipc.boot import STACKS_SIGNAL

_PR_SET_PDEATHSIG = 1

_MASTERS_SIGNALS = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
    _signal.SIGTTIN,
    _signal.SIGTTOU,
    _signal.SIGWINCH,
)
"""What steers the master must not hurt its children: a terminal sends Ctrl-C to the whole foreground group, systemd's
KillMode=control-group sends SIGTERM to everyone, `pkill -HUP prefork` finds the children by their titles."""

_PYTHON_IGNORES = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Ignored by the interpreter itself (Py_Initialize), and everybody counts on EPIPE instead of a death."""


class _SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


_signal_stack = mmap.mmap(-1, 1024 * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""64 signals, up to 12 KiB a frame (getauxval(AT_MINSIGSTKSZ) with AMX); must live as long as the process."""


def reset_signals() -> None:
    """Undo what survives exec or fork: the mask, ignored signals (signal(7)) and the wake-up descriptor.

    A wake-up descriptor inherited by fork would write this process's signals into the parent's socket.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - _PYTHON_IGNORES - {STACKS_SIGNAL, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    ignore_masters_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def ignore_masters_signals() -> None:
    """Make the master's signals mean nothing here; again after an import, which may have installed handlers.

    A handler that does nothing, not SIG_IGN: ignored signals would be inherited by programs the application starts.
    SIGCHLD must be at its default, or the kernel would reap the middle process of a fork for us (wait(2)).
    """
    # In each worker again, so without the enumerations of `signal`: they are a hundred pages that nothing else there touches.
    for number in _MASTERS_SIGNALS:
        _signal.signal(number, _nothing)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def reset_worker_signals() -> None:
    """In a fresh worker: SIGTERM ends it until its main installs a handler; handlers of the application's own stay."""
    signal.set_wakeup_fd(-1)
    ignore_masters_signals()
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def die_with_parent(parent_pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `number` when the parent dies; leave now if that has happened already.

    To be repeated after a change of user: it clears the setting (prctl(2), PR_SET_PDEATHSIG). The parent is compared with
    a known pid, not with 1: orphans go to the nearest subreaper, which need not be init.
    """
    _prctl()(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


@functools.cache
def _prctl() -> Callable[[int, int, int, int, int], int]:
    """prctl(2); made in the zygote, for all workers."""
    function = ctypes.CDLL(None).prctl
    # Without argtypes, variadic arguments of C would have an undefined width.
    function.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return function


def keep_from_programs(keep: Iterable[int] = ()) -> None:
    """Mark every descriptor above stderr close-on-exec, except `keep`, which is made inheritable."""
    kept = frozenset(keep)
    for fd in open_descriptors():
        if fd > 2:
            try:
                os.set_inheritable(fd, fd in kept)
            except OSError:
                # The descriptor of the listing itself is closed by now.
                continue


def open_descriptors() -> list[int]:
    """The descriptors of this process (and one, of the listing, that is gone)."""
    return sorted(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths


def dump_stacks_to(fd: int) -> None:
    """Write Python stacks to `fd` on a crash of the interpreter and on STACKS_SIGNAL."""
    faulthandler.enable(fd)
    faulthandler.register(STACKS_SIGNAL, fd, all_threads=True)
    # To be looked at must not make system calls of C libraries fail with EINTR (SA_RESTART, which faulthandler leaves out).
    signal.siginterrupt(STACKS_SIGNAL, False)
    _make_room_for_signals()


def _make_room_for_signals() -> None:
    """Replace the signal stack that faulthandler has just set by one on which every signal can be pending at once.

    Its own has room for two or three frames, and all handlers of the interpreter run on it (SA_ONSTACK): a handful of
    different signals in the same moment (`pkill`, a stop from several sides) nested there and killed the process with
    SIGSEGV (seen on 3.10 to 3.13). Only touched pages take memory.
    """
    memory = (ctypes.c_char * len(_signal_stack)).from_buffer(_signal_stack)
    stack = _SignalStack(sp=ctypes.addressof(memory), flags=0, size=len(_signal_stack))
    ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)


def wait_until_adopted(middle_pid: int) -> None:
    """Wait until the middle process of the double fork has ended, so that getppid() is the master's from here on.

    It has nothing left to do but one send and _exit, so this takes microseconds; no event tells about re-parenting (its
    pidfd could be opened too late, its descriptors close too early).
    """
    while os.getppid() == middle_pid:
        time.sleep(0.0005)


def forget_inherited_exit_handlers() -> None:
    """Drop atexit handlers and finalizers the application registered in the zygote.

    They belong to the zygote, which outlives its workers and runs them once: run by each worker, the first that leaves
    would remove the temporary directory all others use. Handlers registered in the worker from now on run in the worker.
    (atexit._clear is what multiprocessing does after its fork.)
    """
    atexit._clear()
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
    # The clean-up hook of weakref.finalize went with the rest; the next finalizer registers it again.
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def leave(code: int) -> NoReturn:
    """End the process as an interpreter would (threads, exit handlers, streams) but without tearing down its objects.

    The tear-down touches every page that is shared with the siblings and is where C libraries crash. However long the
    application's threads and handlers take: the master has a deadline.
    """
    try:
        # Joins non-daemon threads, and tells pools of concurrent.futures to end: what Py_FinalizeEx does first.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    finally:
        flush_streams()
        os._exit(code)


def leave_within(seconds: float, code: int) -> None:
    """Have the process end so long from now, with its exit handlers, whatever its threads are doing then."""

    def end() -> None:
        try:
            atexit._run_exitfuncs()
        finally:
            flush_streams()
            os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def flush_streams() -> None:
    """Write out what print() left in buffers; before a fork, or every worker would print it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
            # Closed, replaced or None by the application: nothing that could be written.
            continue


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
