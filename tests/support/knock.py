"""Knocks at a server without a pause, each time with a new connection, until its standard input ends; then counts.

Run inside a box: `python knock.py ADDRESS`, where ADDRESS is HOST:PORT or a path. Prints one JSON object: answered (200),
refused, reset, wrong (anything else) and the first few things that went wrong.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
from collections import Counter

KNOCKERS = 3
PAUSE_S = 0.003
"""Between two knocks of one: the server is to be restarted too, on the same processors."""

PATIENCE_S = 60.0

REQUEST = b"GET / HTTP/1.1\r\nHost: knock\r\nConnection: close\r\n\r\n"


def knock(address: str) -> str:
    """What became of one connection."""
    host, colon, port = address.rpartition(":")
    family, where = (socket.AF_INET, (host, int(port))) if colon else (socket.AF_UNIX, address)
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE_S)
        try:
            sock.connect(where)
            sock.sendall(REQUEST)
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        except (ConnectionRefusedError, FileNotFoundError):
            return "refused"
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
        except OSError as error:
            return f"wrong: {error!r}"
    return "answered" if data.startswith(b"HTTP/1.1 200 ") else f"wrong: {data[:80]!r}"


def main() -> None:
    """Knock, count, tell."""
    counts: Counter[str] = Counter()
    examples: list[str] = []
    over = threading.Event()

    def knocker() -> None:
        while not over.wait(PAUSE_S):
            outcome = knock(sys.argv[1])
            kind = outcome.partition(":")[0]
            counts[kind] += 1
            if kind == "wrong" and len(examples) < 5:
                examples.append(outcome)

    threads = [threading.Thread(target=knocker) for _ in range(KNOCKERS)]
    for thread in threads:
        thread.start()
    print("knocking", flush=True)
    select.select([sys.stdin], [], [])
    over.set()
    for thread in threads:
        thread.join()
    kinds = ("answered", "refused", "reset", "wrong")
    print(json.dumps({**{kind: counts[kind] for kind in kinds}, "examples": examples}))


if __name__ == "__main__":
    main()
