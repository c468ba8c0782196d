"""Which application `prefork --dev` serves: FLASK_APP, `.flaskenv`, or what the files look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.cli.devtarget import Chosen, choose


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text("web = object()\napp = web\ndef create_app(name='x'): return web\n")
    (tmp_path / "made.py").write_text("def create_app(): return 1\n")
    (tmp_path / "src" / "pkg").mkdir(parents=True)
    (tmp_path / "src" / "pkg" / "__init__.py").write_text("application = 1\n")
    (tmp_path / "src" / "pkg" / "web.py").write_text("app = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("named", "target", "path"),
    [
        ("shop", "shop:app", ""),
        ("shop.py", "shop:app", ""),
        ("shop:web", "shop:web", ""),
        ("shop.py:web", "shop:web", ""),
        ("shop:create_app", "shop:create_app()", ""),
        ("shop:create_app('test')", "shop:create_app('test')", ""),
        ("made", "made:create_app()", ""),
        ("src/pkg/web.py", "pkg.web:app", "src"),
        ("src/pkg", "pkg:application", "src"),
        ("unknown", "unknown:app", ""),
    ],
)
def test_forms(here: Path, named: str, target: str, path: str) -> None:
    expected_path = str(here / path) if path else ""
    assert choose(None, {"FLASK_APP": named}, here) == Chosen(target, "FLASK_APP", expected_path)
    assert choose(named, {"FLASK_APP": "other"}, here) == Chosen(target, "command line", expected_path)


def test_files_of_the_environment_come_before_a_guess(here: Path) -> None:
    (here / "app.py").write_text("application = 1\n")
    assert choose(None, {}, here) == Chosen("app:application", "guess (app.py)")
    (here / ".flaskenv").write_text("FLASK_APP=shop:web\n")
    assert choose(None, {}, here) == Chosen("shop:web", "FLASK_APP")


def test_nothing_is_found_in_an_empty_directory(tmp_path: Path) -> None:
    assert choose(None, {}, tmp_path) is None
