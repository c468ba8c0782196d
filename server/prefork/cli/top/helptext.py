"""What the keys and columns of `prefork top` mean, in short. docs/top.md tells more.

Owns: the words. Runs in: cli. Must not know: how they are drawn.
"""

from __future__ import annotations

HELP: tuple[str, ...] = (
    "keys",
    "  up down j k    select a worker; PgUp PgDn Home End as well",
    "  s              next order; directly: r req/s, c cpu, m memory, a age, w worker",
    "  t Enter        stacks of the worker's threads, with their requests; t: again",
    "  left right     in that pane: the same of the worker before, of the next one",
    "  R              replace the worker by a fresh one of its generation (asks)",
    "  p              pause: workers finish and leave, clients wait; resume (asks)",
    "  Ctrl-L         draw the screen anew",
    "  q Esc          close the pane; q: quit",
    "",
    "above the workers: the last interval, of all workers",
    "  p50 p99        half, 99 of 100 requests took no longer",
    "  5xx 4xx        share of the answers",
    "  busy           threads that run a request, of all there are",
    "  queue          connections that wait in the kernel for a worker; the most seen",
    "  waited p99     99 of 100 requests waited no longer for a thread",
    "  shed/s         turned away: they had waited for requests.queue_timeout",
    "",
    "columns",
    "  W GEN          number of the worker, its generation",
    "  BUSY           threads that run a request, of all it has",
    "  REQ/S P99      its part of the last interval",
    "  CPU%           100 is one processor",
    "  PRIV           memory that nobody else has: what its end would give back",
    "  SHARED         memory in common with other processes; RSS is the sum",
    "  CONN           open connections, idle ones included",
    "  RST            processes that this number has had before",
    "  REQUESTS UP    answered since its start; how long that is ago",
    "  AGE REQUEST    the request that runs longest, and how long; (+2): two more run",
)
