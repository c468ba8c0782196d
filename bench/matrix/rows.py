"""The rows, in the order of the table: each breaks something, and looks at what clients saw of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from matrix import lifecycle, releases, requests
from matrix.clients import Outcome, Start
from matrix.corpus import INVALID


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    key: str
    title: str
    run: Callable[[Start], Outcome] = field(repr=False)


ROWS = (
    Row("broken-release", "HUP, and the new code raises at import", releases.broken_release),
    Row("broken-settings", "HUP, and the settings file is broken", releases.broken_settings),
    Row("hang", "HUP, and the new code hangs at import", releases.hangs_in_import),
    Row("slow-import", "HUP, and the new code takes 3 s to import", releases.slow_import),
    Row("address", "HUP, and the settings name another address", releases.another_address),
    Row("taken-address", "HUP, and the settings name an address that is taken", releases.taken_address),
    Row("upgrade", "USR2 under load, with a new release", releases.upgrade),
    Row("recycle-broken", "workers recycle while broken code lies on disk", releases.recycle_while_broken),
    Row("recycle-slow", "the only worker recycles, boot takes 1.5 s", releases.recycle_with_slow_boot),
    Row("crash-loop", "a worker dies, and its successors die at import", releases.crash_loop),
    Row("timeout", "a request of 6 s, time limit 2 s", requests.too_long),
    Row("sibling", "a healthy request beside one that exceeds its limit", requests.sibling_of_too_long),
    Row("idle", "a request beside 4 silent connections, 2 workers", requests.idle_sockets),
    Row("half-heads", "a request beside 4 half requests, 2 workers", requests.half_heads),
    Row("unread", "a request beside 4 clients that do not read", requests.unread_responses),
    Row("busy", "10 requests beside a busy and an idle worker", requests.busy_beside_idle),
    Row("term", "TERM", lifecycle.term_exits),
    Row("term-twice", "TERM twice, with a request of 30 s", lifecycle.term_twice),
    Row("queue", "TERM with 8 requests waiting for one worker", lifecycle.term_with_queue),
    Row("ttin", "6 times TTIN", lifecycle.six_ttin),
    Row("master", "kill -9 of the master under load", lifecycle.killed_master),
    Row("notify", "systemd is told READY=1, import takes 1 s", lifecycle.ready_when_it_serves),
    Row("descriptors", "workers run out of descriptors", lifecycle.out_of_descriptors),
    Row("short-response", "a response shorter than its Content-Length, pipelined", requests.short_response),
    Row("half-body", "a client sends half a body and leaves", requests.half_a_body),
    Row("no-host", "a request without Host", requests.no_host),
    Row("connection", "Connection: close, TE", requests.connection_options),
    Row("invalid", f"{len(INVALID)} invalid requests", requests.invalid_requests),
)
