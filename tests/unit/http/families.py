"""Known ways to make two servers see two different requests, by family.

Every input holds a second request, `GET /hidden`, that some server somewhere has answered. Here it is never one: either the whole
input is refused, or it is the content of the first request, or the connection has ended before it.
"""

from __future__ import annotations

from dataclasses import dataclass

HOST = b"Host: a.example"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"
IN_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


@dataclass(frozen=True)
class Case:
    """One input and what becomes of it."""

    family: str
    name: str
    wire: bytes
    status: int = 0
    """Of the refusal; 0: it is served, and the hidden request is not."""
    served: int = 0
    """Requests served before the refusal, or before the connection ends or waits."""

    @property
    def id(self) -> str:
        return f"{self.family}: {self.name}"


def post(*fields: bytes, body: bytes = b"", start: bytes = b"POST /first HTTP/1.1") -> bytes:
    return b"\r\n".join([start, HOST, *fields, b"", b""]) + body


def chunks(body: bytes, *fields: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


LENGTH = b"Content-Length: %d" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked"
ENDED = b"0\r\n\r\n" + HIDDEN
"""A body that is over for who reads chunks, and goes on for who counts."""

LONG = b"Content-Length: %d" % len(ENDED)
SHORT = b"Content-Length: 4"


def _cl_te() -> dict[str, bytes]:
    return {
        "length first": post(LONG, CHUNKED, body=ENDED),
        "coding first": post(CHUNKED, LONG, body=ENDED),
        "length 0": post(b"Content-Length: 0", CHUNKED, body=ENDED),
        "upper case": post(LONG, b"TRANSFER-ENCODING: CHUNKED", body=ENDED),
        "in GET": post(LONG, CHUNKED, body=ENDED, start=b"GET /first HTTP/1.1"),
        "tab before chunked": post(LONG, b"Transfer-Encoding:\tchunked", body=ENDED),
        "no space": post(LONG, b"Transfer-Encoding:chunked", body=ENDED),
        "empty coding": post(LONG, b"Transfer-Encoding:", body=ENDED),
    }


def _te_cl() -> dict[str, bytes]:
    return {
        "short length first": post(SHORT, CHUNKED, body=IN_CHUNK),
        "short length last": post(CHUNKED, SHORT, body=IN_CHUNK),
        "identity and length": post(b"Transfer-Encoding: identity", SHORT, body=IN_CHUNK),
        "identity in front": post(b"Transfer-Encoding: identity, chunked", SHORT, body=IN_CHUNK),
        "in HTTP/1.0": post(CHUNKED, SHORT, body=IN_CHUNK, start=b"POST /first HTTP/1.0"),
        "coding alone in HTTP/1.0": post(CHUNKED, body=ENDED, start=b"POST /first HTTP/1.0"),
    }


def _te_te() -> dict[str, bytes]:
    second = {
        "two lines": b"Transfer-Encoding: chunked",
        "cow": b"Transfer-Encoding: cow",
        "identity": b"Transfer-encoding: identity",
        "space before colon": b"Transfer-Encoding : chunked",
        "tab before colon": b"Transfer-Encoding\t: chunked",
        "folded": b"Transfer-Encoding:\r\n chunked",
        "folded name": b"Transfer-Encoding\r\n : chunked",
        "hidden by bare LF": b"X: x\nTransfer-Encoding: chunked",
        "hidden by bare CR": b"X: x\rTransfer-Encoding: chunked",
        "quoted": b'Transfer-Encoding: "chunked"',
    }
    cases = {name: post(CHUNKED, line, body=ENDED) for name, line in second.items()}
    listed = {
        "twice": b"chunked, chunked",
        "then cow": b"chunked, cow",
        "empty member": b"chunked,",
        "parameter": b"chunked;q=0",
    }
    return cases | {name: post(b"Transfer-Encoding: " + value, body=ENDED) for name, value in listed.items()}


def _codings() -> dict[str, bytes]:
    values = {
        "vertical tab in front": b"\x0bchunked",
        "form feed in front": b"\x0cchunked",
        "vertical tab behind": b"chunked\x0b",
        "NUL behind": b"chunked\0",
        "no-break space in front": b"\xa0chunked",
        "next line behind": b"chunked\x85",
        "x in front": b"xchunked",
        "cut": b"chunke",
        "soft hyphen": b"chun\xadked",
        "long s": b"chunked\xc5\xbf",
        "Kelvin sign": b"chun\xe2\x84\xaaed",
        "comma in front": b", chunked",
    }
    cases = {name: post(b"Transfer-Encoding: " + value, LONG, body=ENDED) for name, value in values.items()}
    return cases | {
        f"{name}, no length": post(b"Transfer-Encoding: " + v, body=ENDED) for name, v in values.items()
    }


def _lengths() -> dict[str, bytes]:
    size = len(HIDDEN)
    values = {
        "plus": b"+%d" % size,
        "minus": b"-%d" % size,
        "list of equals": b"%d, %d" % (size, size),
        "list of equals, no space": b"%d,%d" % (size, size),
        "list of two": b"%d, 0" % size,
        "hexadecimal": b"0x%x" % size,
        "decimal point": b"%d.0" % size,
        "exponent": b"4e1",
        "underscore": b"4_2",
        "two words": b"%d 0" % size,
        "vertical tab": b"\x0b%d" % size,
        "no-break space": b"\xa0%d" % size,
        "quoted": b'"%d"' % size,
        "NUL": b"%d\0" % size,
        "empty": b"",
        "superscript": b"4\xb2",
        "Arabic digits": "٤٢".encode(),
    }
    cases = {name: post(b"Content-Length: " + value, body=HIDDEN) for name, value in values.items()}
    return cases | {
        "two lines": post(b"Content-Length: 0", LENGTH, body=HIDDEN),
        "two equal lines": post(LENGTH, LENGTH, body=HIDDEN),
        "space before colon": post(b"Content-Length : %d" % size, body=HIDDEN),
        "folded": post(b"Content-Length:\r\n %d" % size, body=HIDDEN),
        "hidden by bare CR": post(b"X: x\rContent-Length: %d" % size, body=HIDDEN),
        "soft hyphen in the name": post(b"Content\xad-Length: %d" % size, body=HIDDEN),
    }


def _cl_0() -> dict[str, bytes]:
    starts = [
        b"GET /first", b"HEAD /first", b"POST /first", b"OPTIONS *", b"DELETE /first", b"OPTIONS /first", b"TRACE /first",
        b"GET /static/", b"POST /redirect", b"POST /error", b"POST /unread", b"PUT /%2e%2e/first", b"GET http://a.example/first",
    ]  # fmt: skip
    cases = {start.decode(): post(LENGTH, body=HIDDEN, start=start + b" HTTP/1.1") for start in starts}
    return cases | {
        f"chunked {start.decode()}": post(CHUNKED, body=IN_CHUNK, start=start + b" HTTP/1.1")
        for start in starts
    }


def _sizes() -> dict[str, bytes]:
    sizes = {
        "2**64 + 5": b"10000000000000005",
        "2**64": b"10000000000000000",
        "2**63": b"8000000000000000",
        "2**32 + 0, 16 digits": b"0000000100000000",
        "sixteen f": b"f" * 16,
        "a hundred digits": b"1" + b"0" * 99,
        "many zeros": b"0" * 20 + b"5",
        "plus": b"+5",
        "minus": b"-5",
        "0x": b"0x5",
        "0X": b"0X5",
        "underscore": b"0_5",
        "space in front": b" 5",
        "space behind": b"5 ",
        "tab behind": b"5\t",
        "vertical tab": b"\x0b5",
        "no digit": b"",
        "g": b"g",
        "comma": b"5,5",
        "no-break space": b"5\xa0",
        "full width digit": b"\xef\xbc\x95",
        "NUL": b"5\0",
    }
    return {name: chunks(size + b"\r\nhello\r\n" + ENDED) for name, size in sizes.items()}


def _extensions() -> dict[str, bytes]:
    lines = {
        "LF in the extension": b"5;\nhello\r\n",
        "LF behind the name": b"5;a\n",
        "LF instead of CRLF": b"5\nhello\r\n",
        "CR in the extension": b"5;a\rb\r\n",
        "CR CR LF": b"5\r\r\n",
        "NUL": b"5;a\0b\r\n",
        "open quote over the line": b'5;a="\r\n',
        "quoted line end": b'5;a="\r\nb"\r\n',
        "escaped line end": b'5;a="\\\r\n"\r\n',
        "no name": b"5;\r\n",
        "value without name": b"5;=b\r\n",
        "two equals": b"5;a==b\r\n",
        "space in the name": b"5;a b\r\n",
        "too long": b"5;" + b"a" * 300 + b"\r\n",
        "control": b"5;a=\x1b\r\n",
    }
    return {name: chunks(line + b"hello\r\n" + ENDED) for name, line in lines.items()}


def _chunk_ends() -> dict[str, bytes]:
    ends = {
        "LF": b"\n",
        "CR": b"\r",
        "none": b"",
        "two bytes more": b"XX\r\n",
        "LF CR": b"\n\r",
        "space CRLF": b" \r\n",
    }
    cases = {name: chunks(b"5\r\nhello" + end + ENDED) for name, end in ends.items()}
    return cases | {
        "size one less": chunks(b"4\r\nhello\r\n" + ENDED),
        "size one more": chunks(b"6\r\nhello\r\n" + ENDED),
        "last chunk, LF": chunks(b"0\n\n" + HIDDEN),
        "last chunk, CRLF LF": chunks(b"0\r\n\n" + HIDDEN),
        "last chunk, no empty line": chunks(b"0\r\n" + HIDDEN),
        "last chunk with data": chunks(b"0\r\nX\r\n\r\n" + HIDDEN),
    }


def _trailers() -> dict[str, bytes]:
    lines = {
        "Content-Length": LENGTH,
        "Transfer-Encoding": CHUNKED,
        "Host": b"Host: b.example",
        "coding in odd case": b"tRANSFER-eNCODING: chunked",
        "space before colon": b"Content-Length : 5",
        "folded": b"X: a\r\n Content-Length: 5",
        "bare LF": b"X: a\nContent-Length: 5",
        "bare LF twice": b"X: a\n\n" + HIDDEN,
        "bare CR": b"X: a\r\rGET /hidden HTTP/1.1",
        "NUL": b"X: \0",
        "no colon": b"X",
        "a request": b"GET /hidden HTTP/1.1",
    }
    return {name: chunks(b"0\r\n" + line + b"\r\n\r\n" + HIDDEN) for name, line in lines.items()}


def _line_ends() -> dict[str, bytes]:
    get = b"GET /first HTTP/1.1"
    return {
        "LF everywhere": get + b"\nHost: a.example\n\n" + HIDDEN,
        "LF behind the request line": get + b"\nHost: a.example\r\n\r\n" + HIDDEN,
        "CR behind the request line": get + b"\rHost: a.example\r\n\r\n" + HIDDEN,
        "LF at the end of the head": get + b"\r\nHost: a.example\r\n\n" + HIDDEN,
        "LF LF in a value": get + b"\r\nHost: a.example\r\nX: a\n\n" + HIDDEN,
        "CR CR": get + b"\r\nHost: a.example\r\r" + HIDDEN,
        "CR CR LF": get + b"\r\r\nHost: a.example\r\n\r\n" + HIDDEN,
        "LF CR LF": get + b"\r\nHost: a.example\r\n\n\r\n" + HIDDEN,
        "CR in a value": get + b"\r\nHost: a.example\r\nX: a\rGET /hidden HTTP/1.1\r\n\r\n",
        "NUL in a value": get + b"\r\nHost: a.example\r\nX: a\0\r\n\r\n" + HIDDEN,
        "next line for line end": get + b"\x85Host: a.example\r\n\r\n" + HIDDEN,
        "line separator": get + "\u2028".encode() + b"Host: a.example\r\n\r\n" + HIDDEN,
        "two empty lines first": b"\r\n\r\n" + get + b"\r\nHost: a.example\r\n\r\n" + HIDDEN,
        "LF first": b"\n" + get + b"\r\nHost: a.example\r\n\r\n" + HIDDEN,
    }


def _folds() -> dict[str, bytes]:
    lines = {
        "coding": b"Transfer-Encoding:\r\n chunked",
        "coding, tab": b"Transfer-Encoding:\r\n\tchunked",
        "second word": b"Transfer-Encoding: chunked\r\n , identity",
        "behind another": b"X: a\r\n Transfer-Encoding: chunked",
        "length": b"Content-Length: 1\r\n 0",
        "only white space": b"X: a\r\n ",
        "empty line of white space": b"X: a\r\n \r\n\r\n",
    }
    cases = {name: post(line, body=ENDED) for name, line in lines.items()}
    return cases | {
        "first line": b"GET /first HTTP/1.1\r\n Host: a.example\r\n" + HOST + b"\r\n\r\n" + HIDDEN
    }


def _targets() -> dict[str, bytes]:
    def get(target: bytes, *fields: bytes) -> bytes:
        return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *fields, b"", b""]) + HIDDEN

    return {
        "absolute without Host": get(b"http://a.example/first"),
        "absolute and two Hosts": get(b"http://a.example/first", HOST, HOST),
        "absolute and a bad Host": get(b"http://a.example/first", b"Host: a b"),
        "absolute with user": get(b"http://u@a.example/first", HOST),
        "absolute without host": get(b"http:///first", HOST),
        "other scheme": get(b"gopher://a.example/first", HOST),
        "authority": get(b"a.example:80", HOST),
        "relative": get(b"first", HOST),
        "two different Hosts": get(b"/first", HOST, b"Host: b.example"),
        "Host with a path": get(b"/first", b"Host: a.example/hidden"),
        "Host with a space": get(b"/first", b"Host: a.example b.example"),
        "Host list": get(b"/first", b"Host: a.example,b.example /"),
        "no Host": get(b"/first"),
        "space before Host's colon": get(b"/first", b"Host : a.example"),
        "space in the target": get(b"/first HTTP/1.1 /x", HOST),
        "tab in the target": get(b"/first\tHTTP/1.1", HOST),
    }


def _versions() -> dict[str, tuple[int, bytes]]:
    def get(version: bytes) -> bytes:
        return b"GET /first " + version + b"\r\nHost: a.example\r\n\r\n" + HIDDEN

    return {
        "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN),
        "HTTP/2.0": (505, get(b"HTTP/2.0")),
        "HTTP/3.0": (505, get(b"HTTP/3.0")),
        "HTTP/0.9": (505, get(b"HTTP/0.9")),
        "HTTP/0.9 without a version": (400, b"GET /first\r\n" + HIDDEN),
        "HTTP/1.10": (400, get(b"HTTP/1.10")),
        "HTTP/01.1": (400, get(b"HTTP/01.1")),
        "HTTP/1.1 and a space": (400, get(b"HTTP/1.1 ")),
        "http/1.1": (400, get(b"http/1.1")),
        "HTTP/1,1": (400, get(b"HTTP/1,1")),
        "TLS": (400, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" + HIDDEN),
        "PROXY protocol": (400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HIDDEN),
        "CONNECT": (501, b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n" + HIDDEN),
    }


def _ended() -> dict[str, bytes]:
    """Connections that end behind the first request: what follows is not read."""
    options = {
        "close": b"Connection: close",
        "close in a list": b"Connection: close, TE",
        "close last": b"Connection: keep-alive, close",
        "close in the second line": b"Connection: TE\r\nConnection: close",
        "Close": b"connection: CLOSE",
        "empty members": b"Connection: , close ,",
    }
    cases = {name: post(line, b"Content-Length: 0") + HIDDEN for name, line in options.items()}
    return cases | {
        "HTTP/1.0": b"GET /first HTTP/1.0\r\nHost: a.example\r\n\r\n" + HIDDEN,
        "HTTP/1.0 and another option": b"GET /first HTTP/1.0\r\nConnection: TE\r\n\r\n" + HIDDEN,
    }


def _early_ends() -> dict[str, bytes]:
    """The client ends its direction in the middle: half a request is none."""
    return {
        "length": post(b"Content-Length: %d" % (len(HIDDEN) + 1), body=HIDDEN),
        "length, nothing sent": post(LENGTH),
        "chunk": chunks(b"%x\r\n" % (len(HIDDEN) + 1) + HIDDEN),
        "chunk end": chunks(b"5\r\nhello"),
        "no last chunk": chunks(b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN)),
        "last chunk": chunks(b"0\r\n"),
        "trailers": chunks(b"0\r\nX: a\r\n"),
        "size": chunks(b"5"),
        "head": HIDDEN[:-2],
        "request line": HIDDEN[:10],
    }


def _disguised() -> dict[str, bytes]:
    """The body is counted right whatever else is said."""
    return {
        "h2c upgrade": post(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQ",
            LENGTH,
            body=HIDDEN,
        ),
        "websocket upgrade": post(b"Connection: Upgrade", b"Upgrade: websocket", LENGTH, body=HIDDEN),
        "underscore length": post(b"Content_Length: 0", LENGTH, body=HIDDEN),
        "underscore coding": post(b"Transfer_Encoding: chunked", LENGTH, body=HIDDEN),
        "method override": post(b"X-HTTP-Method-Override: GET", LENGTH, body=HIDDEN),
        "length hop by hop": post(b"Connection: Content-Length", LENGTH, body=HIDDEN),
        "coding hop by hop": post(b"Connection: Transfer-Encoding", CHUNKED, body=IN_CHUNK),
        "expect": post(b"Expect: 100-continue", LENGTH, body=HIDDEN),
        "te": post(b"TE: chunked", LENGTH, body=HIDDEN),
        "HTTP/1.2": post(LENGTH, body=HIDDEN, start=b"POST /first HTTP/1.2"),
        "absolute against Host": post(LENGTH, body=HIDDEN, start=b"POST http://b.example/first HTTP/1.1"),
        "leading zeros": post(b"Content-Length: 000%d" % len(HIDDEN), body=HIDDEN),
        "empty line first": b"\r\n" + post(LENGTH, body=HIDDEN),
        "chunk extension": chunks(b"%x;GET=hidden\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    }


def _refused(family: str, cases: dict[str, bytes], status: int = 400, **other: int) -> list[Case]:
    return [
        Case(family, name, wire, other.get(name.replace(" ", "_"), status)) for name, wire in cases.items()
    ]


def _served(family: str, cases: dict[str, bytes]) -> list[Case]:
    return [Case(family, name, wire, 0, 1) for name, wire in cases.items()]


EARLY_END = "early end of a message"

CASES = [
    *_refused("CL.TE", _cl_te()),
    *_refused("TE.CL", _te_cl()),
    *_refused("TE.TE", _te_te()),
    *_refused("forms of Transfer-Encoding", _codings()),
    *_refused("forms of Content-Length", _lengths()),
    *_served("CL.0", _cl_0()),
    *_refused("chunk size", _sizes()),
    *_refused("chunk extension", _extensions()),
    *_refused("chunk end", _chunk_ends()),
    *_refused("trailers", _trailers()),
    *_refused("bare CR and LF", _line_ends()),
    *_refused("obs-fold", _folds()),
    *_refused("target against Host", _targets()),
    *[Case("versions and prefaces", name, wire, status) for name, (status, wire) in _versions().items()],
    *_served("end of the connection", _ended()),
    *_refused(EARLY_END, _early_ends()),
    *_served("disguised bodies", _disguised()),
]
