"""What is counted and written down of a request that was refused before it had its turn: 400, 408, 413, 431 and their kind.

Owns: what is known of such a request. Runs in: worker, loop thread. Must not know: sockets, formats, why it was refused.

It had no turn, so it took no time and waited for none. Code of a handler's subclass is not called: it may count on an environ
that is whole.
"""

from __future__ import annotations

from typing import Any

from prefork.http.receiver import RequestReceiver
from prefork.ipc.seat import here
from prefork.observe.access_entry import CONNECTION
from prefork.worker.requestid import Step
from prefork.wsgi.context import AccessLog


def tell_refused(
    access: AccessLog | None,
    receiver: RequestReceiver,
    correct: Step | None,
    number: tuple[int, int],
    status: int,
    answer: bytes,
) -> None:
    """`correct` is what is done to the environ of each request of this connection; `number` that of the connection, and of the
    request on it; `answer` is the whole of it, as it was sent."""
    size = len(answer.partition(b"\r\n\r\n")[2])
    seat = here.seat
    seat.begin("", "")
    seat.finish(status, size)
    if access is not None:
        environ = _known_of(receiver, correct)
        environ[CONNECTION] = number
        access(environ, status, size, 0, 0, 0)


def _known_of(receiver: RequestReceiver, correct: Step | None) -> dict[str, Any]:
    """The environ of a request that is not complete, as far as it got."""
    line, environ = receiver.unfinished()
    if "REQUEST_METHOD" in environ:
        if correct is not None:
            correct(environ)
    else:
        parts = line.split(" ")
        if len(parts) == 3 and all(parts):
            environ["REQUEST_METHOD"], environ["RAW_URI"], environ["SERVER_PROTOCOL"] = parts
        elif line:
            environ["RAW_URI"] = line  # whatever it is, that is what was asked for
    return environ
