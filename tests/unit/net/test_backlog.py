"""The kernel's limit on the accept queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.net.backlog import SOMAXCONN, effective_backlog


@pytest.mark.parametrize(
    ("content", "backlog", "expected"),
    [("128\n", 2048, 128), ("4096\n", 2048, 2048), ("2048\n", 2048, 2048), ("what\n", 7, 7)],
)
def test_limit(tmp_path: Path, content: str, backlog: int, expected: int) -> None:
    file = tmp_path / "somaxconn"
    file.write_text(content)
    assert effective_backlog(backlog, file) == expected


def test_without_the_file(tmp_path: Path) -> None:
    assert effective_backlog(2048, tmp_path / "missing") == 2048


def test_this_machine() -> None:
    assert effective_backlog(1 << 30) == int(SOMAXCONN.read_text())
