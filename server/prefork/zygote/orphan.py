"""A child that the master adopts: forked by a middle process, which tells the child's pid and ends.

Owns: the double fork and the order of its steps. Runs in: zygote, and for a moment in the middle process and the child. Must not
know: what the child is for, what the announcement says.

The master is a subreaper (PR_SET_CHILD_SUBREAPER), so it waits for the child as for one of its own. In C (`_orphan.c`) the middle
process is no copy of this one: half of the page tables to copy, and none of the pages that a copy would have written to.
"""

from __future__ import annotations

import os
import socket

from prefork import speedups
from prefork.zygote.hygiene import wait_until_adopted


def fork_in_python(fd: int, head: bytes, tail: bytes) -> bool:
    """True in the child, once it is adopted. Raises OSError (ChildProcessError: the middle process was killed).

    `head`, the child's pid in digits and `tail` are sent to the socket `fd`, if this is not negative, before the child can become
    the master's.
    """
    middle = os.fork()
    if middle:
        _, status = os.waitpid(middle, 0)
        code = os.waitstatus_to_exitcode(status)
        if code > 0:
            raise OSError(code, os.strerror(code))
        if code:
            raise ChildProcessError(f"the middle process was ended by signal {-code}")
        return False
    middle_pid = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        os._exit(error.errno or 1)
    if child:
        try:
            _announce(fd, b"%b%d%b" % (head, child, tail))
        finally:
            # No exit handler, no flush.
            os._exit(0)
    wait_until_adopted(middle_pid)
    return True


def around_pid(packet: bytes) -> tuple[bytes, bytes]:
    """Head and tail for `fork`, of a message whose last field is the number of nobody yet: 0."""
    head, tail = packet.rsplit(b"0", 1)
    return head, tail


def _announce(fd: int, packet: bytes) -> None:
    if fd >= 0:
        with socket.socket(fileno=os.dup(fd)) as sock:
            sock.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


fork = fork_in_python if speedups.orphan is None else speedups.orphan.fork
