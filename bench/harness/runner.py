"""Starts servers that have no command line, or none with all their settings: runner.py SERVER TARGET PORT THREADS."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Never returns while the server runs."""
    name, target, port, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if name == "floor":
        run_floor(port)
    sys.path[0] = os.getcwd()  # noqa: PTH109
    module, _, attribute = target.partition(":")
    application = getattr(importlib.import_module(module), attribute)
    if name == "bjoern":
        import bjoern

        bjoern.run(application, "127.0.0.1", port)
    elif name == "fastwsgi":
        import fastwsgi

        fastwsgi.run(wsgi_app=application, host="127.0.0.1", port=port, loglevel=0)
    elif name == "waitress":
        import waitress

        waitress.serve(
            application, host="127.0.0.1", port=port, threads=threads, connection_limit=10000, _quiet=True
        )
    elif name == "cheroot":
        from cheroot.wsgi import Server

        Server(("127.0.0.1", port), application, numthreads=threads, request_queue_size=1024).start()


def run_floor(port: int) -> NoReturn:
    """The C program beside this file, built anew; it takes the place of this process."""
    program = Path(tempfile.mkdtemp(prefix="prefork-floor-")) / "floor"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("floor.c")], check=True)
    image = os.memfd_create("floor", 0)
    os.write(image, program.read_bytes())
    shutil.rmtree(program.parent)
    os.execve(image, ["floor", str(port)], os.environ)


main()
