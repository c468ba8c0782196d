from collections.abc import Callable, Mapping
from typing import Any

class ApacheLine:
    def __init__(self, combined: bool, time_text: Callable[[int], str]) -> None: ...
    def write(
        self, environ: Mapping[str, Any], status: int, body_bytes: int, now_ns: int, /
    ) -> bytes | None: ...

class Batch:
    def __init__(
        self, line: ApacheLine, held: list[bytes], most: int, otherwise: Callable[..., None]
    ) -> None: ...
    def tell(
        self,
        environ: Mapping[str, Any],
        status: int,
        body_bytes: int,
        duration_ns: int,
        queued_ns: int = ...,
        bytes_in: int = ...,
        /,
    ) -> None: ...
