"""The control protocol: one document a line, bounded, and errors that help who writes a client."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.ipc import control
from prefork.ipc.control import Lines, Progress, ProtocolError, Result, decode_reply, decode_request, encode

REQUESTS = [
    control.StatusRequest(),
    control.ReloadRequest(wait=True),
    control.RollbackRequest(),
    control.ScaleRequest(to=4),
    control.ScaleRequest(by=-2),
    control.RecycleRequest(worker=3),
    control.StopRequest(fast=True),
    control.StopRequest(delay_s=10.0),
    control.DrainRequest(delay_s=2.5, wait=False),
    control.PauseRequest(),
    control.ResumeRequest(),
    control.ReopenLogsRequest(),
    control.StacksRequest(),
    control.UpgradeRequest(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_comes_out_as_it_went_in(request_: control.AnyRequest) -> None:
    line = encode(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= control.MAX_REQUEST
    assert decode_request(line) == request_


def test_every_request_has_a_test() -> None:
    assert {type(each) for each in REQUESTS} == set(control.Request.__subclasses__())


def test_a_result_carries_any_document() -> None:
    reply = decode_reply(encode(Result(ok=True, data=msgspec.Raw(b'{"a":[1,2]}'))))
    assert isinstance(reply, Result)
    assert msgspec.json.decode(reply.data) == {"a": [1, 2]}


def test_progress_carries_what_has_no_form_in_json_as_text() -> None:
    reply = decode_reply(
        encode(Progress(level="info", event="listening", fields={"address": ValueError("x")}))
    )
    assert isinstance(reply, Progress)
    assert reply.fields == {"address": "x"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"", "no request"),
        (b"GET / HTTP/1.1\r", "no request"),
        (b"{}", "command"),
        (b'{"command":"reboot"}', "reboot"),
        (b'{"command":"scale","to":"4"}', "to"),
        (b'{"command":"reload","wait":1}', "wait"),
        (b'{"command":"reload","wiat":true}', "wiat"),
        (b'{"command":"status","v":2}', "version 1"),
        (b'{"command":"status"}x', "no request"),
        (b"[" * 3000, "no request"),
        (b'{"command":"\xff"}', "no request"),
    ],
)
def test_anything_else_is_refused_with_the_reason(line: bytes, word: str) -> None:
    with pytest.raises(ProtocolError, match=word):
        decode_request(line)


@given(st.binary(max_size=200))
def test_no_bytes_lead_to_another_error(data: bytes) -> None:
    try:
        decode_request(data)
    except ProtocolError as error:
        assert str(error).isprintable()


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_do_not_depend_on_where_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    receiver = Lines(20)
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += receiver.feed(stream[:size])
        stream = stream[size:]
    assert found == lines


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_refused_before_and_at_its_end(end: bytes) -> None:
    Lines(10).feed(b"x" * 10 + end)
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        Lines(10).feed(b"x" * 11 + end)
