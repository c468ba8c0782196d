"""What is shipped, installed as its users install it: the wheel, and the source distribution where there is no compiler."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import prefork
from prefork.speedups import DESCRIPTION
from support.built import PROJECT, built, run

PLACES = {
    "share/man/man1/prefork.1",
    "share/man/man5/prefork.toml.5",
    "share/bash-completion/completions/prefork",
    "share/zsh/site-functions/_prefork",
    "share/fish/vendor_completions.d/prefork.fish",
    "share/prefork/config/reference.toml",
    "share/prefork/config/schema.json",
    "share/prefork/config/minimal.toml",
    "share/prefork/systemd/prefork.service",
    "share/prefork/systemd/prefork.socket",
}
"""Under the prefix of an installation, where man(1), the shells and people look."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


def environment(place: Path, *arguments: str, **variables: str) -> Path:
    """A virtual environment with prefork from `arguments`; what it depends on is that of the tests."""
    run([sys.executable, "-m", "venv", "--without-pip", str(place)])
    (packages,) = place.glob("lib/python3*/site-packages")
    dependencies = [each for each in site.getsitepackages() if Path(each).is_dir()]
    (packages / "tests.pth").write_text("".join(f"{each}\n" for each in dependencies))
    pip = [sys.executable, "-m", "pip", "--python", str(place), "--disable-pip-version-check", "install"]
    run([*pip, "--no-deps", "--no-index", "--ignore-installed", *arguments], env={**os.environ, **variables})
    return place


def said(place: Path, *words: str) -> str:
    return run([str(place / "bin" / "prefork"), *words], cwd=place, env={"PATH": os.environ["PATH"]})


def test_the_wheel_has_everything_that_the_program_reads(shipped: Path) -> None:
    (wheel,) = shipped.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = PROJECT / "server" / "prefork"
    wanted = {
        f"prefork/{path.relative_to(source)}"
        for path in source.rglob("*")
        if path.is_file()
        and path.suffix not in (".c", ".h", ".so", ".pyc")
        and ".mypy_cache" not in path.parts
    }
    assert wanted - names == set()
    assert not [
        name
        for name in names
        if name.endswith((".c", ".h", ".pyc")) or name.startswith(("tests/", "server/"))
    ]
    data = {name.partition(".data/data/")[2] for name in names}
    assert PLACES - data == set()


def test_the_source_distribution_has_what_a_distributor_needs(shipped: Path) -> None:
    (sdist,) = shipped.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.split()
    wanted = {name for name in tracked if not name.startswith(".") and (PROJECT / name).exists()}
    assert wanted - names == set()
    assert not [name for name in names if name.endswith((".so", ".pyc")) or "__pycache__" in name]


def test_an_installed_wheel_runs_and_has_its_pages_where_they_are_looked_for(
    shipped: Path, tmp_path: Path
) -> None:
    (wheel,) = shipped.glob("*.whl")
    place = environment(tmp_path / "venv", str(wheel))
    version = f"prefork {prefork.__version__}"
    assert said(place, "--version") == f"{version} ({DESCRIPTION})\n"
    for path in PLACES:
        assert (place / path).is_file(), path
    # From nothing to a server that could start.
    (place / "app.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"
    )
    said(place, "init", "--yes")
    assert said(place, "check", "-c", "server.toml").splitlines()[-1] == "application: imports (app:app)"
    assert "ExecStart=" in said(place, "systemd-unit")


def test_without_a_compiler_it_installs_and_runs_as_well(shipped: Path, tmp_path: Path) -> None:
    (sdist,) = shipped.glob("*.tar.gz")
    place = environment(
        tmp_path / "venv", "--no-build-isolation", str(sdist), CC="/bin/false", CXX="/bin/false"
    )
    assert said(place, "--version") == f"prefork {prefork.__version__} (pure Python)\n"
