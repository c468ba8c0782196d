"""Commands to a running server: which server, which words, which exit code; without any server."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefork.cli import client, scale, status
from prefork.cli.command import Parser
from prefork.cli.progress import ProgressLines, describe, failure_lines
from prefork.ipc.control import Progress, Reply, Request, Result, ScaleRequest, encode
from prefork.ipc.status import GenerationStatus, ReloadStatus, Status, WorkerStatus
from prefork.observe.memory import Memory, measure
from prefork.settings.control import control_directories, default_control, digest, identity_of
from prefork.settings.load import load

from .conftest import Run

# which server --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "environ", "expected"),
    [
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, ("/run/prefork", "/dev/shm/prefork-0")),
        (
            1000,
            {"XDG_RUNTIME_DIR": "/run/user/1000"},
            ("/run/user/1000/prefork", "/tmp/prefork-1000", "/dev/shm/prefork-1000"),
        ),
        (1000, {"XDG_RUNTIME_DIR": "relative"}, ("/tmp/prefork-1000", "/dev/shm/prefork-1000")),
        (1000, {}, ("/tmp/prefork-1000", "/dev/shm/prefork-1000")),
    ],
)
def test_each_user_has_a_place(uid: int, environ: dict[str, str], expected: tuple[str, ...]) -> None:
    assert control_directories(uid, environ) == expected


def test_a_default_path_is_short_and_harmless_and_differs_by_file() -> None:
    one = default_control("../../etc/ä b" * 10, identity_of("/srv/a.toml", "/", "x"))
    two = default_control("../../etc/ä b" * 10, identity_of("/srv/b.toml", "/", "x"))
    assert one != two
    assert Path(one).parent.as_posix() == control_directories()[0]
    assert len(os.fsencode(Path(one).name)) <= 54
    assert (
        identity_of(None, "/srv", "a:b")
        != identity_of(None, "/srv", "a:c")
        != identity_of(None, "/opt", "a:c")
    )


def test_the_same_file_gives_the_same_path_however_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('[app]\ntarget = "shop:app"\n')
    paths = {
        load(file).settings.server.control,
        load("shop.toml", directory=tmp_path).settings.server.control,
        load(f"{tmp_path}/../{tmp_path.name}/shop.toml").settings.server.control,
    }
    (path,) = paths
    assert path.endswith(f"/shop-{digest(str(file))}.sock")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where control sockets are in this test; short enough for a socket."""
    directory = tmp_path_factory.mktemp("run")
    monkeypatch.setattr(client, "control_directories", lambda: (str(directory),))
    return directory


class FakeServer:
    """Answers one request after the other with the same replies."""

    def __init__(self, path: Path, *replies: Reply | bytes) -> None:
        self._replies = b"".join(each if isinstance(each, bytes) else encode(each) for each in replies)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            with sock:
                request = sock.recv(4096)
                if request:
                    self.requests.append(request)
                    sock.sendall(self._replies)

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()


@pytest.fixture
def answering(place: Path) -> Iterator[Callable[..., FakeServer]]:
    made: list[FakeServer] = []

    def start(name: str, *replies: Reply | bytes) -> FakeServer:
        made.append(FakeServer(place / name, *replies))
        return made[-1]

    yield start
    for server in made:
        server.close()


DONE = Result(ok=True, text="done")


def test_the_only_one_is_found(answering: Callable[..., FakeServer], prefork: Run, place: Path) -> None:
    answering("a.sock", DONE)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "dead.sock"))
    assert prefork("pause").out == "done\n"


def test_of_several_one_has_to_be_named(
    answering: Callable[..., FakeServer], prefork: Run, place: Path
) -> None:
    answering("a.sock", DONE)
    answering("b.sock", DONE)
    ended = prefork("pause")
    assert ended.code == 2
    assert f"--control {place}/a.sock or {place}/b.sock" in ended.err
    assert prefork("pause", "--control", f"{place}/b.sock").code == 0


def test_none_is_one_line(prefork: Run, place: Path) -> None:
    ended = prefork("status")
    assert ended.code == 1
    assert ended.lines == [
        f"prefork: no server of yours is running (looked in {place}); say which one with -c FILE or --control PATH"
    ]


def test_a_file_that_is_not_there(prefork: Run, place: Path, tmp_path: Path) -> None:
    ended = prefork("status", "-c", "gone.toml")
    assert ended.lines == [f"prefork: {tmp_path}/gone.toml: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    "text", ['[app]\ntarget = "a:b"\n', "[app\n", "\xff", '[app]\ntarget = 3\n[server]\nname="x"\n']
)
def test_the_server_of_a_file_is_found_even_if_the_file_is_broken_now(
    answering: Callable[..., FakeServer],
    prefork: Run,
    tmp_path: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    monkeypatch.setattr("prefork.settings.control.control_directories", lambda: (str(place),))
    file = tmp_path / "shop.toml"
    file.write_text(text, "latin-1")
    answering(f"oldname-{digest(str(file))}.sock", DONE)
    ended = prefork("pause", "-c", "shop.toml")
    assert (ended.code, ended.out) == (0, "done\n")


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([], "has gone before it had an answer"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "is not understood"),
        ([b'{"type":"other"}\n'], "is not understood"),
    ],
)
def test_whoever_does_not_speak_the_protocol_is_one_line(
    answering: Callable[..., FakeServer], prefork: Run, replies: list[bytes], words: str
) -> None:
    answering("a.sock", *replies)
    ended = prefork("pause")
    assert ended.code == 1
    (line,) = ended.lines
    assert words in line


def test_a_failure_is_the_traceback_then_the_reason(
    answering: Callable[..., FakeServer], prefork: Run
) -> None:
    failed = Result(
        ok=False,
        stage="import",
        error="ValueError: \x1b[31mred",
        traceback="Traceback\n  here\n",
        text="1 goes on",
    )
    answering("a.sock", Progress(level="info", event="reload_started", fields={"gen": 2}), failed)
    ended = prefork("reload", "--wait")
    assert ended.code == 1
    assert ended.out == "reload: generation 2 begins\n"
    assert ended.lines == [
        "Traceback",
        "  here",
        "prefork: reload failed (import): ValueError:  [31mred",
        "prefork: 1 goes on",
    ]


# words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("4", ScaleRequest(to=4)),
        ("+1", ScaleRequest(by=1)),
        ("-2", ScaleRequest(by=-2)),
        ("0", ScaleRequest(to=0)),
    ],
)
def test_scale_takes_a_number_or_a_difference(
    answering: Callable[..., FakeServer], prefork: Run, text: str, request_: Request
) -> None:
    server = answering("a.sock", DONE)
    assert prefork("scale", text).code == 0
    assert server.requests == [encode(request_)]


@pytest.mark.parametrize("text", ["", "two", "1.5", "+-1", "++1", "5000", "99999999999", "+", "٣"])
def test_scale_takes_nothing_else(prefork: Run, text: str) -> None:
    ended = prefork("scale", text)
    assert ended.code == 2
    assert scale.COMMAND.name in ended.err


def test_every_command_explains_itself(prefork: Run) -> None:
    for name in (
        "status",
        "reload",
        "rollback",
        "scale",
        "recycle",
        "stop",
        "pause",
        "resume",
        "stacks",
        "top",
        "upgrade",
    ):
        parser = Parser()
        from prefork.cli.commands import COMMANDS

        COMMANDS[name].add_arguments(parser)
        assert {"-c", "--control"} <= set(parser.option_names())
        assert "Exit code 0" in COMMANDS[name].description


def test_a_step_without_words_of_its_own_is_its_fields() -> None:
    assert (
        describe(Progress(level="info", event="new_thing", fields={"a": 1, "b": "x\ny"}))
        == "new thing a=1 b=x y"
    )
    assert describe(Progress(level="info", event="worker_ready", fields={"gen": 1})) == "worker ready gen=1"


def test_on_a_terminal_passing_steps_share_a_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    lines = ProgressLines(terminal)
    for worker in (1, 2):
        lines.tell(Progress(level="info", event="worker_ready", fields={"worker": worker, "gen": 2}))
    lines.tell(Progress(level="info", event="listening", fields={"address": "unix:/x"}))
    lines.end()
    text = "worker {} of generation 2 accepts connections"
    assert terminal.getvalue() == (
        f"\r{text.format(1)}\x1b[K\r{text.format(2)}\x1b[K\r\x1b[Klistening on unix:/x\n"
    )


def test_problems_take_the_place_of_the_error() -> None:
    result = Result(ok=False, stage="settings", error="a; b", problems=["a", "b"], text="1 goes on")
    assert failure_lines("reload", result) == [
        "prefork: a",
        "prefork: b",
        "prefork: reload failed (settings)",
        "prefork: 1 goes on",
    ]


# status ---------------------------------------------------------------------------------------------------------------

STATUS = Status(
    name="shop",
    pid=7,
    version="1.0",
    uptime_s=7300.0,
    state="reloading",
    generation=1,
    workers_wanted=2,
    generations=[
        GenerationStatus(
            number=1, state="parked", zygote_pid=8, zygote="ready", preloaded=True, parked_for_s=60.0
        ),
        GenerationStatus(number=2, state="active", zygote_pid=None, zygote="gone", preloaded=False),
    ],
    workers=[
        WorkerStatus(
            worker=1,
            id=1,
            pid=10,
            generation=1,
            state="draining",
            age_s=200000.0,
            reason="reload",
            requests=5,
        ),
        WorkerStatus(worker=1, id=3, pid=None, generation=2, state="booting", age_s=None),
    ],
    listeners=["127.0.0.1:80", "unix:/x"],
    last_reload=ReloadStatus(
        what="reload", ok=False, generation=3, ago_s=5.0, stage="import", error="broken"
    ),
)


def test_the_table() -> None:
    memory: dict[int, Memory | None] = {10: Memory(50 << 20, 10 << 20, 40 << 20)}
    assert status.table(STATUS, memory) == [
        "shop: reloading, pid 7, prefork 1.0, up 2h",
        "listening on 127.0.0.1:80, unix:/x",
        "last reload 5.0s ago: failed (import): broken",
        "generation 1: parked, zygote 8 ready, preloaded, kept for 60s more",
        "generation 2: active, zygote None gone, not preloaded",
        "",
        "WORKER  PID  GEN  STATE              AGE  BUSY  REQUESTS  CONN  CPU  RESTARTS    RSS  PRIVATE  SHARED",
        "     1   10    1  draining (reload)   2d     -         5     0    -         0  50.0M    10.0M   40.0M",
        "     1    -    2  booting              -     -         -     0    -         0      -        -       -",
    ]


def test_own_memory_adds_up() -> None:
    found = measure(os.getpid())
    assert found is not None
    assert found.private is not None
    assert found.shared is not None
    assert found.private + found.shared == found.rss > 1 << 20
    assert measure(2**22 + 1) is None


@pytest.mark.parametrize("text", ["abc", "90d"])
def test_a_delay_that_is_none_is_named(text: str, prefork: Run) -> None:
    ended = prefork("drain", "--delay", text)
    assert ended.code == 2
    assert f"argument --delay: '{text}': must be " in ended.err
