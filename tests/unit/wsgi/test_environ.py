"""Every key that PEP 3333 asks for, each with its type, and those that the ecosystem expects."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest

from prefork.wsgi.context import ErrorStream
from prefork.wsgi.environ import connection_environ, server_environ
from prefork.wsgi.filewrapper import FileWrapper
from support.serving import hello, make_context
from support.wsgi import Exchange, exchange

Start = Callable[..., Any]


def environ_of(method: str = "GET", **options: Any) -> dict[str, Any]:
    """What the application gets."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        seen.append(environ)
        return hello(environ, start_response)

    exchange(app, method, **options)
    return seen[0]


def test_all_keys_of_the_pep() -> None:
    environ = environ_of("POST", body=b"abc", fields="Content-Type: text/x\r\nX-Own: 1\r\nCookie: a=b\r\n")
    assert type(environ) is dict
    strings = {key: value for key, value in environ.items() if isinstance(value, str)}
    assert strings == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/p/a",
        "QUERY_STRING": "q=1",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "prefork/test",
        "HTTP_HOST": "example.org",
        "HTTP_X_OWN": "1",
        "HTTP_COOKIE": "a=b",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40001",
        "prefork.peer": "192.0.2.7:40001",
        "REQUEST_URI": "/p/a?q=1",
        "RAW_URI": "/p/a?q=1",
        "wsgi.url_scheme": "http",
    }
    assert all(type(value) is str for value in strings.values())
    assert environ["wsgi.version"] == (1, 0)
    assert type(environ["wsgi.version"]) is tuple
    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is True
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.file_wrapper"] is FileWrapper
    assert callable(environ["wsgi.early_hints"])
    assert environ["prefork.worker"] == 1
    assert environ["prefork.generation"] == 2
    for name in ("read", "readline", "readlines", "__iter__"):
        assert callable(getattr(environ["wsgi.input"], name))
    for name in ("write", "writelines", "flush"):
        assert callable(getattr(environ["wsgi.errors"], name))


def test_no_body_is_an_empty_input() -> None:
    seen: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        seen.append(environ["wsgi.input"].read())
        seen.append(environ["wsgi.input"].readline())
        assert "CONTENT_LENGTH" not in environ
        return hello(environ, start_response)

    exchange(app)
    assert seen == [b"", b""]


def test_each_request_has_an_environ_of_its_own() -> None:
    context = make_context(hello)
    listener = server_environ(context, "h", "1")
    first = connection_environ(listener, ("192.0.2.1", 2))
    assert first is not listener
    assert "REMOTE_ADDR" not in listener


@pytest.mark.parametrize(
    ("peer", "address", "port"),
    [
        (("192.0.2.1", 5), "192.0.2.1", "5"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::1", "5"),
        ("", "", None),
        (b"\0abstract", "", None),
        (None, "", None),
    ],
)
def test_addresses_of_clients(peer: object, address: str, port: str | None) -> None:
    environ = connection_environ({}, peer)
    assert environ.get("REMOTE_ADDR") == address
    assert environ.get("REMOTE_PORT") == port


def test_https() -> None:
    context = make_context(hello, multithread=True, multiprocess=False)
    environ = server_environ(context, "h", "443", "https")
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False


# wsgiref's validator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("kind", ["list", "generator", "write", "file", "exc_info"])
@pytest.mark.parametrize("size", [0, 5, 5000])
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_the_validator_finds_nothing(method: str, version: str, kind: str, size: int) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        stream = environ["wsgi.input"]
        body = stream.read(2) + stream.readline() + b"".join(stream.readlines()) + b"".join(stream)
        environ["wsgi.errors"].write("a line\n")
        environ["wsgi.errors"].writelines(["more\n"])
        environ["wsgi.errors"].flush()
        headers = [("Content-Type", "text/plain"), ("X-Own", "1")]
        if kind == "exc_info":
            start_response("200 OK", headers)
            try:
                raise KeyError("x")
            except KeyError as error:
                write = start_response("500 Oops", headers, (KeyError, error, error.__traceback__))
        else:
            write = start_response("200 OK", headers)
        if kind == "file":
            return environ["wsgi.file_wrapper"](io.BytesIO(body), 1000)
        if kind == "generator":
            return (body[at : at + 1000] for at in range(0, len(body), 1000))
        if kind == "write":
            write(body)
            return []
        return [body]

    done = exchange(validator(app), method, version=version, body=b"x" * size)
    assert done.problems == []
    assert done.answer().status == (500 if kind == "exc_info" else 200)
    assert done.answer().body == (b"" if method == "HEAD" else b"x" * size)


# wsgi.errors ----------------------------------------------------------------------------------------------------------


def test_errors_go_out_at_once() -> None:
    lines: list[str] = []
    errors = ErrorStream(lines.append)
    assert errors.writable()
    assert not errors.readable()
    text = "caf\xe9 € \ud800\n"
    assert errors.write(text) == len(text)
    assert lines == [text]
    errors.writelines(["a\n", "b\n"])
    errors.write("several\nlines\n")
    print("printed", file=errors, end="!\n")
    errors.flush()
    assert "".join(lines[1:]) == "a\nb\nseveral\nlines\nprinted!\n"


def test_peer_of_a_unix_socket() -> None:
    step = Exchange(hello, peer="").respond()
    assert step.handler.environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in step.handler.environ
