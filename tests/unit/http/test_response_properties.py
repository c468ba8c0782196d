"""Whatever an application gives, it is refused or arrives as exactly that: no response is ever split."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from prefork.http.response import InvalidResponseError, build_head, early_hints
from support.wire import parse_answer

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}

# Characters that make trouble are drawn often.
TROUBLE = '\r\n\t\x00\x0b\x0c\x1f\x7f\x80\x85\xa0\xff: ,;="\u2028\u0130\ud800'
trouble = st.sampled_from(TROUBLE)
text = st.text(
    st.one_of(trouble, st.characters(max_codepoint=0x2FF), st.sampled_from("abzAZ019-_")), max_size=12
)
NAMES = """Content-Type content-type Set-Cookie Location X-Own Content-Length CONTENT-LENGTH Connection connection
    Transfer-Encoding TE Upgrade Date Server""".split()
VALUES = ["close", "5", "0", "chunked", "a\r\nb: c", "\r\n\r\nHTTP/1.1 200 OK"]
names = st.one_of(st.sampled_from([*NAMES, "X\r\nY", "X\n"]), text)
values: st.SearchStrategy[Any] = st.one_of(text, st.sampled_from(VALUES), st.none(), st.binary(max_size=3))
statuses = st.one_of(
    st.sampled_from(
        ["200 OK", "204 No Content", "304 Not Modified", "404 Not Found", "200", "299 x\r\nA: b"]
    ),
    st.builds("{} {}".format, st.integers(190, 610), text),
    text,
)
headers = st.lists(st.tuples(names, values), max_size=6)


@given(statuses, headers)
@example("200 OK", [("X\r\nA", "b")])
@example("200 O\r\nA: b", [])
@example("200 OK", [("Content-Type", "\r")])
@example("200 OK", [("Content-Length", "1"), ("Content-length", "2")])
def test_refused_or_exactly_what_was_given(status: str, fields: list[tuple[str, Any]]) -> None:
    try:
        head = build_head(status, fields)
    except InvalidResponseError as error:
        assert "\n" not in str(error)  # one line of a log
        return
    assume((head.content_length or 0) < 1000)
    raw = head.block + b"\r\n" + bytes(head.content_length or 0 if head.has_body else 0)
    answer = parse_answer(raw)
    assert answer.status == head.status == int(status[:3])
    assert answer.reason == status[4:].encode("latin-1")
    expected = [
        (name.lower().encode(), value.strip(" \t").encode("latin-1"))
        for name, value in fields
        if name.lower() not in HOP_BY_HOP and not (head.status == 204 and name.lower() == "content-length")
    ]
    # h11 gives Content-Length as a canonical number or as it is, depending on its release.
    assert [f for f in answer.headers if f[0] != b"content-length"] == [
        f for f in expected if f[0] != b"content-length"
    ]
    assert [int(v) for v in answer.all("content-length")] == [
        int(v) for n, v in expected if n == b"content-length"
    ]


@given(headers)
def test_hints_are_refused_or_exactly_what_was_given(fields: list[tuple[str, Any]]) -> None:
    try:
        raw = early_hints(fields)
    except InvalidResponseError:
        return
    answer = parse_answer(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    (hints,) = answer.interim
    assert [(bytes(n), bytes(v)) for n, v in hints.headers] == [
        (name.lower().encode(), value.strip(" \t").encode("latin-1"))
        for name, value in fields
        if name.lower() not in HOP_BY_HOP | {"content-length"}
    ]
