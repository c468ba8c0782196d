"""TLS as clients see it: curl, openssl(1), Python; and as the one who runs the server sees it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from signal import SIGHUP, SIGUSR2
from typing import Any

import pytest

from support import processes
from support.certificates import Authority, Pair, lock
from support.deadline import DEADLINE_S, SLOWNESS, eventually
from support.http import Connection
from support.server import Server, ServerFactory

LIMIT_S = DEADLINE_S * SLOWNESS
NOBODY = 65534


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("shop", "localhost", "127.0.0.1")


Secure = Callable[..., Server]


@pytest.fixture
def secure(serve: ServerFactory, pair: Pair) -> Secure:
    """A server whose first listener speaks TLS: `secure(workers=2, tls={...}, settings={...})`."""

    def start(target: str = "probe:app", *, tls: dict[str, Any] | None = None, **options: Any) -> Server:
        return serve(target, **{**options, "settings": tables(pair, tls, **options.get("settings", {}))})

    return start


def tables(pair: Pair, tls: dict[str, Any] | None = None, **more: Any) -> dict[str, dict[str, Any]]:
    listen = [{"address": "127.0.0.1:0", "tls": True}, "127.0.0.1:0"]
    files = {"certificate": str(pair.certificate), "key": str(pair.key)}
    settings: dict[str, dict[str, Any]] = {"server": {"listen": listen}, "tls": files | (tls or {})}
    for table, entries in more.items():
        settings.setdefault(table, {}).update(entries)
    return settings


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.root.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def connect(
    server: Server, context: ssl.SSLContext, name: str = "localhost", *, receive_buffer: int | None = None
) -> Connection:
    plain = server.connect(receive_buffer=receive_buffer)
    return Connection(context.wrap_socket(plain.sock, server_hostname=name))


def run(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True, timeout=LIMIT_S
    )


def s_client(server: Server, authority: Authority, *options: str, stdin: str = "") -> str:
    """What openssl(1) tells about a connection."""
    command = ["openssl", "s_client", "-connect", server.address, "-CAfile", str(authority.root.certificate)]
    done = run(*command, *options, stdin=stdin)
    return done.stdout + done.stderr


# Clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(secure: Secure, authority: Authority, threads: int, version: str) -> None:
    server = secure(threads=threads)
    port = server.address.rpartition(":")[2]
    url = f"https://localhost:{port}"
    options = (
        "curl",
        "-sS",
        f"--tlsv{version}",
        "--tls-max",
        version,
        "--cacert",
        authority.root.certificate,
    )
    environ = json.loads(run(*options, f"{url}/environ").stdout)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTPS"] == "on"
    assert environ["SERVER_PORT"] == port
    assert environ["SSL_PROTOCOL"] == f"TLSv{version}"
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    done = run(*options, f"{url}/", f"{url}/", f"{url}/worker", "-w", "%{num_connects}\n")
    assert done.stdout.startswith("Hello, World!1\nHello, World!0\n"), "the connection is kept"


def test_python_and_a_body_in_each_direction(secure: Secure, authority: Authority) -> None:
    server = secure(settings={"requests": {"body_memory": "64KiB"}})
    host, _, port = server.address.rpartition(":")
    client = http.client.HTTPSConnection(host, int(port), context=trusting(authority), timeout=LIMIT_S)
    body = os.urandom(3_000_000)
    client.request("POST", "/digest", body)
    assert client.getresponse().read().decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    client.request("POST", "/echo", body)
    assert client.getresponse().read() == body
    client.close()


@pytest.mark.parametrize(("threads", "buffered"), [(1, True), (4, True), (4, False)])
def test_bodies_and_requests_in_any_pieces(
    secure: Secure, authority: Authority, threads: int, buffered: bool
) -> None:
    server = secure(threads=threads, settings={"requests": {"buffer_body": buffered}})
    body = os.urandom(1_000_000)
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    with connect(server, trusting(authority)) as connection:
        head = (
            f"POST /digest HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.send(head.encode())
        for start in range(0, len(body), 50_000):
            connection.send(body[start : start + 50_000])
        answer = connection.read_response()
        assert (answer.text, answer.interim) == (expected, [100])
        # Several requests in one record, and one in several.
        get = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        connection.send(get * 3)
        assert [connection.read_response().status for _ in range(3)] == [200] * 3
        for byte in get:
            connection.send(bytes([byte]))
        assert connection.read_response().status == 200


def test_static_files(secure: Secure, authority: Authority, tmp_path: Path) -> None:
    content = os.urandom(400_000)
    (tmp_path / "logo.png").write_bytes(content)
    server = secure(settings={"static": {"/static": {"directory": str(tmp_path)}}})
    with connect(server, trusting(authority)) as connection:
        assert connection.get("/static/logo.png").body == content
        part = connection.get("/static/logo.png", [("Range", "bytes=1000-300000")])
        assert (part.status, part.body) == (206, content[1000:300_001])


@pytest.mark.parametrize("threads", [1, 4])
def test_big_answers_to_slow_readers(
    secure: Secure, authority: Authority, tmp_path: Path, threads: int
) -> None:
    """Generated, and from a file without sendfile(2): not a byte is lost or twice where the socket was full."""
    server = secure(threads=threads)
    size = 3_000_000
    file = tmp_path / "file"
    file.write_bytes(os.urandom(size))
    generated = b"0123456789abcdef" * (size // 16)
    pages = [(f"/file?path={file}", file.read_bytes()), (f"/big?size={len(generated)}", generated)] * 2
    with ExitStack() as stack:
        readers = []
        for target, _ in pages:
            reader = stack.enter_context(connect(server, trusting(authority), receive_buffer=4096))
            reader.send(f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            readers.append(reader)
        with connect(server, trusting(authority)) as quick:
            assert quick.get("/").text == "Hello, World!"
        for reader, (target, content) in zip(readers, pages, strict=True):
            assert reader.read_response().body == content, target
            assert reader.get("/").text == "Hello, World!", "and the connection goes on"


def test_sessions_are_resumed_by_whichever_worker(
    secure: Secure, authority: Authority, tmp_path: Path
) -> None:
    server = secure(workers=4)
    for version in ("-tls1_2", "-tls1_3"):
        session = tmp_path / f"session{version}"
        request = "GET / HTTP/1.0\r\n\r\n"
        first = s_client(server, authority, version, "-sess_out", str(session), "-ign_eof", stdin=request)
        assert "New, TLSv1" in first
        for _ in range(8):
            again = s_client(server, authority, version, "-sess_in", str(session), "-ign_eof", stdin=request)
            assert "Reused, TLSv1" in again
            assert "Hello, World!" in again
    # Five connections with one session, as openssl-s_client(1) does it.
    told = s_client(server, authority, "-tls1_2", "-reconnect")
    assert told.count("Reused, TLSv1.2") == 5


def test_the_protocol_that_is_spoken_is_agreed_on(secure: Secure, authority: Authority) -> None:
    server = secure()
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
        context = trusting(authority)
        if offered:
            context.set_alpn_protocols(offered)
        with connect(server, context) as connection:
            assert connection.sock.selected_alpn_protocol() == chosen  # type: ignore[attr-defined]
            assert connection.get("/").status == 200


def test_only_what_the_settings_allow(secure: Secure, authority: Authority) -> None:
    server = secure(tls={"min_version": "1.3"})
    assert "alert protocol version" in s_client(server, authority, "-tls1_2")
    other = secure(tls={"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"})
    assert "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in s_client(other, authority, "-tls1_2")
    refused = s_client(other, authority, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert "handshake failure" in refused
    for old in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in s_client(other, authority, old, "-cipher", "ALL:@SECLEVEL=0")


def test_each_host_name_has_its_certificate(secure: Secure, authority: Authority) -> None:
    till = authority.sign("till", "till.example")
    wild = authority.sign("wild", "*.wild.example")
    names = ["*.wild.example", "wild.example"]
    sni = [
        {"certificate": str(till.certificate), "key": str(till.key)},
        {"certificate": str(wild.certificate), "key": str(wild.key), "names": names},
    ]
    server = secure(tls={"sni": sni})
    for name, subject in (
        ("till.example", "till"),
        ("a.wild.example", "wild"),
        ("wild.example", "wild"),
        ("localhost", "shop"),
        ("other.example", "shop"),
    ):
        assert f"subject=CN = {subject}\n" in s_client(server, authority, "-servername", name)
    assert "subject=CN = shop\n" in s_client(server, authority, "-noservername")


def test_a_key_update_in_the_middle(secure: Secure, authority: Authority) -> None:
    """TLS 1.3: the client changes its keys and has us change ours (RFC 8446 section 4.6.3)."""
    server = secure()
    command = ["openssl", "s_client", "-connect", server.address, "-tls1_3", "-crlf"]
    trust = ["-CAfile", str(authority.root.certificate)]
    request = ("GET /worker HTTP/1.1\nHost: t\n\n", r"HTTP/1\.1 200 OK")
    both, ours = ("K\n", "KEYUPDATE"), ("k\n", "KEYUPDATE")
    with subprocess.Popen(
        [*command, *trust], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        assert client.stdin
        assert client.stdout
        for text, answer in (request, both, request, both, ours, request):
            client.stdin.write(text)
            client.stdin.flush()
            told = []
            for line in client.stdout:
                told.append(line)
                if re.search(answer, line):
                    break
            else:
                raise AssertionError(f"no {answer} for {text!r}: {told}")
        client.stdin.close()
        assert "alert" not in client.stdout.read()


# Client certificates ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staff(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("staff"), "Staff Root")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_application_is_told_who_the_client_is(
    secure: Secure, authority: Authority, staff: Authority, version: ssl.TLSVersion
) -> None:
    server = secure(tls={"client_ca": str(staff.root.certificate), "verify": "optional"})
    someone = staff.sign("zoe", subject="/C=DE/O=Shop, Ltd/OU=Till/CN=Zo\u00eb")
    context = trusting(authority, someone)
    context.maximum_version = version
    session: ssl.SSLSession | None = None
    for reused in (False, True):
        plain = server.connect()
        with Connection(
            context.wrap_socket(plain.sock, server_hostname="localhost", session=session)
        ) as connection:
            environ = json.loads(connection.get("/environ").text)
            sock = connection.sock
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.session_reused is reused
            session = sock.session
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert environ["SSL_CLIENT_S_DN"] == "CN=Zo\u00c3\u00ab,OU=Till,O=Shop\\, Ltd,C=DE"
        assert environ["SSL_CLIENT_S_DN_CN"].encode("latin-1").decode() == "Zo\u00eb"
        assert environ["SSL_CLIENT_I_DN"] == "CN=Staff Root,O=prefork"
        assert int(environ["SSL_CLIENT_M_SERIAL"], 16)
        assert environ["SSL_CLIENT_CERT"] == someone.certificate.read_text()
    with connect(server, trusting(authority)) as connection:
        environ = json.loads(connection.get("/environ").text)
        assert environ["SSL_CLIENT_VERIFY"] == "NONE"
        assert "SSL_CLIENT_CERT" not in environ


@pytest.mark.parametrize("verify", ["optional", "required"])
def test_a_certificate_of_somebody_else_is_refused(
    secure: Secure, authority: Authority, staff: Authority, verify: str
) -> None:
    server = secure(tls={"client_ca": str(staff.root.certificate), "verify": verify})
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"),
        connect(server, trusting(authority, authority.sign("stranger", "stranger.example"))) as connection,
    ):
        connection.get("/")


def test_required_means_required(secure: Secure, authority: Authority, staff: Authority) -> None:
    server = secure(tls={"client_ca": str(staff.root.certificate), "verify": "required"})
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
        connect(server, trusting(authority)) as connection,
    ):
        connection.get("/")
    with connect(server, trusting(authority, staff.sign("adam", subject="/CN=adam"))) as connection:
        assert json.loads(connection.get("/environ").text)["SSL_CLIENT_S_DN"] == "CN=adam"


# The wrong thing, or nothing --------------------------------------------------------------------------------------


def test_slow_handshakes_hold_nobody(secure: Secure, authority: Authority) -> None:
    server = secure(settings={"requests": {"header_timeout": 1}})
    hello = ssl.MemoryBIO()
    client = trusting(authority).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    data = hello.read()
    with ExitStack() as stack:
        slow = []
        for part in (b"", data[:1], data[:100], data[:-1], data):
            for _ in range(10):
                connection = stack.enter_context(server.connect())
                connection.send(part)
                slow.append(connection)
        with connect(server, trusting(authority)) as quick:
            assert quick.get("/").text == "Hello, World!"
        for connection in slow:
            connection.read_to_end()  # the server's part of the handshake, perhaps; then the end


def test_plain_http_where_tls_is_spoken(secure: Secure, authority: Authority) -> None:
    server = secure()
    with server.connect() as connection:
        answer = connection.get("/")
        assert (answer.status, answer.closes) == (400, True)
        assert connection.ended()
    # And the other way round.
    with server.connect(server.addresses[1]) as plain, pytest.raises(ssl.SSLError):
        trusting(authority).wrap_socket(plain.sock, server_hostname="localhost")


def test_a_response_ends_with_a_goodbye(secure: Secure, authority: Authority) -> None:
    server = secure()
    context = trusting(authority)
    plain = server.connect()
    with context.wrap_socket(plain.sock, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.settimeout(LIMIT_S)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        received = b""
        try:
            while data := sock.recv(65536):
                received += data
        except ssl.SSLEOFError:
            raise AssertionError(f"no close_notify behind {received!r}") from None


# Files ------------------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_used_are_named_before_anything_starts(
    server_factory: ServerFactory, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    other = authority.sign("other", "other.example")
    locked = lock(pair.key, "secret", tmp_path / "locked.key")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for tls, said in (
        ({"key": str(other.key)}, f'tls.key = "{other.key}": does not belong to the certificate'),
        ({"key": str(locked)}, f'tls.key = "{locked}": is protected by a password'),
        (
            {"key": str(tmp_path / "gone")},
            f'tls.key = "{tmp_path}/gone": cannot be read: No such file or directory',
        ),
        ({"certificate": str(tmp_path)}, f'tls.certificate = "{tmp_path}": cannot be read: Is a directory'),
        ({"certificate": str(nothing)}, f'tls.certificate = "{nothing}": holds no certificate in PEM form'),
        ({"ciphers": "NOTHING"}, 'tls.ciphers = "NOTHING": cannot be used: no cipher can be selected'),
        (
            {"client_ca": str(nothing), "verify": "required"},
            f'tls.client_ca = "{nothing}": holds no certificate',
        ),
        (
            {"sni": [{"certificate": str(other.certificate), "key": str(pair.key)}]},
            f'tls.sni[0].key = "{pair.key}": does not belong to the certificate',
        ),
    ):
        server = server_factory({"app": {"target": "probe:app"}, **tables(pair, tls)})
        assert server.wait() == 78
        (line,) = server.log.lines
        assert line.startswith("prefork: ")
        assert said in line
        checked = server_factory({}, argv=["check", "-c", str(server.config)])
        assert checked.wait() == 78
        assert list(checked.log.lines) == [line]


def test_a_certificate_whose_time_is_over_is_served_with_a_warning(
    server_factory: ServerFactory, authority: Authority
) -> None:
    old = authority.sign("old", "localhost", days=-1)
    server = server_factory({"app": {"target": "probe:app"}, **tables(old)}).wait_ready()
    said = server.wait_for_event("certificate_warning")["problem"]
    assert said.startswith(f'tls.certificate = "{old.certificate}": expired on 2')
    checked = server_factory({}, argv=["check", "-c", str(server.config)])
    assert checked.wait() == 0
    assert f"warning: {said}" in checked.log.lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of root")
@pytest.mark.parametrize("preload", ["auto", "never"])
def test_a_key_that_only_root_can_read(
    secure: Secure, authority: Authority, tmp_path: Path, preload: str
) -> None:
    pair = authority.sign("rooted", "localhost")
    pair.key.chmod(0o600)
    files = {"certificate": str(pair.certificate), "key": str(pair.key)}
    app = {"preload": preload}
    server = secure(
        "whoami:app", tls=files, settings={"server": {"user": str(NOBODY), "group": str(NOBODY)}, "app": app}
    )
    with connect(server, trusting(authority)) as connection:
        assert f"uid=({NOBODY}, {NOBODY}, {NOBODY})" in connection.get("/").text
    for pid in server.workers():
        open_files = set(processes.descriptors(pid).values())
        assert not [name for name in open_files if "prefork-tls" in name or "prefork-boot" in name]


# Reload -----------------------------------------------------------------------------------------------------------


def serial(connection: Connection) -> str:
    assert isinstance(connection.sock, ssl.SSLSocket)
    return str((connection.sock.getpeercert() or {})["serialNumber"])


@pytest.mark.parametrize("threads", [1, 4])
def test_a_new_certificate_takes_no_connection_away(
    secure: Secure, authority: Authority, tmp_path: Path, threads: int
) -> None:
    """The files keep their names, as they do for certbot."""

    def renew() -> None:
        fresh = authority.sign("fresh", "localhost")
        for source, name in ((fresh.certificate, "live.pem"), (fresh.key, "live.key")):
            (tmp_path / name).write_bytes(source.read_bytes())

    renew()
    files = {"certificate": str(tmp_path / "live.pem"), "key": str(tmp_path / "live.key")}
    requests = {"keepalive_timeout": 600}
    server = secure(threads=threads, tls=files, settings={"requests": requests})
    context = trusting(authority)
    with connect(server, context) as old:
        assert old.get("/").status == 200
        before = serial(old)
        renew()
        server.reload()
        answer = old.get("/")
        assert (answer.status, answer.closes) == (200, True)
        assert old.ended()
        with connect(server, context) as new:
            assert new.get("/").status == 200
            assert serial(new) != before


def test_a_reload_with_files_that_cannot_be_used_changes_nothing(
    secure: Secure, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.sign("live", "localhost")
    server = secure(tls={"certificate": str(pair.certificate), "key": str(pair.key)})
    other = authority.sign("wrong", "localhost")
    pair.key.write_bytes(other.key.read_bytes())
    mark = server.mark()
    server.signal(SIGHUP)
    failed = server.wait_for_event("reload_failed", after=mark)
    assert "does not belong to the certificate" in str(failed)
    with connect(server, trusting(authority)) as connection:
        assert connection.get("/").status == 200


def test_an_upgrade_keeps_certificates_and_connections(secure: Secure, authority: Authority) -> None:
    server = secure(workers=2, settings={"requests": {"keepalive_timeout": 600}})
    with connect(server, trusting(authority)) as old:
        assert old.get("/").status == 200
        mark = server.mark()
        server.signal(SIGUSR2)
        server.wait_for_event("reload_done", after=mark)
        assert old.get("/").status == 200
        with connect(server, trusting(authority)) as new:
            assert new.get("/").status == 200


def test_tls_can_be_switched_on_by_a_reload(serve: ServerFactory, authority: Authority, pair: Pair) -> None:
    server = serve("probe:app")
    assert server.get("/").status == 200
    settings = tables(pair)
    settings["server"]["listen"] = [{"address": server.address, "tls": True}]
    server.configure(settings)
    server.reload()
    with connect(server, trusting(authority)) as connection:
        assert connection.get("/").status == 200


def test_requests_in_the_backlog_are_answered_at_the_end(secure: Secure, authority: Authority) -> None:
    server = secure()
    with connect(server, trusting(authority)) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert connection.read_response().status == 200
        assert server.stop() == 0
        assert connection.sock.recv(1) == b""


def test_broken_handshakes_leave_nothing(secure: Secure, authority: Authority) -> None:
    server = secure()
    (pid,) = server.workers()

    def descriptors() -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    with connect(server, trusting(authority)) as connection:
        assert connection.get("/").status == 200
        before = descriptors()
        for garbage in (
            b"\x16\x03\x01\x00\x05hello",
            b"\x16",
            b"x",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"",
        ) * 20:
            with server.connect() as broken:
                broken.send(garbage)
        with connect(server, trusting(authority)) as other:
            assert other.get("/").status == 200
        eventually(lambda: descriptors() == before, "the same number of descriptors as before")
        assert connection.get("/").status == 200
