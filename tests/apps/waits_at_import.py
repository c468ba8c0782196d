"""Its import takes until the test opens the gate named by the environment variable GATE."""

from __future__ import annotations

import os

from gates import wait_at

wait_at(os.environ["GATE"])


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here\n"]
