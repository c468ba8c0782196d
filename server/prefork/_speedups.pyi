from collections.abc import Callable, Sequence
from typing import Any

from prefork.http.limits import Limits
from prefork.http.request_line import RequestHead
from prefork.http.response import ResponseHead

def parse_head(block: bytes, limits: Limits, environ: dict[str, Any], /) -> RequestHead: ...
def build_head(status: str, headers: Sequence[tuple[str, str]], /) -> ResponseHead: ...
def prepare_requests(
    read_all: Callable[[bytes, Limits, dict[str, Any]], RequestHead],
    read_line: Callable[[str, dict[str, Any]], RequestHead],
    read_field: Callable[[str, dict[str, Any]], None],
    obey: Callable[[RequestHead, dict[str, Any]], None],
    request_head: type[RequestHead],
    names: dict[str, str],
    methods: tuple[str, ...],
    classes: bytes,
    /,
) -> None: ...
def prepare_responses(
    build_all: Callable[[str, Sequence[tuple[str, str]]], ResponseHead],
    response_head: type[ResponseHead],
    statuses: dict[str, int],
    kinds: dict[str, int],
    special: dict[str, int],
    classes: bytes,
    /,
) -> None: ...
