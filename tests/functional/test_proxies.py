"""Behind real proxies: nginx and HAProxy, over TCP and unix sockets, with header fields and with the PROXY protocol.

The client of the proxy comes from 127.0.0.9, which is nobody's address but its own.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.certificates import Authority
from support.deadline import DEADLINE_S, SLOWNESS
from support.http import Connection, Headers
from support.proxies import HAPROXY, NGINX, Proxy, free_port, haproxy, nginx
from support.server import Server, ServerFactory

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

CLIENT = "127.0.0.9"
SPOOFED = [
    ("X-Forwarded-For", "203.0.113.66"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=203.0.113.66;proto=https;host=evil.example"),
]

DOCUMENTED = Path(__file__).parents[2] / "docs" / "proxies.md"


def documented_fields() -> str:
    """The lines for nginx as docs/proxies.md has them, and the prefix of a location."""
    (lines,) = re.findall(
        r"^```nginx\n(.*?)^```$", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    prefix = 'X-Forwarded-Prefix "";'
    assert prefix in lines
    return str(lines.replace(prefix, "X-Forwarded-Prefix /shop;"))


NGINX_FIELDS = documented_fields()


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def client(port: int) -> Connection:
    address = ("127.0.0.1", port)
    return Connection(socket.create_connection(address, DEADLINE_S * SLOWNESS, source_address=(CLIENT, 0)))


def environ_through(port: int, headers: Headers = (), *, requests: int = 1) -> dict[str, Any]:
    """What the application was told about the last of some requests on one connection to the proxy."""
    with client(port) as connection:
        connection.sock.getsockname()
        for _ in range(requests):
            answer = connection.get("/environ", headers)
            assert answer.status == 200, answer
            found: dict[str, Any] = json.loads(answer.text)
        found["our port"] = connection.sock.getsockname()[1]
        return found


def behind(
    serve: ServerFactory, listen: Any, trusted: list[str], *, threads: int = 1, **tables: Any
) -> Server:
    proxy = {"trusted": trusted, **tables.pop("proxy", {})}
    settings = {"server": {"listen": [listen]}, "proxy": proxy, **tables}
    return serve("probe:app", workers=2, threads=threads, settings=settings)


# nginx ------------------------------------------------------------------------------------------------------------


def nginx_before(running: ExitStack, directory: Path, upstream: str, fields: str = NGINX_FIELDS) -> Proxy:
    port = free_port()
    http = f"""
        upstream app {{ server {upstream}; keepalive 4; }}
        server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; {fields} }} }}
    """
    proxy = nginx(directory, http, (port,))
    running.callback(proxy.close)
    return proxy


@needs_nginx
@pytest.mark.parametrize("threads", [1, 4])
def test_nginx_over_a_unix_socket(
    serve: ServerFactory, running: ExitStack, tmp_path: Path, threads: int
) -> None:
    server = behind(serve, f"unix:{tmp_path}/app.sock", ["unix"], threads=threads)
    proxy = nginx_before(running, tmp_path, f"unix:{tmp_path}/app.sock")
    for headers in ((), SPOOFED):
        environ = environ_through(proxy.ports[0], headers, requests=3)
        assert environ["REMOTE_ADDR"] == CLIENT
        assert "REMOTE_PORT" not in environ
        assert environ["wsgi.url_scheme"] == "http"
        assert (environ["HTTP_HOST"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
            "test",
            "test",
            "80",
        )
        assert environ["SCRIPT_NAME"] == "/shop"
        assert environ["prefork.peer"] == "unix"
    assert not [line for line in server.log.lines if "level=error" in line]


@needs_nginx
def test_nginx_over_tcp_keeps_its_connections(
    serve: ServerFactory, running: ExitStack, tmp_path: Path
) -> None:
    server = behind(serve, "127.0.0.1:0", ["127.0.0.1"], requests={"keepalive_timeout": 600})
    proxy = nginx_before(running, tmp_path, server.address)
    peers = {environ_through(proxy.ports[0], requests=4)["prefork.peer"] for _ in range(3)}
    assert len(peers) == 1
    assert environ_through(proxy.ports[0], SPOOFED)["REMOTE_ADDR"] == CLIENT


@needs_nginx
def test_nginx_that_nobody_trusts_changes_nothing(
    serve: ServerFactory, running: ExitStack, tmp_path: Path
) -> None:
    server = behind(serve, "127.0.0.1:0", ["192.0.2.1", "unix"])
    proxy = nginx_before(running, tmp_path, server.address)
    environ = environ_through(proxy.ports[0], SPOOFED)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["HTTP_X_FORWARDED_FOR"].endswith(CLIENT)


@needs_nginx
def test_nginx_with_forwarded(serve: ServerFactory, running: ExitStack, tmp_path: Path) -> None:
    fields = (
        'proxy_set_header Forwarded "$http_forwarded, for=$remote_addr;proto=$scheme;host=\\"$http_host\\"";'
    )
    behind(serve, f"unix:{tmp_path}/app.sock", ["unix"], proxy={"headers": "forwarded"})
    proxy = nginx_before(running, tmp_path, f"unix:{tmp_path}/app.sock", fields)
    for headers in ((), SPOOFED, [("Forwarded", 'for="203.0.113.66')]):
        environ = environ_through(proxy.ports[0], headers)
        assert environ["REMOTE_ADDR"] == CLIENT
        assert environ["HTTP_HOST"] == "test"
        assert environ["wsgi.url_scheme"] == "http"


@needs_nginx
def test_two_nginx_one_behind_the_other(serve: ServerFactory, running: ExitStack, tmp_path: Path) -> None:
    """The outer one speaks TLS; the inner one hands on what the outer one said."""
    pair = Authority(tmp_path / "certificates").sign("shop", "shop.example")
    behind(serve, f"unix:{tmp_path}/app.sock", ["unix", "127.0.0.1"])
    outer, inner = free_port(), free_port()
    http = f"""
        server {{ listen 127.0.0.1:{outer} ssl; ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};
            location / {{ proxy_pass http://127.0.0.1:{inner}; {NGINX_FIELDS} }} }}
        server {{ listen 127.0.0.1:{inner}; location / {{ proxy_pass http://unix:{tmp_path}/app.sock;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
    """
    proxy = nginx(tmp_path, http, (outer, inner))
    running.callback(proxy.close)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with client(outer) as plain, Connection(context.wrap_socket(plain.sock)) as connection:
        environ = json.loads(connection.get("/environ", SPOOFED).text)
    assert environ["HTTP_X_FORWARDED_FOR"] == f"203.0.113.66, {CLIENT}, 127.0.0.1"
    assert environ["REMOTE_ADDR"] == CLIENT
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("test", "443")


# HAProxy ----------------------------------------------------------------------------------------------------------


def haproxy_before(running: ExitStack, directory: Path, mode: str, server: str, extra: str = "") -> Proxy:
    port = free_port()
    sections = f"""
frontend in
    mode {mode}
    bind 127.0.0.1:{port}
    default_backend out
backend out
    mode {mode}
    {extra}
    server app {server}
"""
    proxy = haproxy(directory, sections, (port,))
    running.callback(proxy.close)
    return proxy


def unix_or_tcp(kind: str, directory: Path) -> tuple[str, str, list[str]]:
    """Address for prefork, what HAProxy connects to, and whom to trust."""
    if kind == "unix":
        return f"unix:{directory}/app.sock", f"unix@{directory}/app.sock", ["unix"]
    port = free_port()
    return f"127.0.0.1:{port}", f"127.0.0.1:{port}", ["127.0.0.1"]


@needs_haproxy
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("protocol", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_haproxy_announces_the_client(
    serve: ServerFactory,
    running: ExitStack,
    tmp_path: Path,
    mode: str,
    protocol: str,
    kind: str,
    threads: int,
) -> None:
    address, target, trusted = unix_or_tcp(kind, tmp_path)
    listen = {"address": address, "proxy_protocol": "required"}
    server = behind(serve, listen, trusted, threads=threads)
    proxy = haproxy_before(running, tmp_path, mode, f"{target} {protocol} check")
    for headers in ((), SPOOFED):
        environ = environ_through(proxy.ports[0], headers, requests=3)
        assert environ["REMOTE_ADDR"] == CLIENT
        assert environ["REMOTE_PORT"] == str(environ["our port"])
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(proxy.ports[0]))
        assert environ["wsgi.url_scheme"] == "http"
        assert environ["SCRIPT_NAME"] == ""
        assert (
            environ["prefork.peer"] == "unix"
            if kind == "unix"
            else environ["prefork.peer"].startswith("127.0.0.1:")
        )
    assert not server.log.events("proxy_header_refused"), "health checks announce themselves as well"


@needs_haproxy
def test_haproxy_with_fields(serve: ServerFactory, running: ExitStack, tmp_path: Path) -> None:
    address, target, trusted = unix_or_tcp("tcp", tmp_path)
    behind(serve, address, trusted)
    removed = ("X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-Port")
    lines = ["option forwardfor", "http-request set-header X-Forwarded-Proto http"]
    extra = "\n    ".join(lines + [f"http-request del-header {name}" for name in removed])
    proxy = haproxy_before(running, tmp_path, "http", target, extra)
    environ = environ_through(proxy.ports[0], SPOOFED, requests=3)
    assert environ["REMOTE_ADDR"] == CLIENT
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == ("test", "")


@needs_haproxy
@pytest.mark.parametrize("options", ["", "proxy-v2-options ssl,cert-cn,unique-id,crc32c,authority"])
@pytest.mark.parametrize("requirement", ["required", "optional"])
def test_tls_passes_through_haproxy_with_the_client_announced(
    serve: ServerFactory, running: ExitStack, tmp_path: Path, requirement: str, options: str
) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.sign("shop", "shop.example")
    address, target, trusted = unix_or_tcp("tcp", tmp_path)
    listen = {"address": address, "tls": True, "proxy_protocol": requirement}
    behind(serve, listen, trusted, tls={"certificate": str(pair.certificate), "key": str(pair.key)})
    proxy = haproxy_before(running, tmp_path, "tcp", f"{target} send-proxy-v2 {options}")
    context = ssl.create_default_context(cafile=str(authority.root.certificate))
    with client(proxy.ports[0]) as plain:
        ours = plain.sock.getsockname()[1]
        with Connection(context.wrap_socket(plain.sock, server_hostname="shop.example")) as connection:
            for _ in range(3):
                environ = json.loads(connection.get("/environ", SPOOFED).text)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (CLIENT, str(ours))
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    assert environ["SERVER_PORT"] == str(proxy.ports[0])


@needs_haproxy
def test_haproxy_that_nobody_trusts_is_told_of(
    serve: ServerFactory, running: ExitStack, tmp_path: Path
) -> None:
    address, target, _ = unix_or_tcp("tcp", tmp_path)
    server = behind(serve, {"address": address, "proxy_protocol": "required"}, ["192.0.2.1"])
    proxy = haproxy_before(running, tmp_path, "http", f"{target} send-proxy-v2")
    with client(proxy.ports[0]) as connection:
        assert connection.get("/").status in (502, 503)
    told = server.wait_for_event("proxy_header_refused")
    assert told["client"].startswith("127.0.0.1:")


# No proxy at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["x-forwarded", "forwarded", "none"])
def test_a_stranger_is_believed_nothing(serve: ServerFactory, headers: str) -> None:
    server = behind(serve, "127.0.0.1:0", ["127.0.0.1", "unix"], proxy={"headers": headers})
    port = int(server.address.rpartition(":")[2])
    environ = environ_through(port, SPOOFED)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (CLIENT, str(environ["our port"]))
    assert environ["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in environ
    assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == ("test", "")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(port))
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.66"
    assert environ["HTTP_FORWARDED"].startswith("for=203.0.113.66")


def test_the_access_log_names_the_client(serve: ServerFactory, running: ExitStack) -> None:
    server = behind(serve, "127.0.0.1:0", ["127.0.0.1"], log={"access": "stderr", "access_format": "common"})
    server.get("/", [("X-Forwarded-For", "192.0.2.7")])
    server.wait_for_log(r"^192\.0\.2\.7 - ")


@pytest.mark.parametrize(
    "data", [b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)]
)
def test_a_header_where_none_is_expected_is_no_request(serve: ServerFactory, data: bytes) -> None:
    server = behind(serve, "127.0.0.1:0", ["127.0.0.1"])
    with server.connect() as connection:
        connection.send(data + b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert connection.read_response().status == 400
