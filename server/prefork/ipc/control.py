"""The protocol of the control socket: one request, any number of progress messages, one result.

Owns: the messages and their framing (a JSON document a line, UTF-8, `v` in each). Sans-IO. Runs in: master, cli. Must not
know: sockets, what a command does. Written down for other programs in docs/control.md.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from prefork.ipc.status import RequestStatus

PROTOCOL_VERSION = 1

MAX_REQUEST = 4096
"""Bytes of the longest request."""

MAX_REPLY = 4 << 20
"""Bytes of the longest line that a client takes: a status with thousands of workers, stacks of hundreds of threads."""


class ProtocolError(Exception):
    """The other side does not speak this protocol; the text says why."""


# requests -----------------------------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, tag_field="command", kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""

    v: int = PROTOCOL_VERSION


class StatusRequest(Request, frozen=True, tag="status"):
    """What is there and how it is; `Result.data` is a `prefork.ipc.status.Status`."""


class ReloadRequest(Request, frozen=True, tag="reload"):
    """As SIGHUP. With `wait` the result comes when the new generation serves everywhere, or has failed."""

    wait: bool = False


class RollbackRequest(Request, frozen=True, tag="rollback"):
    """Bring the generation before back. `wait` as for reload."""

    wait: bool = False


class ScaleRequest(Request, frozen=True, tag="scale"):
    """Have `to` workers, or `by` more than now (fewer, if negative). One of the two is given."""

    to: int | None = None
    by: int | None = None


class RecycleRequest(Request, frozen=True, tag="recycle"):
    """Replace one worker (by the number of its slot), or all, one after the other."""

    worker: int | None = None


class StopRequest(Request, frozen=True, tag="stop"):
    """As SIGTERM, or with `fast` as SIGINT. The result comes when the server has ended.

    `delay_s`: how long it goes on serving first, not ready any more; None: `server.drain_delay`.
    """

    fast: bool = False
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None


class DrainRequest(Request, frozen=True, tag="drain"):
    """Be ready no more, and serve on. With `wait` the result comes when `delay_s` (None: `server.drain_delay`) is over."""

    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
    wait: bool = True


class PauseRequest(Request, frozen=True, tag="pause"):
    """As SIGWINCH: all workers finish and leave, the master stays."""


class ResumeRequest(Request, frozen=True, tag="resume"):
    """The end of a pause."""


class ReopenLogsRequest(Request, frozen=True, tag="reopen_logs"):
    """As SIGUSR1."""


class StacksRequest(Request, frozen=True, tag="stacks"):
    """Python stacks of all threads of one worker (by the number of its slot), or all: `Result.data` is a list of `Stack`."""

    worker: int | None = None


class UpgradeRequest(Request, frozen=True, tag="upgrade"):
    """As SIGUSR2: execute the master anew, in place."""


AnyRequest = (
    StatusRequest
    | ReloadRequest
    | RollbackRequest
    | ScaleRequest
    | RecycleRequest
    | StopRequest
    | DrainRequest
    | PauseRequest
    | ResumeRequest
    | ReopenLogsRequest
    | StacksRequest
    | UpgradeRequest
)


# replies ------------------------------------------------------------------------------------------------------------


class Reply(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of all replies."""

    v: int = PROTOCOL_VERSION


class Progress(Reply, frozen=True, tag="progress"):
    """One step, as the server's log tells it."""

    level: str
    event: str
    fields: dict[str, Any] = {}


class Result(Reply, frozen=True, tag="result"):
    """The last message of a connection."""

    ok: bool
    error: str = ""
    """One line; what a person should know if it is not ok."""
    stage: str = ""
    """Where a generation failed: "settings", "listen", "import", "warmup", ..."""
    traceback: str = ""
    """The application's."""
    problems: list[str] = []
    """What is wrong with the settings, a line for each mistake."""
    text: str = ""
    """One line; what has been done."""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker was doing."""

    worker: int
    pid: int
    generation: int
    text: str = ""
    """As faulthandler writes it."""
    error: str = ""
    """Why there is no text."""
    running: list[RequestStatus] = []
    """What its threads ran when it wrote, as far as it is certain: requests of more than a moment. An idle thread's has ended."""


AnyReply = Progress | Result

_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_replies: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)


def encode(message: Request | Reply) -> bytes:
    """One message as one line."""
    return msgspec.json.encode(message, enc_hook=str) + b"\n"


def decode_request(line: bytes) -> AnyRequest:
    """Raises ProtocolError with what a client's author needs to know."""
    try:
        request: AnyRequest = _requests.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(f"no request of version {PROTOCOL_VERSION} of the protocol: {error}") from error
    if request.v != PROTOCOL_VERSION:
        raise ProtocolError(f"this server speaks version {PROTOCOL_VERSION} of the protocol, not {request.v}")
    return request


def decode_reply(line: bytes) -> AnyReply:
    """Raises ProtocolError."""
    try:
        reply: AnyReply = _replies.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(f"the server's answer is not understood: {error}") from error
    return reply


class Lines:
    """Bytes in, whole lines out, none longer than `longest`."""

    __slots__ = ("_longest", "_pending")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends. Raises ProtocolError."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if max(map(len, (*lines, self._pending))) > self._longest:
            raise ProtocolError(f"a message longer than {self._longest} bytes")
        return lines
