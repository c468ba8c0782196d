"""What a new interpreter would read, and whether it is what the old one has read."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefork.zygote import freshness
from prefork.zygote.freshness import Freshness
from support.deadline import eventually


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of packages, in which there is one that has been imported."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "fresh_or_not.py").write_text("version = 1")
    (folder / "paths.pth").write_text("/nowhere")
    monkeypatch.syspath_prepend(str(folder))
    importlib.import_module("fresh_or_not")
    yield folder
    del sys.modules["fresh_or_not"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is there now has been there before this process was started."""
    monkeypatch.setattr(freshness, "_age_s", lambda: -3600.0)


def rewrite(site: Path) -> None:
    (site / "fresh_or_not.py").write_text("version = 2")


def rewrite_as_of_old(site: Path) -> None:
    """As deployments do that keep times."""
    file = site / "fresh_or_not.py"
    times = file.stat()
    file.write_text("version = 2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(site: Path) -> None:
    shutil.copy2(site / "fresh_or_not.py", site.parent / "other")
    (site.parent / "other").replace(site / "fresh_or_not.py")


def remove(site: Path) -> None:
    (site / "fresh_or_not.py").unlink()


def install(site: Path) -> None:
    (site / "another.py").touch()


def install_a_sitecustomize(site: Path) -> None:
    (site / "sitecustomize.py").touch()


def rewrite_pth(site: Path) -> None:
    (site / "paths.pth").write_text("/elsewhere")


def exchange_directory(site: Path) -> None:
    """As with a link to the current release."""
    shutil.copytree(site, site.parent / "next")
    site.rename(site.parent / "previous")
    (site.parent / "next").rename(site)


def ctime_of_now(folder: Path) -> int:
    clock = folder / "clock"
    clock.touch()
    return clock.stat().st_ctime_ns


CHANGES = [
    rewrite,
    rewrite_as_of_old,
    replace,
    remove,
    install,
    install_a_sitecustomize,
    rewrite_pth,
    exchange_directory,
]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_noticed(site: Path, change: Callable[[Path], None]) -> None:
    one = Freshness()
    assert not one.is_lost()
    # The clock of a file system ticks every few milliseconds.
    moment_ns = max(path.stat().st_ctime_ns for path in site.iterdir())
    eventually(lambda: ctime_of_now(site.parent) > moment_ns, "another moment")
    change(site)
    assert one.is_lost()


@pytest.mark.usefixtures("later", "site")
def test_what_nothing_has_read_may_change(tmp_path: Path) -> None:
    one = Freshness()
    (tmp_path / "beside").touch()
    assert not one.is_lost()


@pytest.mark.usefixtures("site")
def test_what_was_changed_after_the_start_may_have_been_read_before() -> None:
    assert Freshness().is_lost()


def test_python_and_its_libraries_are_among_what_is_looked_at() -> None:
    paths = set(freshness._paths())
    assert sys.executable in paths
    assert any("libc." in path or "ld-musl" in path for path in paths)
    assert freshness.__file__ in paths
    assert not any(path.startswith("/memfd") for path in paths)


def test_a_library_that_was_replaced_is_not_there_any_more(tmp_path: Path) -> None:
    """Under its old name, and the kernel says so."""
    import mmap

    library = tmp_path / "library.so"
    library.write_bytes(bytes(4096))
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert str(library) in set(freshness._paths())
        library.unlink()
        assert f"{library} (deleted)" in set(freshness._paths())


def test_the_age_of_a_process() -> None:
    assert 0 <= freshness._age_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)
