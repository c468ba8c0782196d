"""What must be true of every input: the properties that the fuzzer checks, with h11 as the second reader."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import h11

from fuzz.generate import Dice, cuts
from prefork.http.errors import ProtocolError
from prefork.http.limits import Limits
from prefork.http.receiver import Request, RequestReceiver

LIMITS = Limits(max_request_line=400, max_header_bytes=1000, max_headers=20, max_body=4000)
STATUSES = {400, 413, 414, 417, 431, 501, 505}


class Sink:
    """Collects a body."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class Reading:
    """One request as one reader understands it."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    keep_alive: bool
    end: int
    """Where it ends in the input."""


@dataclass
class Outcome:
    """What prefork makes of an input."""

    requests: list[Reading] = field(default_factory=list)
    status: int = 0
    """Of the refusal; 0: none. Bytes that are no whole request yet are refused at their end."""


class Violation(AssertionError):  # noqa: N818 - it is what the fuzzer looks for, not an error of the fuzzer
    """A property that does not hold."""


def _reading(request: Request, end: int) -> Reading:
    environ = {k: v for k, v in request.environ.items() if k.startswith(("HTTP_", "CONTENT_"))}
    if request.head.chunked:
        del environ["CONTENT_LENGTH"]  # ours, of the decoded body
    if request.head.authority is not None:  # RFC 9112 section 3.2.2: replaces Host
        environ.pop("HTTP_HOST", None)
    body = request.body.data if isinstance(request.body, Sink) else b""
    head = request.head
    return Reading(head.method, head.target, tuple(sorted(environ.items())), body, head.keep_alive, end)


def read_with_prefork(pieces: list[bytes]) -> Outcome:
    """As a worker reads: each request is taken as soon as it is there. Anything but a ProtocolError gets out."""
    receiver = RequestReceiver(LIMITS, {}, Sink)
    outcome = Outcome()
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            request = receiver.feed(piece)
            while request is not None or receiver.more:
                if request is None:
                    request = receiver.feed(b"")
                    continue
                unread = len(receiver.pending) - receiver._at if receiver.pending else 0
                outcome.requests.append(_reading(request, fed - unread))
                request = receiver.next()
        receiver.eof()
    except ProtocolError as error:
        outcome.status = error.status
        if error.status not in STATUSES or not error.detail.isprintable():
            raise Violation(f"a refusal that is none: {error!r}") from error
    return outcome


def read_with_h11(wire: bytes, start: int) -> Reading | None:
    """The request that h11 finds at `start`, None if it refuses."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    body = b""
    try:
        connection.receive_data(wire[start:])
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    keys: dict[str, list[str]] = {}
    for name, value in request.headers:
        key = name.decode().upper()
        if "_" not in key and key not in ("PROXY", "TRANSFER-ENCODING"):
            keys.setdefault(key.replace("-", "_"), []).append(value.decode("latin-1").strip(" \t"))
    target = request.target.decode("latin-1")
    if target[:1] != "/" and "://" in target:
        keys.pop("HOST", None)
    fields = sorted(
        (key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", _joined(key, values))
        for key, values in keys.items()
    )
    end = len(wire) - len(connection.trailing_data[0])
    alive = (
        connection._cstate.keep_alive
    )  # the public state says nothing of it when there is an Upgrade field
    return Reading(request.method.decode(), target, tuple(fields), body, alive, end)


def _joined(key: str, values: list[str]) -> str:
    return ("; " if key == "COOKIE" else ",").join(values)


_has_bad_white_space = re.compile(
    rb"\n[0-9A-Fa-f]+(?:;[^\r\n]*)?[ \t]+[;=]|\n[0-9A-Fa-f]+[ \t]*;[^\r\n]*[ \t=]"
).search


def h11_may_refuse(message: bytes, ours: Reading) -> bool:
    """RFC 9112 section 7.1.1: a recipient MUST parse bad white space around chunk extensions; h11 does not."""
    return bool(_has_bad_white_space(message))


def only_keep_alive_of_1_0(ours: Reading, theirs: Reading) -> bool:
    """RFC 9112 section 9.3: HTTP/1.0 with `Connection: keep-alive` stays open; h11 always closes it."""
    options = dict(ours.fields).get("HTTP_CONNECTION", "").lower()
    return ours.keep_alive and "keep-alive" in options and replace(ours, keep_alive=False) == theirs


def compare(wire: bytes, outcome: Outcome) -> int:
    """Each request that prefork reads, h11 reads the same, to the same byte. Gives how many h11 refused although a clause of
    the RFC says that it must not."""
    start = refused = 0
    for ours in outcome.requests:
        skip = (
            2 if wire.startswith(b"\r\n", start) else 0
        )  # RFC 9112 section 2.2; h11 takes no empty line first
        theirs = read_with_h11(wire, start + skip)
        if theirs is None and h11_may_refuse(wire[start : ours.end], ours):
            refused += 1
        elif theirs is None or (ours != theirs and not only_keep_alive_of_1_0(ours, theirs)):
            raise Violation(f"read differently:\n  prefork {ours}\n  h11     {theirs or 'refuses'}")
        start = ours.end
    return refused


def check(wire: bytes, dice: Dice) -> tuple[Outcome, int]:
    """All properties of one input; (what prefork made of it, how many of its requests h11 refuses). Raises Violation."""
    outcome = read_with_prefork([wire])
    for pieces in ([wire[at : at + 1] for at in range(len(wire))], cuts(dice, wire)):
        other = read_with_prefork(pieces)
        # A wrong head may be refused earlier, and so with another of its faults, when it comes in pieces.
        if other.requests != outcome.requests or bool(other.status) != bool(outcome.status):
            raise Violation(f"the cut matters: {outcome} but {other} of {pieces}")
    return outcome, compare(wire, outcome)
