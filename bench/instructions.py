"""Instructions of a request: a whole worker under callgrind, with a client beside it that asks a counted number of times.

    python bench/instructions.py [--workloads hello,browser,unique,close] [--requests 2000] [--connections 16]
                                  [--pure] [--access-log] [--functions]

Exact on a busy machine too: each workload runs twice, the second time with more requests, and the difference is divided by
the requests between them, so that the start is out of it. In user space, the interpreter included. `--functions`
counts the interpreter's own steps (byte codes) by function instead, without callgrind: where to look first. Needs valgrind.
*tls* is hello over TLS, *tls-close* with a new connection and a whole handshake for each; valgrind shows OpenSSL a processor that
lacks the newest instructions. They need openssl.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

TURNS_BEFORE = 10
"""So many requests of each connection are not counted."""
ACCESS_LOG = "BENCH_ACCESS_LOG"
"""The worker's environment: the file of the access log. Without it there is none."""
TLS_FILES = "BENCH_TLS_FILES"
"""The worker's environment: what `certificate` gives, as JSON. Without it there is no TLS."""
FIELDS = {
    "hello": "Accept: */*\r\n",
    "close": "Connection: close\r\n",
    "tls": "Accept: */*\r\n",
    "tls-close": "Connection: close\r\n",
    "browser": (
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        "Cookie: sessionid=0123456789abcdef; csrftoken=abcdefghijklmnop\r\nUpgrade-Insecure-Requests: 1\r\n"
        "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nCache-Control: max-age=0\r\n"
    ),
}


def request(workload: str, number: int) -> bytes:
    """One request; of *unique* each is different, as behind a proxy."""
    path, fields = "/", FIELDS.get(workload, "")
    if workload == "unique":
        mark = f"{number * 2654435761 % 2**32:08x}"
        path = f"/items/17?q={mark}"
        fields = (
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
            f"Cookie: sid={mark * 4}\r\nX-Forwarded-For: 10.0.{number % 256}.{number % 254 + 1}\r\n"
            f"X-Forwarded-Proto: https\r\nX-Request-ID: {mark * 4}\r\n"
            f"Traceparent: 00-{mark * 4}-{mark * 2}-01\r\nX-Real-IP: 10.0.0.1\r\n"
        )
    return f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n{fields}\r\n".encode()


def application(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As bench/applications/hello.py."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]


# The client ----------------------------------------------------------------------------------------------------------


def connected(address: tuple[str, int], secure: ssl.SSLContext | None) -> socket.socket:
    """A connection, its handshake over."""
    sock = socket.create_connection(address, 60)
    return sock if secure is None else secure.wrap_socket(sock)


def ask(workload: str, port: int, count: int, connections: int) -> None:
    """`count` requests, over so many connections in turn; each row is sent before the first answer is read."""
    address = ("127.0.0.1", port)
    secure = None
    if workload.startswith("tls"):
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    closes = workload.endswith("close")
    socks = [] if closes else [connected(address, secure) for _ in range(connections)]
    for start in range(0, count, connections):
        row = socks or [connected(address, secure) for _ in range(connections)]
        for index, sock in enumerate(row):
            sock.sendall(request(workload, start + index))
        for sock in row:
            answer = b""
            while not answer.endswith(b"Hello, World!"):
                piece = sock.recv(4096)
                if not piece:
                    raise SystemExit(f"cut off after {answer!r}")
                answer += piece
        if not socks:
            for sock in row:
                sock.close()


def certificate(directory: Path) -> dict[str, str]:
    """The files of a self-signed certificate and its key, as the settings want them."""
    files = {"certificate": str(directory / "certificate.pem"), "key": str(directory / "key.pem")}
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1".split()
    command += ["-keyout", files["key"], "-out", files["certificate"]]
    subprocess.run(command, check=True, capture_output=True)
    return files


# The worker ----------------------------------------------------------------------------------------------------------


def serve(listener_fd: int, channel_fd: int, port: int) -> None:
    """A worker as the zygote would fork it, with the defaults of everything; until the other end of the channel is closed."""
    import msgspec

    from prefork.ipc.channel import Channel
    from prefork.observe.log import Log
    from prefork.settings.model import Settings
    from prefork.worker.boot import WorkerBoot
    from prefork.worker.main import run

    address = f"127.0.0.1:{port}"
    content = {
        "app": {"target": "bench:application"},
        "server": {"listen": [{"address": address, "tls": TLS_FILES in os.environ}]},
        "workers": {"count": 1},
    }
    access_log = None
    if path := os.environ.get(ACCESS_LOG):
        access_log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        content["log"] = {"access": path}
    context = None
    if files := os.environ.get(TLS_FILES):
        from prefork.net.material import Credential, Material
        from prefork.net.tls import server_context

        content["tls"] = names = json.loads(files)
        read = (Path(names["certificate"]).read_bytes(), Path(names["key"]).read_bytes())
        context = server_context(Material(credentials=(Credential(*read),)))
    run(
        WorkerBoot(
            settings=msgspec.convert(content, Settings),
            worker_id=1,
            slot=1,
            generation=1,
            master_pid=os.getppid(),
            channel=Channel.from_fd(channel_fd),
            listeners=((listener_fd, address),),
            application=application,
            log=Log(2, "error"),
            access_fd=access_log,
            tls=context,
        )
    )


def serve_counting(listener_fd: int, channel_fd: int, port: int, count: int) -> None:
    """The same, counting byte codes by function; prints them for one request."""
    counts: collections.Counter[str] = collections.Counter()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if event == "call":
            if "prefork" not in frame.f_code.co_filename:
                return None
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        elif event == "opcode":
            code = frame.f_code
            counts[f"{Path(code.co_filename).stem}.{getattr(code, 'co_qualname', code.co_name)}"] += 1
        return trace

    sys.settrace(trace)
    serve(listener_fd, channel_fd, port)
    sys.settrace(None)
    for name, steps in counts.most_common(40):
        if steps >= count / 2:
            print(f"{steps / count:8.1f}  {name}")
    print(f"{counts.total() / count:8.1f}  all")


def run_worker(
    prefix: list[str],
    mode: list[str],
    workload: str,
    count: int,
    connections: int,
    environment: dict[str, str],
) -> None:
    """One worker from its start to its end, asked `count` times."""
    with socket.socket() as listener:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        command = [
            *prefix,
            sys.executable,
            __file__,
            *mode,
            str(listener.fileno()),
            str(theirs.fileno()),
            str(port),
        ]
        fds = (listener.fileno(), theirs.fileno())
        with ours, subprocess.Popen(command, pass_fds=fds, env=environment) as worker:
            theirs.close()
            listener.close()  # so that the client is not left waiting if the worker fails
            try:
                ask(workload, port, count, connections)
            except BaseException:
                worker.kill()
                raise
            ours.close()
            if worker.wait(120):
                raise SystemExit("the worker failed")


def instructions(
    workload: str, count: int, connections: int, environment: dict[str, str], directory: Path
) -> int:
    """Of the whole life of a worker."""
    out = directory / "callgrind"
    run_worker(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q"],
        ["--serve"],
        workload,
        count,
        connections,
        environment,
    )
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def main() -> None:
    """Measures and prints."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*map(int, sys.argv[2:5]))
        return
    if sys.argv[1:2] == ["--count"]:
        count, *rest = map(int, sys.argv[2:6])
        serve_counting(*rest, count)
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workloads", default="hello,browser,unique,close")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pure", action="store_true", help="without the compiled parts")
    parser.add_argument("--access-log", action="store_true", help="with an access log to a file")
    parser.add_argument("--functions", action="store_true")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONHASHSEED": "0"} | ({"PREFORK_PURE": "1"} if options.pure else {})
    if not options.functions and shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing")
    connections, warm = options.connections, TURNS_BEFORE * options.connections
    if options.requests % connections:
        raise SystemExit("--requests: a multiple of --connections")
    with tempfile.TemporaryDirectory() as name:
        for workload in options.workloads.split(","):
            chosen = dict(environment)
            if options.access_log:
                chosen[ACCESS_LOG] = str(Path(name) / "access.log")
            if workload.startswith("tls"):
                chosen[TLS_FILES] = json.dumps(certificate(Path(name)))
            if options.functions:
                print(f"{workload}: byte codes a request", flush=True)
                run_worker(
                    [], ["--count", str(options.requests)], workload, options.requests, connections, chosen
                )
                continue
            few = instructions(workload, warm, connections, chosen, Path(name))
            many = instructions(workload, warm + options.requests, connections, chosen, Path(name))
            print(f"{workload:9} {(many - few) / options.requests:10,.0f}", flush=True)


if __name__ == "__main__":
    main()
