"""`python -m prefork`, as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefork.speedups import DESCRIPTION
from prefork.version import __version__

from .conftest import ENVIRONMENT


def run(*argv: str, directory: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-m", "prefork", *argv],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )


def test_it_runs(tmp_path: Path) -> None:
    ended = run("--version", directory=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        0,
        f"prefork {__version__} ({DESCRIPTION})\n",
        "",
    )


def test_it_fails_with_the_exit_code(tmp_path: Path) -> None:
    ended = run("config", "-c", "shop.toml", directory=tmp_path)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr == f"prefork: {tmp_path}/shop.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("name", ["argparse", "gettext", "difflib"])
def test_files_of_the_application_do_not_replace_modules_of_the_server(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    ended = run("config", "shop:app", directory=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P came with Python 3.11")
def test_it_runs_with_a_safe_path(tmp_path: Path) -> None:
    assert run("--version", directory=tmp_path, options=("-P",)).returncode == 0


def test_reading_settings_does_not_load_the_machinery_of_processes(tmp_path: Path) -> None:
    code = (
        "import sys; from prefork.cli.entry import run; code = run(['config', 'shop:app']); "
        "sys.exit(str(sorted(n for n in sys.modules if n.startswith(('prefork.master', 'psutil')))))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )
    assert ended.stderr == "[]\n"
