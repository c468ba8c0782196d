"""`run_simple(use_reloader=True)` at a terminal: Ctrl-C goes to both processes, whatever they are at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import prefork
from support.deadline import DEADLINE_S, SLOWNESS

PROGRAM = """
import os, signal, sys
import prefork

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

is_child = os.environ.get("WERKZEUG_RUN_MAIN") == "true"
if is_child and sys.argv[1] == "while it is imported":
    signal.raise_signal(signal.SIGINT)  # ours comes first: the parent's SIGTERM must not hide what it does
    os.killpg(0, signal.SIGINT)
elif is_child:
    from prefork.dev.server import WSGIServer
    # The very moment at which the serving thread begins, and the main thread waits for it to.
    begin = WSGIServer.serve_forever
    def serve_forever(self, *arguments):
        os.killpg(0, signal.SIGINT)
        begin(self, *arguments)
    WSGIServer.serve_forever = serve_forever
prefork.run_simple("127.0.0.1", 0, app, use_reloader=True, reloader_type="stat")
"""


@pytest.mark.parametrize("moment", ["while it is imported", "as it begins to serve"])
def test_a_ctrl_c_is_never_a_traceback(moment: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, program, moment],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(prefork.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "Press CTRL+C to quit" in output
    assert "Traceback" not in output
    assert process.returncode == 0
