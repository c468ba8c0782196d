"""Python stacks as faulthandler writes them, read: threads, their frames, and what each of them is there for.

Owns: that text's grammar (CPython's Python/traceback.c), which frames are prefork's own, which request belongs to which thread.
Pure. Runs in: cli. Must not know: where the text comes from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from prefork.ipc.status import RequestStatus

_HEADING = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*?)\])? ?\(most recent call first")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')

_OWN = re.compile(r"/prefork/(?:zygote|worker|wsgi|http|ipc|net|observe)/[^/]+\.py$")
_LOOP = re.compile(r"/prefork/worker/loop\.py$")
_POOL = re.compile(r"/prefork/worker/executors\.py$")
_START = re.compile(r"/threading\.py$|^<string>$|^<frozen runpy>$")
"""What a thread, or a zygote, begins with."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One call."""

    file: str
    """As the interpreter knows it; empty for a line that tells something else, which is in `function` then."""
    line: int
    """0 if nobody knows."""
    function: str

    def __str__(self) -> str:
        return (
            f'File "{self.file}", line {self.line or "?"} in {self.function}' if self.file else self.function
        )


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """One thread of a worker."""

    ident: int
    """threading.get_ident()."""
    name: str = ""
    """Where the interpreter tells (from Python 3.14 on)."""
    role: str
    """loop: it accepts, reads and sends, and runs the application if `workers.threads` is 1. pool: it runs the application.
    other: somebody else's."""
    idle: bool
    """It waits for work from prefork."""
    request: RequestStatus | None = None
    """What it runs, if that is certain."""
    frames: list[Frame]
    """The call it is in first."""

    @property
    def foreign(self) -> list[Frame]:
        """The frames without prefork's beneath them; all, if they are all prefork's."""
        return self.frames[: _foreign(self.frames)] or self.frames


def threads_of(text: str, running: Sequence[RequestStatus] = ()) -> list[Thread]:
    """The threads of one worker: those with the longest requests first, then those with others' work, idle ones last."""
    requests = {request.ident: request for request in running}
    found = [_thread(heading, lines, requests) for heading, lines in _sections(text)]
    return sorted(found, key=_order)


def _order(thread: Thread) -> tuple[bool, float, bool, bool]:
    request = thread.request
    elapsed_s = -1.0 if request is None else request.elapsed_s
    return thread.idle, -elapsed_s, thread.role == "other", thread.role == "loop"


def _sections(text: str) -> list[tuple[re.Match[str], list[str]]]:
    sections: list[tuple[re.Match[str], list[str]]] = []
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading:
            sections.append((heading, []))
        elif sections and line.startswith("  "):
            sections[-1][1].append(line)
    return sections


def _thread(heading: re.Match[str], lines: list[str], requests: dict[int, RequestStatus]) -> Thread:
    frames = [_frame(line) for line in lines]
    ident, role = int(heading[1], 16), _role(frames)
    innermost = frames[0].file if frames else ""
    idle = role != "other" and bool(_LOOP.search(innermost) or _POOL.search(innermost))
    # An idle thread's request began or ended in the moment of the look.
    request = None if idle else requests.get(ident)
    return Thread(ident=ident, name=heading[2] or "", role=role, idle=idle, request=request, frames=frames)


def _frame(line: str) -> Frame:
    parts = _FRAME.match(line)
    if parts is None:
        return Frame(file="", line=0, function=line.strip())
    return Frame(file=parts[1], line=int(parts[2]) if parts[2].isdecimal() else 0, function=parts[3])


def _role(frames: list[Frame]) -> str:
    for frame in reversed(frames):
        if _LOOP.search(frame.file):
            return "loop"
        if _POOL.search(frame.file):
            return "pool"
    return "other"


def _foreign(frames: list[Frame]) -> int:
    """How many frames come before prefork's, which are beneath: it is who calls."""
    count = len(frames)
    while count and (_OWN.search(frames[count - 1].file) or _START.search(frames[count - 1].file)):
        count -= 1
    return count
