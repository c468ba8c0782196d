"""Which libraries the zygote of `--dev` imports ahead: read from source, nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.dev.libraries import libraries


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


def found(module: str, directory: Path) -> list[str]:
    return libraries(module, lambda path: not path.startswith(str(directory)))


def test_libraries_of_the_application_and_of_its_own_modules(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(
        b2shop="import json\nfrom b2pkg import views\nfrom b2pkg.models import X\n",
        b2pkg__init="",
        b2pkg__views="from . import models\nimport xml.dom\n",
        b2pkg__models="import sqlite3\n",
    )
    (tmp_path / "b2pkg" / "init.py").rename(tmp_path / "b2pkg" / "__init__.py")
    assert set(found("b2shop", tmp_path)) == {"json", "xml.dom", "sqlite3"}


@pytest.mark.parametrize(
    "before",
    ["patch_all()", 'os.environ["A"] = "1"', "with x: pass", "for x in y: pass", "sys.path += ['x']"],
)
def test_what_comes_after_code_that_may_matter_is_left_to_the_workers(
    tmp_path: Path, write, before: str
) -> None:  # type: ignore[no-untyped-def]
    write(b2app=f"import json\n{before}\nimport sqlite3\n")
    assert found("b2app", tmp_path) == ["json"]


def test_harmless_statements_stop_nothing(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(
        b2app='"""Doc."""\nfrom __future__ import annotations\nA = make()\ndef f(): pass\n'
        "try:\n    import json\nexcept ImportError:\n    pass\nimport sqlite3\n"
    )
    assert found("b2app", tmp_path) == ["json", "sqlite3"]


def test_a_file_that_does_not_compile_has_none(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(b2app="import json\ndef (:\n")
    assert found("b2app", tmp_path) == []
    assert found("b2nothing", tmp_path) == []
