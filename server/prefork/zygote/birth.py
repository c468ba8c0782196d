"""What a zygote is told: the boot document, and descriptors under the master's own numbers.

Owns: how both come over the channel that a zygote is born with, and how it hands them to itself when it executes itself again.
Runs in: zygote. Must not know: what the document means for anything else.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import msgspec

from prefork.errors import BootError
from prefork.ipc.boot import Boot
from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import BearSpare, Begin
from prefork.zygote import hygiene, spare


class Told(NamedTuple):
    """The document, and the channel: it may have made way for a descriptor that must have its number."""

    boot: Boot
    channel: Channel


def be_told(channel: Channel, boot_fd: int, environment: Mapping[str, str]) -> Told | None:
    """Wait for it; or read it from `boot_fd`, if this is not negative: then everything is inherited by number.

    None: the master is gone, or needs no zygote. Raises BootError."""
    if boot_fd >= 0:
        return Told(_read(boot_fd), channel)
    mine = _open_now() - {0, 1, 2, channel.fileno()}
    heard = _hear(channel)
    if heard is None:
        return None
    pairs, at, channel = heard
    taken = mine & {target for _, target in pairs}
    channel = _place(pairs, channel)
    told = Told(_read(at), channel)
    if taken or spare.is_outdated():
        # A .pth file or sitecustomize has opened something there: it is shut now, and next time finds those numbers taken. Or a
        # spare has waited while something was deployed.
        execute_again(told.boot, channel, environment)
    return told


def execute_again(boot: Boot, channel: Channel, environment: Mapping[str, str]) -> NoReturn:
    """Execute this zygote anew, in the same process: threads end, and every descriptor goes that is not in `boot`.

    Exit handlers do not run: they would wait for threads that may never end. Raises BootError."""
    fd = os.memfd_create("prefork-boot")
    os.write(fd, msgspec.json.encode(boot))
    inherited = [channel.fileno(), fd, boot.stacks_fd, boot.log_fd, *(number for number, _ in boot.listeners)]
    inherited += [
        number
        for number in (boot.access_fd, boot.slow_fd, boot.baton_fd, boot.scoreboard_fd, boot.metrics_fd)
        if number is not None
    ]
    hygiene.flush_streams()
    hygiene.keep_from_programs(keep=inherited)
    arguments = [*sys.orig_argv[:-2], str(channel.fileno()), str(fd)]
    try:
        os.execve(sys.executable, arguments, dict(environment))
    except OSError as error:
        raise BootError("preload", f"cannot execute {sys.executable} again: {error.strerror}") from error


def _hear(channel: Channel) -> tuple[list[tuple[int, int]], int, Channel] | None:
    """Descriptors and the numbers they are to have; that of the document; and the channel: a spare has one of its own."""
    pairs: list[tuple[int, int]] = []
    while True:
        channel.wait(None)
        try:
            received = channel.receive()
        except ChannelError:
            return None
        if received is None:
            continue
        message = received.message
        if isinstance(message, BearSpare):
            theirs = Channel.from_fd(received.fds[0])
            if spare.bear(message, theirs, channel):
                channel = theirs
            continue
        if not isinstance(message, Begin):
            return None
        pairs += zip(received.fds, message.targets, strict=True)
        if not message.more:
            return pairs, message.boot, channel


def _place(pairs: Sequence[tuple[int, int]], channel: Channel) -> Channel:
    """Give all of them their numbers. First to where nobody has to be, for the number of one may be that of another."""
    above = max(target for _, target in pairs) + 1
    if channel.fileno() < above:
        aside = Channel.from_fd(fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, above))
        channel.close()
        channel = aside
    moved = []
    for fd, target in pairs:
        moved.append((fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above), target))
        os.close(fd)
    for fd, target in moved:
        os.dup2(fd, target, inheritable=False)
        os.close(fd)
    return channel


def _read(fd: int) -> Boot:
    with open(fd, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Boot)


def _open_now() -> set[int]:
    found = set()
    for fd in hygiene.open_descriptors():
        try:
            os.fstat(fd)
        except OSError:
            continue  # that of the listing itself
        found.add(fd)
    return found
