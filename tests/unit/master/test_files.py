"""Log files and stacks: descriptors the master keeps for others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork.errors import ConfigError
from prefork.master.logfiles import LogFiles
from prefork.master.stacks import Stacks


def test_a_file_is_opened_once_and_streams_are_as_they_are(tmp_path: Path) -> None:
    files = LogFiles()
    path = str(tmp_path / "a.log")
    fd = files.open(path)
    assert files.open(path) == fd
    assert (files.open("stdout"), files.open("stderr")) == (1, 2)
    assert files.files_among([1, 2, None, fd]) == [fd]
    files.close_except(())
    with pytest.raises(OSError):
        os.fstat(fd)


def test_after_a_rotation_the_same_number_is_the_fresh_file(tmp_path: Path) -> None:
    files = LogFiles()
    path = tmp_path / "a.log"
    fd = files.open(str(path))
    os.write(fd, b"old\n")
    path.rename(tmp_path / "a.log.1")
    assert files.reopen() == []
    os.write(fd, b"new\n")
    assert path.read_text() == "new\n"
    assert not os.get_inheritable(fd)
    files.close_except(())


def test_who_opens_a_file_that_was_moved_away_gets_one_where_people_look(tmp_path: Path) -> None:
    files = LogFiles()
    path = tmp_path / "a.log"
    fd = files.open(str(path))
    path.rename(tmp_path / "a.log.1")
    assert files.open(str(path)) == fd
    os.write(fd, b"new\n")
    assert path.read_text() == "new\n"
    assert files.open(str(path)) == fd
    files.close_except(())


def test_a_file_that_cannot_be_reopened_stays(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    files = LogFiles()
    fd = files.open(str(directory / "a.log"))
    directory.rename(tmp_path / "gone")
    (error,) = files.reopen()
    assert isinstance(error, ConfigError)
    os.write(fd, b"still\n")
    assert (tmp_path / "gone" / "a.log").read_text() == "still\n"
    files.close_except(())


def test_files_that_are_still_used_stay_open(tmp_path: Path) -> None:
    files = LogFiles()
    kept, dropped = files.open(str(tmp_path / "a")), files.open(str(tmp_path / "b"))
    files.close_except([kept, None])
    os.fstat(kept)
    with pytest.raises(OSError):
        os.fstat(dropped)
    files.close_except(())


DUMP = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f0000000000 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 517 in string_at
  File "/srv/shop/faulty.py", line 30 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "/usr/lib/python3.11/importlib/__init__.py", line 126 in import_module
  File "/venv/lib/python3.11/site-packages/prefork/wsgi/loader.py", line 150 in _import_module
  File "/venv/lib/python3.11/site-packages/prefork/zygote/main.py", line 60 in main
  File "<string>", line 15 in <module>

Extension modules: msgspec._core (total: 1)
"""


def test_a_dump_is_cut_to_what_the_application_did() -> None:
    stacks = Stacks.create()
    os.write(stacks.fd, DUMP.encode())
    assert stacks.take().splitlines() == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00007f0000000000 (most recent call first):",
        '  File "/usr/lib/python3.11/ctypes/__init__.py", line 517 in string_at',
        '  File "/srv/shop/faulty.py", line 30 in <module>',
    ]
    assert stacks.take() == ""
    # The next writer begins at the start, not behind a hole.
    os.write(stacks.fd, b"again\n")
    assert stacks.take() == "again"
    stacks.close()
    stacks.close()
