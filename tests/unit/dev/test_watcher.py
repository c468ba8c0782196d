"""Changes of files: what is watched, and that none is missed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from prefork.dev.files import FileSet, python_files
from prefork.dev.stop import Stop
from prefork.dev.watcher import Change, Watcher


@pytest.fixture(params=["stat", "watchfiles"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "watchfiles":
        pytest.importorskip("watchfiles")
    return str(request.param)


def wait(watcher: Watcher) -> Change:
    change = watcher.wait(Stop())
    assert change is not None
    return change


def test_what_changed_since_it_was_made_is_told(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "shop.py"
    file.write_text("A = 1\n")
    watcher = Watcher(FileSet([str(tmp_path)]), kind=kind)  # type: ignore[arg-type]
    file.write_text("A = 22\n")
    assert wait(watcher).files == (str(file),)
    threading.Timer(0.05, lambda: file.write_text("A = 333\n")).start()
    assert wait(watcher).files == (str(file),)


def test_a_file_put_in_the_place_of_another_and_one_that_is_gone(tmp_path: Path) -> None:
    file, other = tmp_path / "shop.py", tmp_path / "new"
    for path in (file, other):
        path.write_text("A = 1\n")
        os.utime(path, ns=(1, 1))
    watcher = Watcher(FileSet([str(tmp_path)]), kind="stat")
    assert watcher.look() is None
    other.rename(file)
    change = watcher.look()
    assert change is not None
    assert change.files == (str(file),)
    file.unlink()
    change = watcher.look()
    assert change is not None
    assert change.files == (str(file),)
    assert watcher.look() is None


def test_extra_files_count_and_excluded_ones_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "de.po").write_text("")
    files = FileSet([str(tmp_path)], [str(texts), str(tmp_path / "missing.toml")], ["*/b.py"])
    watcher = Watcher(files, kind="stat")
    (tmp_path / "b.py").write_text("A = 1")
    assert watcher.look() is None
    (texts / "de.po").write_text("x")
    (tmp_path / "missing.toml").write_text("x")
    change = watcher.look()
    assert change is not None
    assert {Path(each).name for each in change.files} == {"de.po", "missing.toml"}


def test_environments_caches_and_hidden_directories_are_not_walked(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "node_modules", "venv", "shop"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert list(python_files(str(tmp_path))) == [str(tmp_path / "shop" / "a.py")]


def test_a_new_file_is_no_change_but_its_next_one_is(tmp_path: Path) -> None:
    now = 0.0
    watcher = Watcher(FileSet([str(tmp_path)]), kind="stat", clock=lambda: now)
    (tmp_path / "new.py").write_text("")
    now = 10.0
    assert watcher.look() is None
    (tmp_path / "new.py").write_text("A = 1")
    assert watcher.look() is not None


def test_the_end_of_the_wait() -> None:
    stop = Stop()
    stop.set()
    assert Watcher(FileSet([]), kind="stat").wait(stop) is None
