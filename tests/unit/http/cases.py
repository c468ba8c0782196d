"""The tables of what is accepted and what is refused, and the ways to feed them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prefork.http.limits import Limits
from prefork.http.receiver import Request, RequestReceiver

HOST = b"Host: a.example"
SMALL = Limits(max_request_line=64, max_header_bytes=128, max_headers=5, max_body=16)
BASE: dict[str, Any] = {"SCRIPT_NAME": "", "wsgi.version": (1, 0)}

NEXT = b"PUT /next?it HTTP/1.1\r\nHost: next.example\r\nContent-Length: 2\r\n\r\nok"
"""What follows in the tests of pipelining."""


class Sink:
    """A body sink that remembers."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes, /) -> None:
        assert data, "the sink is only given content"
        assert not self.closed
        self.pieces.append(data)

    def close(self) -> None:
        self.closed = True

    @property
    def value(self) -> bytes:
        return b"".join(self.pieces)


def new_receiver(limits: Limits | None = None) -> RequestReceiver:
    return RequestReceiver(limits or Limits(), BASE, Sink)


def body_of(request: Request) -> bytes:
    if request.body is None:
        return b""
    assert isinstance(request.body, Sink)
    return request.body.value


def drive(
    receiver: RequestReceiver, pieces: list[bytes], requests: list[Request] | None = None
) -> list[Request]:
    """As the worker does: each request is answered, then the next one asked for.

    `requests` keeps what came before an error.
    """
    if requests is None:
        requests = []
    for piece in pieces:
        request = receiver.feed(piece)
        while request is not None or receiver.more:
            if request is None:
                request = receiver.feed(b"")
            else:
                requests.append(request)
                request = receiver.next()
    return requests


def splits(wire: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut in two at each position (of a long message: near its ends and at some between)."""
    yield [wire]
    yield [wire[at : at + 1] for at in range(len(wire))]
    cuts = range(1, len(wire))
    if len(cuts) > 600:
        cuts = [*cuts[:100], *cuts[100:-100:37], *cuts[-100:]]
    for cut in cuts:
        yield [wire[:cut], wire[cut:]]


def head(start: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([start, *fields, b"", b""])


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return head(b"GET " + target + b" HTTP/1.1", HOST, *fields)


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return head(b"POST / HTTP/1.1", HOST, *fields) + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


@dataclass(frozen=True)
class Accepted:
    """A request and exactly what the environ holds for it (in addition to what follows from method and target)."""

    name: str
    wire: bytes
    fields: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    target: str = "/"
    path: str = "/"
    query: str = ""
    protocol: str = "HTTP/1.1"
    body: bytes = b""
    keep_alive: bool = True
    host: str | None = "a.example"
    h11: str = ""
    """Why h11 reads it otherwise: the clause that decides for us."""
    httptools: str = ""
    limits: Limits = field(default_factory=Limits)

    def environ(self) -> dict[str, Any]:
        environ = {
            **BASE,
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.target,
            "REQUEST_URI": self.target,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": self.protocol,
            **self.fields,
        }
        if self.host is not None:
            environ["HTTP_HOST"] = self.host
        return environ


def accepted_path(name: str, target: str, path: str, query: str = "", **options: str) -> Accepted:
    return Accepted(name, get(target.encode()), target=target, path=path, query=query, **options)


def accepted_field(name: str, line: bytes, fields: dict[str, str], **options: Any) -> Accepted:
    return Accepted(name, get(b"/", line), fields, **options)


def accepted_body(name: str, wire: bytes, body: bytes, length: str, **options: Any) -> Accepted:
    return Accepted(name, wire, {"CONTENT_LENGTH": length}, method="POST", body=body, **options)


def accepted_chunks(name: str, coded: bytes, body: bytes, **options: Any) -> Accepted:
    return accepted_body(name, chunked(coded), body, str(len(body)), **options)


def accepted_options(name: str, line: bytes, keep_alive: bool, version: bytes = b"HTTP/1.1") -> Accepted:
    value = b",".join(part.partition(b":")[2].strip() for part in line.split(b"\r\n")).decode()
    return Accepted(
        name,
        head(b"GET / " + version, HOST, line),
        {"HTTP_CONNECTION": value},
        protocol=version.decode(),
        keep_alive=keep_alive,
    )


BWS = "RFC 9112 7.1.1: a recipient MUST parse bad white space in extensions"

ACCEPTED = [
    # Request line and versions.
    Accepted("plain", get()),
    Accepted("http-1.0", head(b"GET / HTTP/1.0", HOST), protocol="HTTP/1.0", keep_alive=False),
    Accepted("http-1.0-no-host", head(b"GET / HTTP/1.0"), protocol="HTTP/1.0", keep_alive=False, host=None),
    Accepted("http-1.2", head(b"GET / HTTP/1.2", HOST), httptools="RFC 9110 2.5"),
    Accepted("http-1.9", head(b"GET / HTTP/1.9", HOST), httptools="RFC 9110 2.5"),
    *(
        Accepted(f"method-{name}", head(name.encode() + b" / HTTP/1.1", HOST), method=name)
        for name in "HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND REPORT M-SEARCH".split()
    ),
    *(
        Accepted(
            f"method-{name}",
            head(name.encode() + b" / HTTP/1.1", HOST),
            method=name,
            httptools="RFC 9110 9.1: any token may be a method; llhttp has a list",
        )
        for name in "get BREW a ^`|~!#$%&'*+-. VERYLONGMETHODNAMEOFTHIRTYTWOCHAR".split()
    ),
    Accepted("leading-crlf", b"\r\n" + get(), h11="RFC 9112 2.2: SHOULD ignore at least one empty line"),
    # Targets.
    accepted_path("path", "/a/b.html", "/a/b.html"),
    accepted_path("query", "/a?b=c&d", "/a", "b=c&d"),
    accepted_path("empty-query", "/a?", "/a"),
    accepted_path("second-question-mark", "/a?b?c", "/a", "b?c"),
    accepted_path("query-of-root", "/?q", "/", "q"),
    accepted_path("two-slashes", "//a//b", "//a//b"),
    accepted_path("dots-stay", "/a/../b/./c", "/a/../b/./c"),
    accepted_path("sub-delims", "/a;b=1,2!$&'()*+~_-.:@", "/a;b=1,2!$&'()*+~_-.:@"),
    accepted_path("escape-space", "/a%20b", "/a b"),
    accepted_path("escape-utf-8", "/caf%C3%A9", "/caf\xc3\xa9"),
    accepted_path("escape-latin-1", "/caf%e9", "/caf\xe9"),
    accepted_path("escape-slash", "/a%2Fb", "/a/b"),
    accepted_path("escape-question", "/a%3Fb?c", "/a?b", "c"),
    accepted_path("escape-percent", "/100%25", "/100%"),
    accepted_path("escape-once", "/%2541", "/%41"),
    accepted_path("escape-crlf", "/a%0d%0Ab", "/a\r\nb"),
    accepted_path("escape-ff", "/%ff%FF%fF", "/\xff\xff\xff"),
    accepted_path("escape-in-query-stays", "/?a=%20%zz%", "/", "a=%20%zz%"),
    accepted_path("unwise-in-path", "/a|b^c{d}[e]`f\\g", "/a|b^c{d}[e]`f\\g"),
    accepted_path("unwise-in-query", "/?a[]=1&b={x|y}", "/", "a[]=1&b={x|y}"),
    Accepted(
        "absolute",
        get(b"http://b.example/x?y"),
        target="http://b.example/x?y",
        path="/x",
        query="y",
        host="b.example",
    ),
    Accepted(
        "absolute-port",
        get(b"http://b.example:81/x"),
        target="http://b.example:81/x",
        path="/x",
        host="b.example:81",
    ),
    Accepted("absolute-ipv6", get(b"http://[::1]:8/"), target="http://[::1]:8/", host="[::1]:8"),
    Accepted("absolute-https", get(b"https://b.example/"), target="https://b.example/", host="b.example"),
    Accepted(
        "absolute-upper-scheme", get(b"HTTP://b.example/"), target="HTTP://b.example/", host="b.example"
    ),
    Accepted("absolute-no-path", get(b"http://b.example"), target="http://b.example", host="b.example"),
    Accepted(
        "absolute-only-query",
        get(b"http://b.example?q=/"),
        target="http://b.example?q=/",
        query="q=/",
        host="b.example",
    ),
    Accepted(
        "absolute-escape",
        get(b"http://b.example/%41"),
        target="http://b.example/%41",
        path="/A",
        host="b.example",
    ),
    Accepted(
        "absolute-1.0-no-host",
        head(b"GET http://b.example/ HTTP/1.0"),
        target="http://b.example/",
        protocol="HTTP/1.0",
        keep_alive=False,
        host="b.example",
    ),
    Accepted("asterisk", head(b"OPTIONS * HTTP/1.1", HOST), method="OPTIONS", target="*", path="*"),
    # Host.
    *(
        Accepted(f"host-{host or 'empty'}", head(b"GET / HTTP/1.1", b"Host: " + host.encode()), host=host)
        for host in (
            "",
            "localhost",
            "a.example:8000",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b.example",
            "a.example.",
            "a.example:",
            "xn--caf-dma.example",
            "a%20b",
            "a!$&'()*+,;=~b",
            "[v1.a:b]",
            "A.EXAMPLE",
            "1:65535",
            "a" * 255,
        )
    ),
    # Field lines.
    accepted_field("lower-case-name", b"accept: x", {"HTTP_ACCEPT": "x"}),
    accepted_field("odd-case-name", b"aCCePT: x", {"HTTP_ACCEPT": "x"}),
    accepted_field("unknown-name", b"X-Quite-New: x", {"HTTP_X_QUITE_NEW": "x"}),
    accepted_field("no-space", b"Accept:x", {"HTTP_ACCEPT": "x"}),
    accepted_field("much-space", b"Accept: \t  x \t ", {"HTTP_ACCEPT": "x"}),
    accepted_field("tab", b"Accept:\tx\t", {"HTTP_ACCEPT": "x"}),
    accepted_field("inner-space", b"Accept: a  b\tc", {"HTTP_ACCEPT": "a  b\tc"}),
    accepted_field("colons", b"Accept: a: b:c", {"HTTP_ACCEPT": "a: b:c"}),
    accepted_field("colon-first", b"Accept::x", {"HTTP_ACCEPT": ":x"}),
    accepted_field("no-space-then-colon-space", b"X-A:b: c", {"HTTP_X_A": "b: c"}),
    accepted_field("empty-value", b"Accept:", {"HTTP_ACCEPT": ""}),
    accepted_field("blank-value", b"Accept: \t ", {"HTTP_ACCEPT": ""}),
    accepted_field("obs-text", b"X-A: caf\xe9 \xff", {"HTTP_X_A": "caf\xe9 \xff"}),
    accepted_field("utf-8", b"X-A: \xc3\xa9", {"HTTP_X_A": "\xc3\xa9"}),
    accepted_field(
        "obs-text-is-no-space",
        b"X-A: \x85a\xa0",
        {"HTTP_X_A": "\x85a\xa0"},
    ),
    accepted_field("token-name", b"X!#$%&'*+-.^`|~9: x", {"HTTP_X!#$%&'*+_.^`|~9": "x"}),
    accepted_field("underscore-dropped", b"X_A: x", {}),
    accepted_field("underscore-length-dropped", b"Content_Length: 5", {}),
    accepted_field("underscore-te-dropped", b"Transfer_Encoding: chunked", {}),
    accepted_field("proxy-dropped", b"Proxy: http://evil.example", {}),
    accepted_field("proxy-dropped-any-case", b"pRoXy: http://evil.example", {}),
    accepted_field("proxy-authorization-stays", b"Proxy-Authorization: x", {"HTTP_PROXY_AUTHORIZATION": "x"}),
    accepted_field("content-type", b"Content-Type: text/plain", {"CONTENT_TYPE": "text/plain"}),
    accepted_field("content-type-odd-case", b"cOnTeNt-tYpE: text/plain", {"CONTENT_TYPE": "text/plain"}),
    accepted_field("repeat", b"Accept: a\r\naccept: b\r\nACCEPT: c", {"HTTP_ACCEPT": "a,b,c"}),
    accepted_field("repeat-new-name", b"X-New-R: a\r\nx-nEW-r: b", {"HTTP_X_NEW_R": "a,b"}),
    accepted_field("cookies", b"Cookie: a=1\r\nCookie: b=2; c=3", {"HTTP_COOKIE": "a=1; b=2; c=3"}),
    accepted_field("te-is-no-framing", b"TE: trailers", {"HTTP_TE": "trailers"}),
    # Connection.
    accepted_options("keep-alive", b"Connection: keep-alive", True),
    accepted_options("close", b"Connection: close", False),
    accepted_options("close-case", b"Connection: CloSE", False),
    accepted_options("close-in-list", b"Connection: TE , close", False),
    accepted_options("close-first", b"Connection: close, TE", False),
    accepted_options("close-second-line", b"Connection: keep-alive\r\nConnection: close", False),
    accepted_options("close-wins", b"Connection: close, keep-alive", False),
    accepted_options("not-quite-close", b"Connection: closed, x-close", True),
    accepted_options("empty-members", b"Connection: ,, ,", True),
    accepted_options("1.0-keep-alive", b"Connection: keep-alive", True, b"HTTP/1.0"),
    accepted_options("1.0-keep-alive-case", b"Connection: Keep-Alive", True, b"HTTP/1.0"),
    accepted_options("1.0-keep-alive-list", b"Connection: x, keep-alive", True, b"HTTP/1.0"),
    accepted_options("1.0-close-wins", b"Connection: keep-alive, close", False, b"HTTP/1.0"),
    accepted_options("1.0-other", b"Connection: x", False, b"HTTP/1.0"),
    # Content-Length.
    accepted_body("length", post(b"Content-Length: 3", body=b"abc"), b"abc", "3"),
    accepted_body("length-0", post(b"Content-Length: 0"), b"", "0"),
    accepted_body("length-leading-zeros", post(b"Content-Length: 003", body=b"abc"), b"abc", "003"),
    accepted_body("length-space", post(b"Content-Length:\t 3 ", body=b"abc"), b"abc", "3"),
    accepted_body("length-odd-case", post(b"cONTENT-lENGTH: 3", body=b"abc"), b"abc", "3"),
    accepted_body(
        "body-like-a-head", post(b"Content-Length: 8", body=b"a\r\n\r\nb\r\n"), b"a\r\n\r\nb\r\n", "8"
    ),
    accepted_body(
        "body-of-all-bytes", post(b"Content-Length: 256", body=bytes(range(256))), bytes(range(256)), "256"
    ),
    accepted_body(
        "body-up-to-the-limit", post(b"Content-Length: 16", body=b"x" * 16), b"x" * 16, "16", limits=SMALL
    ),
    Accepted("get-with-body", get(b"/", b"Content-Length: 3") + b"abc", {"CONTENT_LENGTH": "3"}, body=b"abc"),
    Accepted("post-without-length", post(), method="POST"),
    # Expect.
    Accepted(
        "expect",
        post(b"Expect: 100-continue", b"Content-Length: 1", body=b"x"),
        {"HTTP_EXPECT": "100-continue", "CONTENT_LENGTH": "1"},
        method="POST",
        body=b"x",
    ),
    accepted_field("expect-without-body", b"Expect: 100-Continue", {"HTTP_EXPECT": "100-Continue"}),
    # Chunked.
    accepted_chunks("chunks", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    accepted_chunks("no-chunks", b"0\r\n\r\n", b""),
    accepted_chunks("chunk-hex-case", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    accepted_chunks("chunk-leading-zeros", b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
    accepted_chunks("chunk-15-digits", b"000000000000003\r\nabc\r\n0\r\n\r\n", b"abc"),
    accepted_chunks("chunk-of-line-ends", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    accepted_chunks("chunk-like-chunks", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    accepted_chunks("extension", b"3;a=b\r\nabc\r\n0;c\r\n\r\n", b"abc"),
    accepted_chunks("extension-quoted", b'3;a="b;\\"c"\r\nabc\r\n0\r\n\r\n', b"abc"),
    accepted_chunks("extensions", b"3;a=b;c;d=e\r\nabc\r\n0\r\n\r\n", b"abc"),
    accepted_chunks("extension-bws", b"3 ; a = b\r\nabc\r\n0\r\n\r\n", b"abc", h11=BWS, httptools=BWS),
    accepted_chunks("trailer", b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", b"abc"),
    accepted_chunks("trailers", b"1\r\na\r\n0\r\nX-Sum: 1\r\nX_T:2\r\nExpires: \xff\r\n\r\n", b"a"),
    accepted_chunks(
        "chunks-up-to-the-limit",
        b"a\r\n0123456789\r\n6\r\n012345\r\n0\r\n\r\n",
        b"0123456789012345",
        limits=SMALL,
    ),
    accepted_body("coding-case", post(b"transfer-encoding: CHUNKED", body=b"1\r\na\r\n0\r\n\r\n"), b"a", "1"),
    # Limits, reached and not passed.
    Accepted("longest-line", get(b"/" + b"a" * 50), target="/" + "a" * 50, path="/" + "a" * 50, limits=SMALL),
    Accepted(
        "most-header-bytes",
        get(b"/", b"X-A: " + b"a" * 104),
        {"HTTP_X_A": "a" * 104},
        limits=SMALL,
    ),
    Accepted(
        "most-headers",
        get(b"/", b"A: 1", b"B: 2", b"C: 3", b"D: 4"),
        {"HTTP_A": "1", "HTTP_B": "2", "HTTP_C": "3", "HTTP_D": "4"},
        limits=SMALL,
    ),
]


@dataclass(frozen=True)
class Refused:
    """Bytes that are not served, the status, and the clause behind it."""

    name: str
    wire: bytes
    status: int
    clause: str
    limits: Limits = field(default_factory=Limits)


def bad_line(name: str, line: bytes, clause: str, status: int = 400) -> Refused:
    return Refused(name, head(line, HOST), status, clause)


def bad_target(name: str, target: bytes, clause: str) -> Refused:
    return bad_line(name, b"GET " + target + b" HTTP/1.1", clause)


def bad_field(name: str, line: bytes, clause: str, status: int = 400) -> Refused:
    return Refused(name, get(b"/", line), status, clause)


def bad_chunks(name: str, body: bytes, clause: str, status: int = 400, **options: Any) -> Refused:
    return Refused(name, chunked(body), status, clause, **options)


REFUSED = [
    # Request line.
    bad_line("two-spaces", b"GET  / HTTP/1.1", "RFC 9112 3"),
    bad_line("space-at-end", b"GET / HTTP/1.1 ", "RFC 9112 3"),
    bad_line("space-at-start", b" GET / HTTP/1.1", "RFC 9112 3"),
    bad_line("tabs", b"GET\t/\tHTTP/1.1", "RFC 9112 3"),
    bad_line("tab-in-target", b"GET /a\tb HTTP/1.1", "RFC 9112 3.2"),
    bad_line("tab-in-method", b"G\tET / HTTP/1.1", "RFC 9110 9.1"),
    bad_line("tab-behind-version", b"GET / HTTP/1.1\t", "RFC 9112 2.3"),
    bad_line("four-words", b"GET /a b HTTP/1.1", "RFC 9112 3.2: no white space in a target"),
    bad_line("http-0.9", b"GET /", "RFC 9112 3"),
    bad_line("one-word", b"GET", "RFC 9112 3"),
    bad_line("no-target", b"GET HTTP/1.1", "RFC 9112 3"),
    bad_line("empty-target", b"GET  HTTP/1.1", "RFC 9112 3.2"),
    bad_line("response", b"HTTP/1.1 200 OK", "RFC 9112 3"),
    bad_line("method-with-slash", b"GE/T / HTTP/1.1", "RFC 9110 9.1"),
    bad_line("method-with-colon", b"GET: / HTTP/1.1", "RFC 9110 9.1"),
    bad_line("method-with-quote", b'"GET" / HTTP/1.1', "RFC 9110 9.1"),
    bad_line("method-not-ascii", b"G\xc9T / HTTP/1.1", "RFC 9110 9.1"),
    Refused("empty-method", head(b" / HTTP/1.1", HOST), 400, "RFC 9110 9.1"),
    bad_line("connect", b"CONNECT a.example:443 HTTP/1.1", "RFC 9110 9.3.6", 501),
    bad_line("connect-path", b"CONNECT / HTTP/1.1", "RFC 9110 9.3.6", 501),
    # Version.
    bad_line("version-2.0", b"GET / HTTP/2.0", "RFC 9110 15.6.6", 505),
    bad_line("version-3.0", b"GET / HTTP/3.0", "RFC 9110 15.6.6", 505),
    bad_line("version-0.9", b"GET / HTTP/0.9", "RFC 9110 15.6.6", 505),
    Refused("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RFC 9113 3.4"),
    bad_line("version-lower-case", b"GET / http/1.1", "RFC 9112 2.3: case-sensitive"),
    bad_line("version-two-digits", b"GET / HTTP/1.10", "RFC 9112 2.3"),
    bad_line("version-leading-zero", b"GET / HTTP/01.1", "RFC 9112 2.3"),
    bad_line("version-no-minor", b"GET / HTTP/1", "RFC 9112 2.3"),
    bad_line("version-comma", b"GET / HTTP/1,1", "RFC 9112 2.3"),
    bad_line("version-superscript", b"GET / HTTP/1.\xb9", "RFC 9112 2.3"),
    bad_line("version-other-protocol", b"GET / ICY/1.1", "RFC 9112 2.3"),
    bad_line("version-nothing", b"GET / ", "RFC 9112 2.3"),
    # Target.
    bad_target("relative", b"a/b", "RFC 9112 3.2"),
    bad_target("fragment", b"/a#b", "RFC 9112 3.2.1: a fragment is not sent"),
    bad_target("fragment-in-query", b"/a?b#c", "RFC 9112 3.2.1"),
    bad_target("not-ascii", b"/caf\xc3\xa9", "RFC 3986 2"),
    bad_target("not-ascii-query", b"/?\xe9", "RFC 3986 2"),
    bad_target("obs-text-85", b"/\x85", "RFC 3986 2"),
    bad_target("obs-text-a0", b"/a\xa0b", "RFC 3986 2"),
    bad_target("quote", b'/"a"', "RFC 3986 2"),
    bad_target("angle", b"/<a>", "RFC 3986 2"),
    bad_target("angle-query", b"/?<a>", "RFC 3986 2"),
    bad_target("escape-no-hex", b"/%zz", "RFC 3986 2.1"),
    bad_target("escape-one-hex", b"/%4", "RFC 3986 2.1"),
    bad_target("escape-one-hex-then-no", b"/%4g", "RFC 3986 2.1"),
    bad_target("escape-nothing", b"/%", "RFC 3986 2.1"),
    bad_target("escape-then-query", b"/%4?1", "RFC 3986 2.1"),
    bad_target("escape-sign", b"/%+1", "RFC 3986 2.1"),
    bad_target("escape-u", b"/%u0041", "RFC 3986 2.1"),
    bad_target("escape-nul", b"/a%00.html", "RFC 3986 7.3"),
    bad_target("asterisk-get", b"*", "RFC 9112 3.2.4"),
    bad_target("asterisk-path", b"*/a", "RFC 9112 3.2"),
    bad_target("authority-get", b"a.example:80", "RFC 9112 3.2.3"),
    bad_target("other-scheme", b"ftp://a.example/", "RFC 9110 4.2"),
    bad_target("no-scheme", b"://a.example/", "RFC 9112 3.2.2"),
    bad_target("scheme-one-slash", b"http:/a.example/", "RFC 9112 3.2.2"),
    bad_target("absolute-no-host", b"http:///a", "RFC 9110 4.2.1"),
    bad_target("absolute-only-port", b"http://:80/a", "RFC 9110 4.2.1"),
    bad_target("absolute-user", b"http://u:p@a.example/", "RFC 9110 4.2.4"),
    bad_target("absolute-bad-port", b"http://a.example:8x/", "RFC 3986 3.2.3"),
    bad_target("absolute-bad-escape", b"http://a.example/%z1", "RFC 3986 2.1"),
    bad_target("absolute-fragment", b"http://a.example/#x", "RFC 9110 4.2.1"),
    # Bytes.
    bad_field("nul-in-value", b"X-A: a\0b", "RFC 9110 5.5"),
    bad_field("nul-at-end", b"X-A: a\0", "RFC 9110 5.5"),
    bad_field("bell-in-value", b"X-A: \x07", "RFC 9110 5.5"),
    bad_field("vt-in-value", b"X-A: a\x0bb", "RFC 9110 5.5"),
    bad_field("ff-in-value", b"X-A: a\x0c", "RFC 9110 5.5"),
    bad_field("escape-in-value", b"X-A: \x1b[0m", "RFC 9110 5.5"),
    bad_field("del-in-value", b"X-A: \x7f", "RFC 9110 5.5"),
    bad_field("bare-cr-in-value", b"X-A: a\rb", "RFC 9112 2.2"),
    bad_field("bare-cr-at-end", b"X-A: a\r", "RFC 9112 2.2"),
    bad_field("bare-lf-in-value", b"X-A: a\nX-B: b", "RFC 9112 2.2"),
    bad_field("lf-cr", b"X-A: a\n\rX-B: b", "RFC 9112 2.2"),
    bad_field("cr-cr-lf", b"X-A: a\r\r\nX-B: b", "RFC 9112 2.2"),
    bad_field("cr-before-name", b"\rX-A: a", "RFC 9112 2.2"),
    Refused("bare-lf-everywhere", b"GET / HTTP/1.1\nHost: a.example\n\n", 400, "RFC 9112 2.2"),
    Refused("bare-lf-behind-line", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", 400, "RFC 9112 2.2"),
    Refused("bare-lf-at-end", b"GET / HTTP/1.1\r\nHost: a.example\r\n\nx", 400, "RFC 9112 2.2"),
    Refused("bare-cr-behind-line", b"GET / HTTP/1.1\rHost: a.example\r\n\r\n", 400, "RFC 9112 2.2"),
    Refused("nul-first", b"\0" + get(), 400, "RFC 9110 9.1"),
    Refused("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "RFC 9110 9.1"),
    Refused("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", 400, "RFC 9112 3"),
    Refused("two-leading-crlf", b"\r\n\r\n" + get(), 400, "RFC 9112 2.2: at least one; we take one"),
    Refused("leading-lf", b"\n" + get(), 400, "RFC 9112 2.2"),
    Refused("leading-space", b" " + get(), 400, "RFC 9112 3"),
    # Field names.
    bad_field("space-before-colon", b"X-A : a", "RFC 9112 5.1"),
    bad_field("known-name-space-before-colon", b"Content-Length : 0", "RFC 9112 5.1"),
    bad_field("tab-before-colon", b"X-A\t: a", "RFC 9112 5.1"),
    bad_field("space-in-name", b"X A: a", "RFC 9110 5.1"),
    bad_field("empty-name", b": a", "RFC 9110 5.1"),
    bad_field("empty-name-no-space", b":a", "RFC 9110 5.1"),
    bad_field("no-colon", b"X-A", "RFC 9112 5"),
    bad_field("known-name-no-colon", b"Accept", "RFC 9112 5"),
    bad_field("name-with-parenthesis", b"X(A): a", "RFC 9110 5.6.2"),
    bad_field("name-with-slash", b"X/A: a", "RFC 9110 5.6.2"),
    bad_field("name-with-at", b"X@A: a", "RFC 9110 5.6.2"),
    bad_field("name-with-bracket", b"X[A]: a", "RFC 9110 5.6.2"),
    bad_field("name-quoted", b'"X-A": a', "RFC 9110 5.6.2"),
    bad_field("name-not-ascii", b"X-\xc9: a", "RFC 9110 5.6.2"),
    bad_field("name-nbsp", b"Transfer-Encoding\xa0: chunked", "RFC 9110 5.6.2"),
    bad_field("fold", b"X-A: a\r\n b", "RFC 9112 5.2"),
    bad_field("fold-tab", b"X-A: a\r\n\tb: c", "RFC 9112 5.2"),
    bad_field("fold-with-colon", b"X-A: a\r\n Transfer-Encoding: chunked", "RFC 9112 5.2"),
    Refused("fold-first", head(b"GET / HTTP/1.1", b" Host: a.example", HOST), 400, "RFC 9112 2.2"),
    # Host.
    Refused("no-host", head(b"GET / HTTP/1.1"), 400, "RFC 9112 3.2"),
    Refused("no-host-1.2", head(b"GET / HTTP/1.2"), 400, "RFC 9112 3.2"),
    Refused("no-host-absolute", head(b"GET http://a.example/ HTTP/1.1"), 400, "RFC 9112 3.2"),
    bad_field("two-hosts", HOST, "RFC 9112 3.2"),
    bad_field("two-hosts-case", b"hOST: b.example", "RFC 9112 3.2"),
    Refused("two-hosts-1.0", head(b"GET / HTTP/1.0", HOST, HOST), 400, "RFC 9112 3.2"),
    *(
        Refused(f"host-{name}", head(b"GET / HTTP/1.1", b"Host: " + host), 400, "RFC 9110 7.2")
        for name, host in {
            "space": b"a b",
            "path": b"a.example/x",
            "user": b"u@a.example",
            "list": b"a.example, b.example /",
            "two-ports": b"a:1:2",
            "port-word": b"a:http",
            "port-long": b"a:123456",
            "port-sign": b"a:-1",
            "open-bracket": b"[::1",
            "bracket-behind": b"::1]",
            "ipv6-bare": b"::1",
            "ipv6-tail": b"[::1]x",
            "scheme": b"http://a.example",
            "not-ascii": b"\xe9.example",
            "bad-escape": b"a%2",
            "quote": b'"a"',
            "backslash": b"a\\b",
            "nbsp": b"a\xa0",
            "angle": b"<a>",
            "query": b"a?b",
            "fragment": b"a#b",
            "long": b"a" * 256,
            "long-escaped": b"!" * 256,
        }.items()
    ),
    # Content-Length.
    *(
        Refused(f"length-{name}", post(b"Content-Length: " + value, body=b"abc"), 400, "RFC 9110 8.6")
        for name, value in {
            "empty": b"",
            "word": b"abc",
            "plus": b"+3",
            "minus": b"-3",
            "hex": b"0x3",
            "float": b"3.0",
            "exponent": b"3e0",
            "list": b"3, 3",
            "list-same": b"3,3",
            "list-other": b"3,4",
            "space": b"3 3",
            "underscore": b"1_0",
            "superscript": b"\xb3",
            "semicolon": b"3;",
            "quoted": b'"3"',
            "nbsp": b"3\xa0",
        }.items()
    ),
    Refused(
        "length-twice", post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400, "RFC 9110 8.6"
    ),
    Refused("length-twice-case", post(b"Content-Length: 3", b"content-lengtH: 4"), 400, "RFC 9110 8.6"),
    Refused("length-many-digits", post(b"Content-Length: " + b"9" * 19), 413, "RFC 9110 8.6"),
    Refused("length-very-many-digits", post(b"Content-Length: " + b"9" * 5000), 413, "RFC 9110 8.6"),
    Refused("length-above-limit", post(b"Content-Length: 17"), 413, "RFC 9110 15.5.14", SMALL),
    Refused(
        "length-above-limit-expect",
        post(b"Content-Length: 17", b"Expect: 100-continue"),
        413,
        "RFC 9110 10.1.1",
        SMALL,
    ),
    bad_field("content-type-twice", b"Content-Type: a/b\r\nContent-Type: a/b", "RFC 9110 8.3"),
    # Transfer-Encoding.
    Refused(
        "length-and-coding",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
        "RFC 9112 6.1",
    ),
    Refused(
        "coding-and-length",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        400,
        "RFC 9112 6.1",
    ),
    Refused(
        "coding-in-1.0",
        head(b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
        "RFC 9112 6.1",
    ),
    *(
        Refused(f"coding-{name}", post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), status, clause)
        for name, value, status, clause in (
            ("gzip-chunked", b"gzip, chunked", 501, "RFC 9112 6.1"),
            ("new-chunked", b"x-new;p=1, chunked", 501, "RFC 9112 6.1"),
            ("gzip", b"gzip", 400, "RFC 9112 6.3 item 4"),
            ("chunked-gzip", b"chunked, gzip", 400, "RFC 9112 6.3 item 4"),
            ("identity", b"identity", 400, "RFC 9112 6.3 item 4"),
            ("chunked-identity", b"chunked, identity", 400, "RFC 9112 6.3 item 4"),
            ("twice", b"chunked, chunked", 400, "RFC 9112 6.1"),
            ("twice-gzip", b"chunked, gzip, chunked", 400, "RFC 9112 6.1"),
            ("empty", b"", 400, "RFC 9112 6.3 item 4"),
            ("empty-member", b",chunked", 400, "RFC 9112 6.1"),
            ("empty-member-behind", b"chunked,", 400, "RFC 9112 6.3 item 4"),
            ("parameter", b"chunked;a=b", 400, "RFC 9112 7.1"),
            ("quoted", b'"chunked"', 400, "RFC 9112 7"),
            ("prefix", b"xchunked", 400, "RFC 9112 6.3 item 4"),
            ("nbsp", b"\xa0chunked", 400, "RFC 9112 6.3 item 4"),
            ("two-words", b"gzip chunked", 400, "RFC 9112 6.3 item 4"),
        )
    ),
    Refused(
        "coding-two-lines",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
        "RFC 9112 6.1",
    ),
    Refused(
        "coding-two-lines-identity",
        post(b"Transfer-Encoding: chunked", b"transfer-encoding: identity", body=b"0\r\n\r\n"),
        400,
        "RFC 9112 6.3 item 4",
    ),
    # Expect.
    bad_field("expect-other", b"Expect: 200-ok", "RFC 9110 10.1.1", 417),
    bad_field("expect-list", b"Expect: 100-continue, x", "RFC 9110 10.1.1", 417),
    bad_field("expect-empty", b"Expect:", "RFC 9110 10.1.1", 417),
    # Chunks.
    *(
        bad_chunks(f"chunk-size-{name}", size + b"\r\nabc\r\n0\r\n\r\n", "RFC 9112 7.1")
        for name, size in {
            "empty": b"",
            "plus": b"+3",
            "minus": b"-3",
            "0x": b"0x3",
            "space-first": b" 3",
            "space-behind": b"3 ",
            "tab-behind": b"3\t",
            "underscore": b"0_3",
            "no-hex": b"g",
            "comma": b"3,",
            "nul": b"3\0",
            "dot": b"3.0",
            "not-ascii": b"\xb3",
            "only-extension": b";a=b",
            "bare-cr": b"3\r",
            "semicolon-only": b"3;",
            "extension-space": b"3;a b",
            "extension-open-quote": b'3;a="b',
            "extension-nul": b"3;a=\0",
            "extension-bare-cr": b"3;a\rb",
            "extension-bare-lf": b"3;a\nb",
            "extension-no-name": b"3;=b",
            "16-digits": b"0000000000000003",
            "17-digits": b"10000000000000003",
        }.items()
    ),
    bad_chunks("chunk-size-bare-lf", b"3\nabc\r\n0\r\n\r\n", "RFC 9112 2.2"),
    bad_chunks("chunk-end-missing", b"3\r\nabc0\r\n\r\n", "RFC 9112 7.1"),
    bad_chunks("chunk-end-bare-lf", b"3\r\nabc\n0\r\n\r\n", "RFC 9112 2.2"),
    bad_chunks("chunk-end-bare-cr", b"3\r\nabc\r0\r\n\r\n", "RFC 9112 2.2"),
    bad_chunks("chunk-too-short", b"4\r\nabc\r\n0\r\n\r\n", "RFC 9112 7.1"),
    bad_chunks("chunk-extension-long", b"3;" + b"a" * 256 + b"\r\nabc\r\n0\r\n\r\n", "RFC 9112 7.1.1"),
    bad_chunks("chunk-extension-endless", b"3;" + b"a" * 1000, "RFC 9112 7.1.1"),
    bad_chunks("chunk-extensions-many", (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 90, "RFC 9112 7.1.1"),
    bad_chunks("chunk-above-limit", b"11\r\n", "RFC 9110 15.5.14", 413, limits=SMALL),
    bad_chunks("chunks-above-limit", b"8\r\n01234567\r\n9\r\n", "RFC 9110 15.5.14", 413, limits=SMALL),
    bad_chunks("chunk-huge", b"fffffffffffffff\r\n", "RFC 9110 15.5.14", 413),
    bad_chunks("chunk-end-is-no-size", b"0\r\n0\r\n\r\n", "RFC 9112 7.1.2"),
    # Trailers.
    *(
        bad_chunks(f"trailer-{name}", b"0\r\n" + line + b"\r\n\r\n", clause, status)
        for name, line, clause, status in (
            ("no-colon", b"X-A", "RFC 9112 5", 400),
            ("space-before-colon", b"X-A : a", "RFC 9112 5.1", 400),
            ("empty-name", b": a", "RFC 9110 5.1", 400),
            ("nul", b"X-A: \0", "RFC 9110 5.5", 400),
            ("bare-lf", b"X-A: a\nX-B: b", "RFC 9112 2.2", 400),
            ("bare-cr", b"X-A: a\rb", "RFC 9112 2.2", 400),
            ("fold", b"X-A: a\r\n b", "RFC 9112 5.2", 400),
            ("length", b"Content-Length: 3", "RFC 9110 6.5.1", 400),
            ("coding", b"transfer-encoding: chunked", "RFC 9110 6.5.1", 400),
            ("host", b"HOST: b.example", "RFC 9110 6.5.1", 400),
            ("bytes", b"X-A: " + b"a" * 8192, "RFC 9110 6.5", 431),
            ("bytes-in-lines", b"\r\n".join([b"X-A: " + b"a" * 500] * 17), "RFC 9110 6.5", 431),
            ("count", b"\r\n".join([b"A: b"] * 33), "RFC 9110 6.5", 431),
        )
    ),
    bad_chunks("trailer-only-lf", b"0\r\n\n", "RFC 9112 2.2"),
    # Limits.
    Refused("line-long", get(b"/" + b"a" * 51), 414, "RFC 9112 3", SMALL),
    Refused("line-endless", b"GET /" + b"a" * 100, 414, "RFC 9112 3", SMALL),
    Refused("method-endless", b"A" * 100, 414, "RFC 9112 3", SMALL),
    Refused("header-bytes", get(b"/", b"X-A: " + b"a" * 105), 431, "RFC 6585 5", SMALL),
    Refused("header-bytes-endless", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 200, 431, "RFC 6585 5", SMALL),
    Refused("header-count", get(b"/", *[b"A: b"] * 5), 431, "RFC 6585 5", SMALL),
]
