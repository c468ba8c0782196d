"""The zygote of `prefork --dev`: the environment, and libraries that are imported before the application.

Owns: both. Runs in: zygote, before its first fork. Must not know: the master, how workers are forked.

The application itself is never imported here: its workers do that, each anew.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import Path

from prefork.dev import dotenv
from prefork.dev.files import FileSet
from prefork.dev.libraries import libraries
from prefork.settings.model import Settings


def prepare_environment(settings: Settings) -> list[str]:
    """Variables of `.env` files, and those that tell frameworks of development; returns a line for whatever is wrong."""
    values, problems = dotenv.read(env_files(settings))
    dotenv.apply(values, os.environ)
    os.environ.setdefault("FLASK_DEBUG", "1")
    # `app.run()` at the end of a module must not start another server, and modules that ask whether they are the process that
    # serves (Werkzeug's reloader has one that only watches) are.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    os.environ["WERKZEUG_RUN_MAIN"] = "true"
    return problems


def env_files(settings: Settings) -> list[Path]:
    """In the application's directory, which is the current one by now."""
    return [Path.cwd() / name for name in settings.dev.env_files]


def import_libraries(settings: Settings) -> int:
    """Import what the application will; returns how many modules that were. One that fails will fail again where it is told."""
    module = settings.app.target.partition(":")[0]
    is_installed = FileSet().is_installed
    before = len(sys.modules)
    for name in libraries(module, is_installed):
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001 - a library may raise anything; the worker says what
            continue
    gc.collect()
    return len(sys.modules) - before
