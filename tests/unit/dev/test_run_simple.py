"""`prefork.run_simple`: its arguments, what it says, files beside the application, certificates of its own."""

from __future__ import annotations

import io
import logging
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import prefork
from prefork.dev import adhoc, log, startup
from prefork.dev.sharedfiles import SharedFiles, StaticFilesError
from prefork.dev.simple import run_simple
from prefork.dev.stderr import ErrorOutput
from support.child import child, run
from support.deadline import DEADLINE_S, SLOWNESS
from support.http import connect
from support.serving import RecordingLog, hello
from support.wsgi import Exchange

# What it says -------------------------------------------------------------------------------------------------------------

ADDRESSES = ["fe80::1%eth0", "192.0.2.7", "127.0.0.1", "::1", "2001:db8::5", "10.0.0.1", "192.0.2.7"]


@pytest.mark.parametrize(
    ("host", "port", "scheme", "lines"),
    [
        ("127.0.0.1", 5000, "http", ["http://127.0.0.1:5000"]),
        ("localhost", 443, "https", ["https://localhost"]),
        ("::1", 80, "http", ["http://[::1]"]),
        (
            "0.0.0.0",
            80,
            "https",
            [
                "all addresses (0.0.0.0)",
                "https://127.0.0.1:80",
                "https://10.0.0.1:80",
                "https://192.0.2.7:80",
            ],
        ),
        (
            "",
            1,
            "http",
            ["all addresses (0.0.0.0)", "http://127.0.0.1:1", "http://10.0.0.1:1", "http://192.0.2.7:1"],
        ),
        ("::", 1, "http", ["all addresses (::)", "http://[::1]:1", "http://[2001:db8::5]:1"]),
    ],
)
def test_where_it_runs(host: str, port: int, scheme: str, lines: list[str]) -> None:
    warning, *found = startup.startup_lines(host, port, scheme, ADDRESSES)
    assert "Development server" in warning
    assert found == [f" * Running on {line}" for line in lines]


def test_where_it_runs_on_a_unix_socket() -> None:
    assert startup.startup_lines("unix://s", 0, "http", [], "/run/s")[1:] == [" * Running on unix:///run/s"]


def test_this_machine_has_addresses() -> None:
    assert "127.0.0.1" in startup.own_addresses()


ENVIRON = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a?b",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "192.0.2.1",
}


def test_an_access_line() -> None:
    line = log.access_line(ENVIRON, 200, 12, 1_250_000, time.gmtime(0))
    assert line == '192.0.2.1 - - [01/Jan/1970 00:00:00] "GET /a?b HTTP/1.1" 200 12 1.2ms'
    assert log.access_line({**ENVIRON, "REMOTE_ADDR": ""}, 200, 12, 0, time.gmtime(0)).startswith(
        "<local> - - "
    )


def test_an_access_line_of_what_was_no_request() -> None:
    for environ, shown in (({}, "-"), ({"RAW_URI": "\x1b[31mred\n"}, "\\x1b[31mred\\n")):
        line = log.access_line({"REMOTE_ADDR": "192.0.2.1", **environ}, 400, 9, 0, time.gmtime(0))
        assert line == f'192.0.2.1 - - [01/Jan/1970 00:00:00] "{shown}" 400 9 0.0ms'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert log.is_colourful(Terminal(), {})
    assert not log.is_colourful(Terminal(), {"NO_COLOR": "1"})
    assert not log.is_colourful(io.StringIO(), {})
    assert [bool(log.colour_of(status)) for status in (200, 304, 302, 404, 400, 500)] == [False, *[True] * 5]
    logger = logging.Logger("of a test")
    logger.addHandler(log._ToTerminal())
    told = log.DevLog(logger)
    for stream, starts in ((Terminal(), "\x1b[33m192."), (io.StringIO(), "192.")):
        monkeypatch.setattr(sys, "stderr", stream)
        told.access(ENVIRON, 404, 0, 0)
        assert stream.getvalue().startswith(starts)
        ErrorOutput().write("words of the application")
        assert stream.getvalue().endswith("words of the application")


@pytest.mark.parametrize(
    ("event", "fields", "text"),
    [
        (
            "request_failed",
            {"request": "GET / HTTP/1.1", "client": "192.0.2.1", "error": "KeyError: 'x'"},
            "Error on request \"GET / HTTP/1.1\" of 192.0.2.1: KeyError: 'x'",
        ),
        ("handler", {"request": "GET / HTTP/1.1", "client": "", "message": "words"}, "<local> - - words"),
        ("accept_failed", {"error": "too many", "connections": 3}, "accept failed: too many (connections=3)"),
    ],
)
def test_events_in_words(event: str, fields: dict[str, object], text: str) -> None:
    assert log.sentence(event, fields) == text


def test_a_logger_that_somebody_has_configured_stays_as_it_is() -> None:
    output = run(
        """
        import logging, sys
        from prefork.dev.log import dev_logger
        logger = logging.getLogger("prefork")
        if sys.argv[1] == "configured":
            logging.basicConfig(level=logging.ERROR, stream=sys.stdout)
            logger.setLevel(logging.WARNING)
        assert dev_logger() is dev_logger() is logger
        print(len(logger.handlers), logger.level == logging.WARNING)
        """,
        "configured",
    )
    assert output == "0 True\n"


# Its arguments ------------------------------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_werkzeug() -> None:
    serving = pytest.importorskip("werkzeug.serving")
    from inspect import signature

    for name in ("run_simple", "make_server"):
        theirs, ours = signature(getattr(serving, name)), signature(getattr(prefork, name))
        described = [
            [(p.name, p.kind, p.default) for p in each.parameters.values()] for each in (theirs, ours)
        ]
        assert described[0] == described[1]


def test_a_port_that_is_no_number() -> None:
    with pytest.raises(TypeError, match="'80'"):
        run_simple("127.0.0.1", "80", hello)  # type: ignore[arg-type]


SCRIPT = """
import signal, sys, threading
import prefork

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
prefork.run_simple("127.0.0.1", int(sys.argv[1]), app, **eval(sys.argv[2]))
assert before == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
print("the rest of the program", threading.active_count())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [{}, {"processes": 2}])
def test_signals_end_it(number: signal.Signals, options: dict[str, Any]) -> None:
    with child(SCRIPT, 0, options) as process:
        assert process.stdout is not None
        port = 0
        while not port:
            words = process.stdout.readline()
            assert words, "it ended before it ran"
            if "http://127.0.0.1:" in words:
                port = int(words.rpartition(":")[2])
        assert "CTRL+C" in process.stdout.readline()
        with connect(f"127.0.0.1:{port}") as client:
            assert client.get("/").body == b"hello"
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
    assert output.endswith("the rest of the program 1\n")
    assert process.returncode == 0


def test_an_address_in_use_is_told_with_the_process_that_has_it() -> None:
    with prefork.make_server("127.0.0.1", 0, hello) as server, child(SCRIPT, server.port, {}) as process:
        output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
    assert process.returncode == 1
    assert "in use by pid" in output
    assert "Traceback" not in output
    assert "rest of the program" not in output


def test_in_another_thread_it_leaves_signals_alone() -> None:
    raised: list[BaseException] = []
    number = signal.SIGTERM
    before = signal.getsignal(number)
    caught: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        caught.append(signal.getsignal(number))
        raise SystemExit

    def serve() -> None:
        try:
            run_simple("unix://@prefork-test-simple", 0, app)
        except BaseException as error:  # noqa: BLE001 - SystemExit is what is looked for
            raised.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    while thread.is_alive() and not caught:
        try:
            with connect("unix:\0prefork-test-simple") as client:
                client.get("/")
        except ConnectionRefusedError:
            time.sleep(0.01)
    thread.join(DEADLINE_S * SLOWNESS)
    assert caught == [before]
    assert [type(error) for error in raised] == [SystemExit]


# Files --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> SharedFiles:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ä x.css").write_text("style")
    (tmp_path / "a" / ".hidden").write_text("secret")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "icon.png")
    (tmp_path / "icon.png").write_text("icon")
    places: dict[str, str | tuple[str, str]] = {
        "/first/": str(tmp_path / "none yet"),
        "/first": str(tmp_path / "a"),
        "/favicon.ico": str(tmp_path / "icon.png"),
        "/mail": ("email", ""),
        "/mime": ("email.mime", "text.py"),
        "/": str(tmp_path / "a"),
    }
    return SharedFiles(hello, places, RecordingLog())


def ask(app: Any, path: str, method: str = "GET", fields: str = "") -> Any:
    exchange = Exchange(app, method, fields=fields)
    exchange.request.environ["PATH_INFO"] = path.encode().decode("latin-1")
    return exchange.run().answer()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/first/ä x.css", b"style"),
        ("/first/link", b"icon"),
        ("/favicon.ico", b"icon"),
        ("/ä x.css", b"style"),
        ("/first", b"hello"),
        ("/first/", b"hello"),
        ("/firstä x.css", b"hello"),
        ("/first/.hidden", b"hello"),
        ("/first/../icon.png", b"hello"),
        ("/first//ä x.css", b"hello"),
        ("/favicon.ico/", b"hello"),
        ("/favicon.ico/icon.png", b"hello"),
        ("/", b"hello"),
    ],
)
def test_files_and_what_is_the_applications(files: SharedFiles, path: str, body: bytes) -> None:
    assert ask(files, path).body == body


def test_files_of_packages(files: SharedFiles) -> None:
    assert b"class Message" in ask(files, "/mail/message.py").body
    assert b"class MIMEText" in ask(files, "/mime").body


def test_a_file_that_comes_later_is_sent(files: SharedFiles, tmp_path: Path) -> None:
    assert ask(files, "/first/app.js").body == b"hello"
    (tmp_path / "none yet").mkdir()
    (tmp_path / "none yet" / "app.js").write_text("script")
    answer = ask(files, "/first/app.js")
    assert answer.body == b"script"
    assert answer.one("cache-control") == b"no-cache"
    tag = answer.one("etag")
    assert tag
    assert ask(files, "/first/app.js", fields=f"If-None-Match: {tag.decode()}\r\n").status == 304
    assert ask(files, "/first/app.js", "POST").body == b"hello"


@pytest.mark.parametrize("places", [{"static": "/tmp"}, {"/x": ("no_such_package_", "y")}])
def test_places_that_cannot_be(places: dict[str, Any]) -> None:
    with pytest.raises(StaticFilesError, match="static_files"):
        SharedFiles(hello, places, RecordingLog())


# Certificates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", ["openssl", "cryptography"])
def test_a_certificate_of_its_own(maker: str) -> None:
    names = ["dev.example", "localhost", "127.0.0.1", "::1"]
    if maker == "cryptography":
        pytest.importorskip("cryptography")
        credential = adhoc._by_cryptography(names)
    else:
        credential = adhoc._by_openssl(names)
    with prefork.make_server(
        "127.0.0.1", 0, hello, ssl_context=adhoc.context_of(credential), threaded=True
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        trusting = ssl.create_default_context(cadata=credential.certificate.decode())
        trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for name in ("dev.example", "localhost", "127.0.0.1", "::1"):
            with connect(f"127.0.0.1:{server.port}") as client:
                client.sock = trusting.wrap_socket(client.sock, server_hostname=name)
                assert client.get("/").body == b"hello"
        server.shutdown()
        thread.join(DEADLINE_S * SLOWNESS)


def test_names_of_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    for maker in ("_by_openssl", "_by_cryptography"):
        monkeypatch.setattr(adhoc, maker, made.append)
    for host in ("0.0.0.0", "localhost", "unix:///x", "", "dev.example"):
        adhoc.adhoc_credential(host)
    assert made == [["localhost", "127.0.0.1", "::1"]] * 4 + [
        ["dev.example", "localhost", "127.0.0.1", "::1"]
    ]


def test_nothing_to_make_a_certificate_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(adhoc.CertificateError, match=r"pip install cryptography.*openssl"):
        adhoc.adhoc_credential("localhost")


def test_a_certificate_is_handed_on() -> None:
    credential = adhoc._by_openssl(["localhost"])
    with open(adhoc.hand_on(credential), "rb") as file:
        for _ in range(2):
            assert adhoc.handed_on(file.fileno()) == credential
    with open("/dev/null", "rb") as file, pytest.raises(adhoc.CertificateError, match="no certificate"):
        adhoc.handed_on(file.fileno())
