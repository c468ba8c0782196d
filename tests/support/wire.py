"""What a client makes of the bytes of a response: h11 is the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field

import h11


@dataclass
class Answer:
    """One final response as a client sees it."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    http_version: bytes
    body: bytes = b""
    interim: list[h11.InformationalResponse] = field(default_factory=list)

    def all(self, name: str) -> list[bytes]:
        """The values of every field `name`."""
        return [value for key, value in self.headers if key == name.lower().encode()]

    def one(self, name: str) -> bytes | None:
        """The value of the field `name`, None when there is none; an error when there are several."""
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None


class WireError(AssertionError):
    """The bytes are not what they should be."""


def parse_answers(raw: bytes, *methods: str, closed: bool = True) -> list[Answer]:
    """The responses in `raw` to requests with these methods, one each. WireError: h11 refuses it, or bytes are missing or
    left over. `closed`: the server closed the connection behind the last byte.
    """
    answers = []
    for number, method in enumerate(methods or ("GET",), 1):
        last = number == max(len(methods), 1)
        answer, raw = _parse_one(raw, method, closed=closed and last)
        answers.append(answer)
    if raw:
        raise WireError(f"{len(raw)} bytes behind the last response: {raw[:80]!r}")
    return answers


def parse_answer(raw: bytes, method: str = "GET", *, closed: bool = True) -> Answer:
    """The only response in `raw`."""
    return parse_answers(raw, method, closed=closed)[0]


def _parse_one(raw: bytes, method: str, *, closed: bool) -> tuple[Answer, bytes]:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 24)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "test")]))
    client.send(h11.EndOfMessage())
    try:
        client.receive_data(raw)
        if closed and raw:
            client.receive_data(b"")
        return _events(client), client.trailing_data[0]
    except h11.RemoteProtocolError as error:
        raise WireError(f"{error}: {raw[:200]!r}") from error


def _events(client: h11.Connection) -> Answer:
    answer: Answer | None = None
    interim = []
    while True:
        event = client.next_event()
        if isinstance(event, h11.InformationalResponse):
            interim.append(event)
        elif isinstance(event, h11.Response):
            headers = [(bytes(name), bytes(value)) for name, value in event.headers]
            answer = Answer(
                event.status_code, bytes(event.reason), headers, bytes(event.http_version), interim=interim
            )
        elif isinstance(event, h11.Data):
            assert answer is not None
            answer.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert answer is not None
            return answer
        else:
            raise WireError(f"the response is not complete: {event!r}, so far {answer}")
