"""The messages between master, zygote and workers.

Owns: their shape and their encoding (JSON, one message a packet, `v` says which release of the protocol wrote it:
master and zygote may be two releases of prefork during an upgrade or when `[app] python` names another environment).
Runs in: master, zygote, worker. Must not know: sockets (see `channel`), processes, clocks.
"""

from __future__ import annotations

from typing import Any

import msgspec

PROTOCOL_VERSION = 1

MAX_TEXT = 32 * 1024
"""Longest error text or traceback put into a message: one packet must fit the default socket buffer (208 KiB)."""


class Message(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of all messages."""

    v: int = PROTOCOL_VERSION


# master -> zygote ---------------------------------------------------------------------------------------------


class BearSpare(Message, frozen=True, tag="bear_spare"):
    """Before `Begin`: fork one that waits for a `Begin` of its own. The packet carries its end of its channel."""

    title: str
    """What it is called until then."""


class SpareBorn(Message, frozen=True, tag="spare_born"):
    """The first word of a spare zygote to the master."""

    pid: int


class Begin(Message, frozen=True, tag="begin"):
    """The first that a zygote hears. The packet carries descriptors, in the order of `targets`: each is to have that number."""

    targets: list[int]
    boot: int
    """The number of the one with the document of `prefork.ipc.boot`, which is to be closed when it was read."""
    more: bool = False
    """Another packet follows: there is a limit to each."""


class Spawn(Message, frozen=True, tag="spawn"):
    """Fork one worker. The packet carries the worker's end of its own channel as its only descriptor."""

    worker_id: int
    """Unique over the life of the master; never reused."""
    slot: int
    """1..N, stable: a replacement has the slot of the worker it replaces."""
    row: int = -1
    """Where its row of the scoreboard begins; -1: it has none."""
    metrics: int = -1
    """Where its region for metrics of the application begins; -1: it has none."""


class Exit(Message, frozen=True, tag="exit"):
    """Leave now (zygote: no more workers will be asked for)."""


class RunHook(Message, frozen=True, tag="run_hook"):
    """Run one of `[hooks]` in a process of its own: it is about something that the master has seen."""

    hook: str
    arguments: dict[str, Any]
    """Numbers and texts, by name."""


class TakeListeners(Message, frozen=True, tag="take_listeners"):
    """The packet carries descriptors, in the order of `targets`: each is to be dup2()ed over that number.

    Listeners bound anew for a rollback; or /dev/null, over those that are listened on no longer.
    """

    targets: list[int]


# zygote -> master ---------------------------------------------------------------------------------------------


class ZygoteReady(Message, frozen=True, tag="zygote_ready"):
    """The zygote can fork workers."""

    preloaded: bool
    """Workers are forked from an image with the application in it; False: each worker imports it itself."""
    note: str = ""
    """Why `preload = "auto"` decided against preloading: thread names, peer addresses."""


class ZygoteFailed(Message, frozen=True, tag="zygote_failed"):
    """The zygote cannot make workers of this generation and exits."""

    stage: str
    error: str
    traceback: str = ""


class SpawnFailed(Message, frozen=True, tag="spawn_failed"):
    """A worker could not be forked (EAGAIN, ENOMEM); the zygote lives on."""

    worker_id: int
    error: str


# first packet on a worker's channel, written by the middle process of the double fork -----------------------------


class Spawned(Message, frozen=True, tag="spawned"):
    """The worker exists. Written before the middle process ends, hence before the master can reap the worker."""

    worker_id: int
    pid: int


# master -> worker ---------------------------------------------------------------------------------------------


class Drain(Message, frozen=True, tag="drain"):
    """Stop accepting, finish what runs, leave.

    `backlog` lists the descriptors of listeners whose waiting connections must be accepted and answered first: all of
    them when the server stops, those that are about to be closed at a reload, none when others go on accepting.
    """

    reason: str
    backlog: list[int] = []
    ending: list[int] = []
    """Those of `backlog` that are to be shut down, for every process, when nobody is on the way in any more: whoever comes then
    is refused, and asks another machine."""


class Stop(Message, frozen=True, tag="stop"):
    """Fast stop: close idle connections, finish the requests that run within a second or so, leave."""

    reason: str


# master -> zygote and worker ------------------------------------------------------------------------------------


class ReopenLogs(Message, frozen=True, tag="reopen_logs"):
    """The packet carries fresh descriptors, in the order of `targets`: each is to be dup2()ed over that number."""

    targets: list[int]


# worker -> master -----------------------------------------------------------------------------------------------


class WorkerReady(Message, frozen=True, tag="worker_ready"):
    """The worker is accepting connections."""

    worker_id: int


class WorkerFailed(Message, frozen=True, tag="worker_failed"):
    """The worker could not boot (it imports the application itself when nothing is preloaded) and exits."""

    worker_id: int
    stage: str
    error: str
    traceback: str = ""


class WorkerWantsReplacement(Message, frozen=True, tag="worker_wants_replacement"):
    """The worker has served enough. It goes on serving until it is told to drain."""

    worker_id: int
    reason: str


class CodeChanged(Message, frozen=True, tag="code_changed"):
    """In development: files have changed that this worker has read, or is reading."""

    worker_id: int
    files: str
    """Some of them, for people."""
    whole: bool
    """A new worker is not enough: settings, the environment or installed packages have changed."""


class WorkerLeaving(Message, frozen=True, tag="worker_leaving"):
    """The worker has drained and exits now."""

    worker_id: int
    reason: str
    requests: int


# status process -> master, and back, on a channel of their own ---------------------------------------------------------


class StatusWanted(Message, frozen=True, tag="status_wanted"):
    """How is the server? Questions that have not been answered yet get one answer together."""


class StatusGiven(Message, frozen=True, tag="status_given"):
    """The packet carries a memfd with a `prefork.ipc.status.Status` as JSON: it may be longer than any packet."""


AnyMessage = (
    Begin
    | BearSpare
    | SpareBorn
    | Spawn
    | Exit
    | RunHook
    | TakeListeners
    | ZygoteReady
    | ZygoteFailed
    | SpawnFailed
    | Spawned
    | Drain
    | Stop
    | ReopenLogs
    | WorkerReady
    | WorkerFailed
    | WorkerWantsReplacement
    | CodeChanged
    | WorkerLeaving
    | StatusWanted
    | StatusGiven
)

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """One message as one packet."""
    return msgspec.json.encode(message)


def decode(packet: bytes) -> AnyMessage:
    """One packet as a message. Raises `msgspec.MsgspecError` on anything else."""
    message: AnyMessage = _decoder.decode(packet)
    return message


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """The end of `text`, where a traceback names the error, at most `limit` characters."""
    return text if len(text) <= limit else "...\n" + text[-limit:]
