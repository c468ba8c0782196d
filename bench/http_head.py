"""What it costs to turn received bytes into a request: microseconds per `RequestReceiver.feed`.

    python bench/http_head.py [--repeat 7] [--number 20000] [workload ...]

Workloads: hello = 2 fields; browser = 11 fields, always the same; unique = 10 fields of which five (and the query) differ
in every request, as behind a proxy. Look at *unique* first: a cache that helps only the other two helps nobody.
The best of the repeats is printed; compare figures of one machine and one run only.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from typing import Any

from prefork.http.limits import Limits
from prefork.http.receiver import RequestReceiver

HELLO = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: keep-alive\r\n\r\n"

BROWSER = (
    b"GET /shop/items?page=2&sort=price HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: sid=31d4d96e407aad42; theme=dark\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Sec-Fetch-Site: none\r\n"
    b"\r\n"
)


def unique(number: int) -> bytes:
    token = hashlib.sha256(str(number).encode()).hexdigest()
    return (
        f"GET /shop/items/{number}?ref={token[:12]} HTTP/1.1\r\n"
        "Host: www.example.com\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: gzip, deflate, br\r\n"
        "Connection: keep-alive\r\n"
        f"Cookie: sid={token[:32]}; theme=dark\r\n"
        f"X-Forwarded-For: 10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}\r\n"
        "X-Forwarded-Proto: https\r\n"
        f"X-Request-Id: {token[32:]}\r\n"
        f"traceparent: 00-{token[:32]}-{token[32:48]}-01\r\n"
        "\r\n"
    ).encode()


def base_environ() -> dict[str, Any]:
    """As many keys as a worker puts there before the request is known."""
    keys = "version url_scheme errors multithread multiprocess run_once input input_terminated file_wrapper early_hints"
    environ: dict[str, Any] = {f"wsgi.{key}": None for key in keys.split()}
    for key in "SCRIPT_NAME SERVER_NAME SERVER_PORT SERVER_SOFTWARE REMOTE_ADDR REMOTE_PORT".split():
        environ[key] = ""
    return environ


def measure(messages: list[bytes], repeat: int) -> float:
    """Best time per request in microseconds."""
    best = float("inf")
    for _ in range(repeat):
        feed = RequestReceiver(Limits(), base_environ(), io.BytesIO).feed
        start = time.perf_counter()
        for message in messages:
            feed(message)
        best = min(best, time.perf_counter() - start)
    return best / len(messages) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Microseconds to turn received bytes into a request.")
    parser.add_argument("--repeat", type=int, default=7, help="runs, of which the best counts (default 7)")
    parser.add_argument("--number", type=int, default=20000, help="requests per run (default 20000)")
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help="hello, browser, unique (default: all)"
    )
    arguments = parser.parse_args()
    workloads = {
        "hello": lambda count: [HELLO] * count,
        "browser": lambda count: [BROWSER] * count,
        "unique": lambda count: [unique(number) for number in range(count)],
    }
    for name in arguments.workloads or workloads:
        if name not in workloads:
            parser.error(f"no workload {name!r}: choose from {', '.join(workloads)}")
        print(f"{name:8} {measure(workloads[name](arguments.number), arguments.repeat):6.2f} us")


if __name__ == "__main__":
    main()
