"""`prefork check`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefork.errors import BootError

from .conftest import FakeMaster, Run


def test_all_is_well(prefork: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('[app]\ntarget = "shop:app"')
    ended = prefork("check", "-c", "shop.toml")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [f"settings: right ({file})", "application: imports (shop:app)"]
    assert [settings.app.target for settings in master.tried] == ["shop:app"]
    assert master.served == []


def test_without_a_file(prefork: Run, master: FakeMaster) -> None:
    ended = prefork("check", "shop:app", "--set", "app.preload=never")
    assert ended.code == 0
    assert ended.out.splitlines() == ["settings: right (the command line)", "application: imports (shop:app)"]
    assert master.tried[0].app.preload == "never"


def test_wrong_settings_are_not_tried(prefork: Run, master: FakeMaster) -> None:
    ended = prefork("check", "shop:app", "--workers", "0")
    assert (ended.code, ended.out) == (78, "")
    assert ended.lines == [
        'prefork: --workers: [workers] count = 0: must be "auto", a whole number from 1 to 4096, or {min = 2, max = 8}'
    ]
    assert master.tried == []


@pytest.mark.parametrize(
    "traceback", ["Traceback (most recent call last):\n  File shop.py\nValueError: x\n", ""]
)
def test_an_application_that_does_not_import(prefork: Run, master: FakeMaster, traceback: str) -> None:
    master.error = BootError("import", "shop:app: ValueError: x", traceback)
    ended = prefork("check", "shop:app")
    assert ended.code == 3
    assert ended.out == "settings: right (the command line)\n"
    assert ended.err == f"{traceback}prefork: shop:app: ValueError: x\n"


def test_a_library_that_the_metrics_need_is_missed_early(
    prefork: Run, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("check", "shop:app", "--set", 'status.listen="127.0.0.1:9180"')
    assert prefork(*wanted).err == ""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    ended = prefork(*wanted)
    assert ended.code == 0
    assert (
        ended.err
        == "warning: [status] listen: /metrics needs prometheus-client: pip install 'prefork[metrics]'\n"
    )
