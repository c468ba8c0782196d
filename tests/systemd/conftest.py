"""A booted box for each process that runs tests, and a service in it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import box as boxes
from support.box import Box
from support.service import SITE, UNITS, Service


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    problem = boxes.problem(tmp_path_factory.mktemp("attempt"))
    if problem:
        pytest.skip(problem)
    booted = Box(tmp_path_factory.mktemp("box"))
    yield booted
    booted.stop()


@pytest.fixture
def service(box: Box) -> Iterator[Service]:
    yield Service(box)
    script = (
        "systemctl stop 'prefork*' reader.service; systemctl stop 'prefork*.socket'; "
        f"rm -rf {UNITS}/prefork* {UNITS}/reader.service {UNITS}/box.target.wants /etc/prefork {SITE}; "
        "systemctl daemon-reload; systemctl reset-failed"
    )
    box.run("sh", "-c", script, check=False)
