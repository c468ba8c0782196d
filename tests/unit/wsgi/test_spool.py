"""Where temporary files go when the usual places cannot be written to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from prefork.wsgi import spool


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    spool._place.cache_clear()
    yield
    spool._place.cache_clear()


def place_of(file: IO[bytes]) -> Path:
    return Path(f"/proc/self/fd/{file.fileno()}").readlink().parent


def nowhere() -> str:
    raise FileNotFoundError(2, "No usable temporary directory found")


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with spool.temporary_file("prefork-test-") as file:
        file.write(b"x" * 100_000)
        assert place_of(file) == tmp_path
        assert list(tmp_path.iterdir()) == [], "it has no name"


def test_shared_memory_where_there_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(spool, "SHARED_MEMORY", str(tmp_path))
    with spool.temporary_file("prefork-test-") as file:
        assert place_of(file) == tmp_path


def test_no_place_at_all_says_what_to_do_and_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(spool, "SHARED_MEMORY", str(tmp_path / "missing"))
    for _ in range(2):
        with pytest.raises(OSError, match=r"mount one at /tmp or .*missing, or set TMPDIR"):
            spool.temporary_file("prefork-test-")
    (tmp_path / "missing").mkdir()
    spool.temporary_file("prefork-test-").close()
