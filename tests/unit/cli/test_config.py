"""`prefork config`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefork.settings.load import load
from prefork.settings.reference import reference_text
from prefork.settings.schema import schema_text

from .conftest import ENVIRONMENT, Run


def test_the_settings_in_effect_and_where_they_came_from(prefork: Run, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('[app]\ntarget = "shop:app"\n[workers]\ncount = 3')
    ended = prefork(
        "config", "-c", "shop.toml", "--threads", "2", "--bind", "127.0.0.1:0", "--set", "log.level=debug"
    )
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    for line in (
        f'target = "shop:app"  # file {file}',
        f"count = 3  # file {file}",
        "threads = 2  # --threads",
        'listen = ["127.0.0.1:0"]  # --bind',
        'level = "debug"  # --set',
        'boot_timeout = "1m"  # default',
        'name = "shop"  # default',
    ):
        assert line in lines
    again = tmp_path / "again.toml"
    again.write_text(ended.out)
    assert load(again).settings.workers.threads == 2


def test_without_a_file(prefork: Run) -> None:
    ended = prefork("config", "shop:app")
    assert ended.code == 0
    assert 'target = "shop:app"  # command line\n' in ended.out


def test_wrong_settings(prefork: Run) -> None:
    ended = prefork("config", "shop")
    assert (ended.code, ended.out) == (78, "")
    assert ended.lines[0].startswith('prefork: command line: [app] target = "shop": must be "module:name"')


def test_the_schema(prefork: Run) -> None:
    ended = prefork("config", "--schema")
    assert (ended.code, ended.out, ended.err) == (0, schema_text(), "")


def test_the_reference(prefork: Run) -> None:
    ended = prefork("config", "--reference")
    assert (ended.code, ended.out, ended.err) == (0, reference_text(), "")


def test_a_reader_that_leaves_early() -> None:
    """`prefork config --schema | head -0`"""
    process = subprocess.Popen(
        [sys.executable, "-m", "prefork", "config", "--schema"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")
