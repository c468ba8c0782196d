"""The harness itself: what it is there to notice, it must notice. The servers here are small scripts."""

from __future__ import annotations

import socket
import sys
import textwrap
from pathlib import Path

import pytest

from support import http
from support.deadline import Deadline
from support.logs import LogStream, fields_of
from support.server import Server, own_tracebacks
from support.toml import dumps

WELL_BEHAVED = """
    import os, signal, sys
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    print("event=listening address=127.0.0.1:9", file=sys.stderr, flush=True)
    print("event=worker_ready worker=1 gen=1 pid=77", file=sys.stderr, flush=True)
    print("event=ready", file=sys.stderr, flush=True)
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    print("event=worker_exited pid=77", file=sys.stderr, flush=True)
"""


def scripted(directory: Path, script: str, settings: dict[str, dict[str, object]] | None = None) -> Server:
    return Server(directory, settings or {}, executable=[sys.executable, "-c", textwrap.dedent(script)])


def test_a_server_is_followed_from_start_to_stop(tmp_path: Path) -> None:
    server = scripted(tmp_path, WELL_BEHAVED).wait_ready()
    assert server.address == "127.0.0.1:9"
    assert server.workers() == {77: 1}
    assert server.stop() == 0
    assert server.workers() == {}
    server.close()


def test_an_early_end_ends_the_wait_and_shows_the_log(tmp_path: Path) -> None:
    server = scripted(tmp_path, "import sys; sys.exit('no application here')")
    with pytest.raises(AssertionError, match=r"went away before event=ready.*\n.*no application here"):
        server.wait_ready()
    assert server.wait() == 1
    server.close()


def test_a_missing_event_is_a_failure_in_time(tmp_path: Path) -> None:
    server = scripted(tmp_path, WELL_BEHAVED).wait_ready()
    with pytest.raises(AssertionError, match="no sign of /reload_done/ in time"):
        server.wait_for_log("reload_done", deadline_s=0.05)
    server.close()


def test_a_process_that_outlives_its_server_is_found(tmp_path: Path) -> None:
    script = """
        import os, signal, sys
        if os.fork() == 0:
            if os.fork() == 0:
                print("event=ready", file=sys.stderr, flush=True)
                signal.pause()
            os._exit(0)
        signal.pause()
    """
    server = scripted(tmp_path, script).wait_ready()
    with pytest.raises(AssertionError, match=r"process left over: \d+ .*signal\.pause"):
        server.close(leave_s=0.2)


def test_files_left_behind_are_found(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    pid_file = tmp_path / "server.pid"
    script = WELL_BEHAVED.replace("127.0.0.1:9", f"unix:{path}")
    server = scripted(tmp_path, script, {"server": {"pid_file": str(pid_file)}}).wait_ready()
    path.touch()
    pid_file.touch()
    with pytest.raises(AssertionError, match=r"file left over: .*app\.sock\nfile left over: .*server\.pid"):
        server.close()


TRACEBACK = """\
Traceback (most recent call last):
  File "/somewhere/server/prefork/wsgi/handler.py", line 10, in run_wsgi
    app(environ, start_response)
  File "{last}", line 20, in f
    g()
    ~^^
ValueError: bad"""


@pytest.mark.parametrize(
    ("last", "found"),
    [
        ("/srv/app.py", 0),
        ("/somewhere/server/prefork/worker/loop.py", 1),
        ("/somewhere/server/prefork/demo.py", 0),
        ("/somewhere/site-packages/flask/app.py", 0),
    ],
)
def test_only_tracebacks_that_end_in_prefork_count(last: str, found: int) -> None:
    plain = TRACEBACK.format(last=last).splitlines()
    logged = [
        f'level=error event=traceback line="{line}"' for line in (text.replace('"', '\\"') for text in plain)
    ]
    assert len(own_tracebacks(plain)) == found
    assert len(own_tracebacks(logged)) == found
    assert len(own_tracebacks([*plain, "event=stopped", *plain])) == 2 * found


def test_log_lines_come_apart() -> None:
    line = r'time=1 event=x line="a \"b\" c\\d\te" empty= quoted="" n=3'
    assert fields_of(line) == {
        "time": "1",
        "event": "x",
        "line": 'a "b" c\\d\te',
        "empty": "",
        "quoted": "",
        "n": "3",
    }


def test_a_log_ends_when_its_last_writer_does() -> None:
    stream = LogStream("test")
    with open(stream.write_fd, "wb", closefd=False, buffering=0) as writer:
        writer.write(b"one\ntw")
        stream.wait_until(lambda: stream.search("one"), "one")
        writer.write(b"o\nthree")
    assert stream.close(Deadline())
    assert stream.lines == ["one", "two", "three"]


def test_settings_become_toml() -> None:
    tables = {"a": {"text": 'q"\\ü', "flag": True, "list": [1, {"x": 0.5}]}, "b": {}}
    assert dumps(tables) == '[a]\ntext = "q\\"\\\\ü"\nflag = true\nlist = [1, {"x" = 0.5}]\n\n[b]\n'


def talk(data: bytes) -> http.Connection:
    """A connection on which the server has said all this and closed."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    return http.Connection(ours)


def test_the_client_reads_exactly_one_response_at_a_time() -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: 1\r\n\r\n"
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"
    )
    with talk(data) as connection:
        first, second, third = (connection.read_response() for _ in range(3))
        assert (first.interim, first.body) == ([100], b"hi")
        assert (second.chunks, second.body) == ([b"ab", b"c"], b"abc")
        assert (third.body, third.closes) == (b"", True)
        assert connection.ended()


def test_the_client_notices_a_response_cut_short() -> None:
    short = talk(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi")
    with short as connection, pytest.raises(http.ConnectionEndedError, match="3 of 5 bytes missing"):
        connection.read_response()
    with talk(b"HTTP/1.1 200 OK\r\nExtra: 1\r\n\r\nbody") as connection:
        assert connection.read_head().status == 200
        assert not connection.ended()
