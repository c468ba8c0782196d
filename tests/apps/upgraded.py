"""Answers with the release it is: what the file named in `RELEASE_FILE` held when it was imported. Takes any body."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RELEASE = Path(os.environ["RELEASE_FILE"]).read_bytes()


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(RELEASE)))])
    return [RELEASE]
