"""`[server] request_handler`: the points of extension in a running server, and what is told when they cannot be used."""

from __future__ import annotations

import socket
import struct

import pytest

from support.server import ServerFactory


@pytest.mark.parametrize("threads", [1, 2])
def test_a_handler_of_ones_own(serve: ServerFactory, threads: int) -> None:
    server = serve(
        "handled:app", threads=threads, settings={"server": {"request_handler": "handled:Handler"}}
    )
    answer = server.get("/a?b", [("X-Site", "side")])
    assert answer.text == "side shop/1.4"
    assert answer.all("Server") == ["shop/1.4 (hand-made)"]
    told = {"request": "GET /a?b HTTP/1.1", "client": "somebody"}
    server.wait_for_event("handler", message="/a?b begins", **told)
    server.wait_for_event("handler", message=f"/a?b: 200, {len(answer.body)} bytes, timed", **told)

    assert server.get("/broken").status == 500
    failed = server.wait_for_event("request_failed", client="somebody")
    assert failed["error"] == "RuntimeError: broken application"
    server.wait_for_event("handler", message="that was request_failed")

    with server.connect() as client:
        client.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_exactly(50_000)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.wait_for_event("handler", message="Oh: /endless dropped")


def test_the_settings_have_the_last_word(serve: ServerFactory) -> None:
    server = serve(
        "handled:app", settings={"server": {"request_handler": "handled:Handler", "server_header": ""}}
    )
    answer = server.get()
    assert answer.text == "main shop/1.4"
    assert answer.all("Server") == []


def test_a_handler_that_cannot_say_who_it_is(server_factory: ServerFactory) -> None:
    server = server_factory(
        {"app": {"target": "handled:app"}, "server": {"request_handler": "handled:Nameless"}}
    )
    assert server.wait() == 3
    assert "Nameless.version_string() raised AttributeError" in server.log.text
