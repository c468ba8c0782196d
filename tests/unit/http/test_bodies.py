"""The two body decoders on their own: one interface, one behaviour at the end."""

from __future__ import annotations

import pytest

from prefork.http.chunked import ChunkedDecoder
from prefork.http.errors import ProtocolError
from prefork.http.fixed import FixedDecoder
from prefork.http.limits import MAX_CHUNK_EXTENSION, MAX_CHUNK_EXTENSIONS, MAX_TRAILER_BYTES, MAX_TRAILERS


@pytest.mark.parametrize("decoder", [FixedDecoder(5), ChunkedDecoder(0)], ids=["fixed", "chunked"])
def test_rest_begins_where_the_body_ends(decoder: FixedDecoder | ChunkedDecoder) -> None:
    coded = b"hello" if isinstance(decoder, FixedDecoder) else b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    assert not decoder.complete
    assert decoder.feed(coded[:-1]) + decoder.feed(coded[-1:] + b"GET /") == b"hello"
    assert decoder.complete
    assert decoder.rest == b"GET /"


@pytest.mark.parametrize("decoder", [FixedDecoder(5), ChunkedDecoder(0)], ids=["fixed", "chunked"])
def test_nothing_in_nothing_out(decoder: FixedDecoder | ChunkedDecoder) -> None:
    assert decoder.feed(b"") == b""
    assert not decoder.complete
    assert decoder.rest == b""


def test_a_fixed_body_of_nothing_is_complete() -> None:
    assert FixedDecoder(0).complete


def test_total_is_known_when_a_chunk_is_announced() -> None:
    decoder = ChunkedDecoder(0)
    decoder.feed(b"5\r\nab")
    assert decoder.total == 5
    decoder.feed(b"cde\r\n3\r\n")
    assert decoder.total == 8


def test_empty_pieces_between_chunks() -> None:
    decoder = ChunkedDecoder(0)
    content = b"".join(
        decoder.feed(piece) for piece in (b"1\r\na", b"", b"\r\n", b"", b"0\r\n", b"", b"\r\n")
    )
    assert (content, decoder.complete) == (b"a", True)


def test_extensions_up_to_the_bounds() -> None:
    extension = b";" + b"a" * (MAX_CHUNK_EXTENSION - 1)
    decoder = ChunkedDecoder(0)
    for _ in range(MAX_CHUNK_EXTENSIONS // MAX_CHUNK_EXTENSION):
        assert decoder.feed(b"1" + extension + b"\r\nx\r\n") == b"x"
    with pytest.raises(ProtocolError, match="extensions too long"):
        decoder.feed(b"1;a\r\n")


def test_a_size_line_up_to_its_bound_in_pieces() -> None:
    line = b"000000000000001;" + b"a" * (MAX_CHUNK_EXTENSION - 1)
    decoder = ChunkedDecoder(0)
    for byte in line + b"\r":
        assert decoder.feed(bytes([byte])) == b""
    assert decoder.feed(b"\nx") == b"x"
    decoder = ChunkedDecoder(0)
    decoder.feed(line)
    with pytest.raises(ProtocolError) as caught:
        decoder.feed(b"aa")
    assert caught.value.status == 400


def test_trailers_up_to_the_bounds() -> None:
    decoder = ChunkedDecoder(0)
    decoder.feed(b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS + b"\r\n")
    assert decoder.complete
    line = b"A: " + b"b" * (MAX_TRAILER_BYTES - 5) + b"\r\n"
    decoder = ChunkedDecoder(0)
    decoder.feed(b"0\r\n" + line + b"\r\n")
    assert decoder.complete


def test_an_endless_trailer_line_is_refused_before_its_end() -> None:
    decoder = ChunkedDecoder(0)
    decoder.feed(b"0\r\nX: ")
    with pytest.raises(ProtocolError) as caught:
        for _ in range(MAX_TRAILER_BYTES // 1000 + 1):
            decoder.feed(b"a" * 1000)
    assert caught.value.status == 431
