"""Applications that do not come up: one clear line, exit code 3, nothing left (the fixture checks that)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from support.server import Server, ServerFactory

PRELOAD = ["auto", "never"]


def start(
    server_factory: ServerFactory, fault: str, *, target: str = "faulty:app", preload: str = "auto"
) -> Server:
    return server_factory(
        {
            "app": {"target": target, "preload": preload, "env": {"FAULT": fault}},
            "workers": {"count": 2, "boot_timeout": 1 if fault == "hang" else 60},
        }
    )


def boot_failure(server: Server) -> dict[str, str]:
    """Wait for the end; the one line that says why."""
    assert server.wait() == 3
    (fields,) = server.log.events("boot_failed")
    return fields


@pytest.mark.parametrize("preload", PRELOAD)
@pytest.mark.parametrize(
    ("fault", "stage", "error"),
    [
        ("raise", "import", "'faulty:app': RuntimeError: the database is gone"),
        ("exit", "import", r"'faulty:app': called sys\.exit\(7\)"),
        ("interrupt", "import", "'faulty:app': KeyboardInterrupt"),
        ("os_exit", "boot", "the (zygote|worker) ended before it was ready: exit code 5"),
        (
            "segfault",
            "boot",
            r"the (zygote|worker) ended before it was ready: signal 11 \(SIGSEGV\), peak memory [0-9]+MiB",
        ),
        (
            "killed",
            "boot",
            r"the (zygote|worker) ended before it was ready: signal 9 \(SIGKILL\), killed from outside.*",
        ),
        ("hang", "boot", "the (zygote|worker) was not ready after boot_timeout = 1s"),
    ],
)
def test_a_failed_import_ends_a_first_start_with_its_reason(
    server_factory: ServerFactory, fault: str, stage: str, error: str, preload: str
) -> None:
    failure = boot_failure(start(server_factory, fault, preload=preload))
    assert failure["stage"] == stage
    assert re.fullmatch(error, failure["error"])


@pytest.mark.parametrize("preload", PRELOAD)
@pytest.mark.parametrize(
    ("target", "stage", "error"),
    [
        ("faulty:number", "callable", "is a int, not a callable"),
        ("faulty:asgi", "callable", "is an ASGI application"),
        ("faulty:create_app", "callable", r"if it makes the application, write faulty:create_app\(\)"),
        ("faulty:ap", "lookup", "did you mean 'app'"),
        ("faulty_:app", "import", "no module named 'faulty_'"),
    ],
)
def test_a_wrong_target_is_explained(
    server_factory: ServerFactory, target: str, stage: str, error: str, preload: str
) -> None:
    failure = boot_failure(start(server_factory, "", target=target, preload=preload))
    assert failure["stage"] == stage
    assert re.search(error, failure["error"])


@pytest.mark.parametrize("preload", PRELOAD)
@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("raise", r'raise RuntimeError\("the database is gone"\)'),
        ("segfault", r"faulty\.py.*line \d+ in <module>"),
        ("hang", r"faulty\.py.*line \d+ in hang"),
    ],
)
def test_the_log_names_the_line_of_the_application(
    server_factory: ServerFactory, fault: str, line: str, preload: str
) -> None:
    server = start(server_factory, fault, preload=preload)
    boot_failure(server)
    shown = [fields["line"] for fields in server.log.events("traceback")]
    assert any(re.search(line, text) for text in shown), shown


@pytest.mark.parametrize("fault", ["raise", "segfault", "hang"])
def test_frames_of_the_server_and_the_import_system_are_not_shown(
    server_factory: ServerFactory, fault: str
) -> None:
    server = start(server_factory, fault)
    boot_failure(server)
    shown = "\n".join(fields["line"] for fields in server.log.events("traceback"))
    assert "faulty.py" in shown
    assert "importlib" not in shown
    assert "/prefork/" not in shown


def test_a_python_without_the_server_is_explained(server_factory: ServerFactory, bare_python: str) -> None:
    server = server_factory({"app": {"target": "faulty:app", "python": bare_python}})
    failure = boot_failure(server)
    assert failure["stage"] == "python"
    assert "prefork cannot be imported by" in failure["error"]


@pytest.fixture
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Python in whose environment prefork is not installed."""
    directory = tmp_path_factory.mktemp("bare")
    wrapper = directory / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    wrapper.chmod(0o755)
    yield str(wrapper)
