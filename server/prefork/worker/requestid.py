"""A name for each request, to find it again in the logs of everybody it went through.

Owns: whose word is taken for it, and new ones. Runs in the worker: loop thread. Must not know: logs.

`prefork.request_id` is the X-Request-ID of a proxy that `[proxy] trusted` names, if it looks like an id; else a new one: 128
random bits. Random enough to be unique, not to be a secret.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from typing import Any

Step = Callable[[dict[str, Any]], None]
"""Changes the environ of a request."""

KEY = "prefork.request_id"

_LOOKS_LIKE_ONE = re.compile(r"[!-~]{1,200}").fullmatch


def request_id_steps(wanted: bool, correct: Step | None) -> tuple[Step | None, Step | None]:
    """What is done to the environ of each request, first of trusted peers, then of all others. `correct`: what is done to those
    of trusted peers anyway. None: nothing, at no cost."""
    if not wanted:
        return correct, None
    # Of this process: a generator that was seeded before the fork would give all workers the same names.
    bits = random.Random(os.urandom(32)).getrandbits

    def name(environ: dict[str, Any]) -> None:
        environ[KEY] = f"{bits(128):032x}"

    def believe(environ: dict[str, Any]) -> None:
        told = environ.get("HTTP_X_REQUEST_ID")
        environ[KEY] = told if told and _LOOKS_LIKE_ONE(told) else f"{bits(128):032x}"
        if correct is not None:
            correct(environ)

    return believe, name
