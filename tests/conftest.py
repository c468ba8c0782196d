"""Fixtures of all tests that need a running server."""

from __future__ import annotations

import compileall
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import prefork
from support import measured as measurements
from support import processes
from support.gate import Gate
from support.measured import Measured
from support.server import Server, ServerFactory


def pytest_configure(config: pytest.Config) -> None:
    """Every test finds the same world, however the run was started."""
    # As pip does when it installs a package: servers under test write no byte code, and would compile 300 ms each time.
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(prefork.__file__).parent, quiet=2)
    # A shell ignores both for what it runs in the background (POSIX, Shell Command Language, 2.11): so would all that we start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _adopt_orphans() -> None:
    """Whatever outlives a server under test becomes our child, where the teardown finds it."""
    processes.become_subreaper()


@pytest.fixture(scope="module")
def module_server_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Like `server_factory`, for servers that the tests of one module share."""
    with ExitStack() as stack:
        yield _factory(stack, lambda: tmp_path_factory.mktemp("server"))


@pytest.fixture
def server_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Start servers: `server_factory(settings, argv=…, …)` returns a `Server` that may not be ready yet."""
    with ExitStack() as stack:
        yield _factory(stack, lambda: tmp_path_factory.mktemp("server"))


@pytest.fixture
def serve(server_factory: ServerFactory) -> ServerFactory:
    """Serve an application of `tests/apps` and wait until it answers: `serve("echo:app", workers=2, …)`.

    Keyword `settings` holds further tables, laid over what the other arguments say.
    """

    def start(
        target: str,
        *,
        workers: int = 1,
        threads: int = 1,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Server:
        tables: dict[str, dict[str, Any]] = {
            "app": {"target": target},
            "workers": {"count": workers, "threads": threads},
        }
        for table, entries in (settings or {}).items():
            tables.setdefault(table, {}).update(entries)
        return server_factory(tables, **options).wait_ready()

    return start


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Print a sentence with a number at the end of the run: `measured(f"worst: {ms} ms")`."""
    return lambda text: record_property(measurements.PROPERTY, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Called by pytest at the end of the run."""
    measurements.report(terminalreporter)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that an application waits at until the test opens it."""
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


def _factory(stack: ExitStack, new_directory: Callable[[], Path]) -> ServerFactory:
    def start(settings: Mapping[str, Mapping[str, Any]] | None = None, **options: Any) -> Server:
        directory = options.pop("directory", None) or new_directory()
        server = Server(directory, settings or {}, **options)
        stack.callback(server.close)
        return server

    return start
