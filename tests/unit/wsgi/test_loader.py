"""Targets, and every way in which one gives no application."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefork.errors import BootError
from prefork.wsgi.loader import Target, load_application, load_class, parse_target

Write = Callable[[str], str]

APP = """
def app(environ, start_response):
    return [b"app"]
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Put a module in place; returns its name, which no other test uses."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: list[str] = []

    def make(text: str) -> str:
        name = f"target_{tmp_path.name}_{len(names)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        names.append(name)
        return name

    yield make
    for name in names:
        sys.modules.pop(name, None)


def failure(target: str) -> BootError:
    with pytest.raises(BootError) as caught:
        load_application(target)
    return caught.value


@pytest.mark.parametrize(
    ("target", "parsed"),
    [
        ("shop:app", Target("shop", "app", None)),
        ("shop.web.wsgi:site.application", Target("shop.web.wsgi", "site.application", None)),
        ("shop:create()", Target("shop", "create", ((), {}))),
        ("shop:make.app('x', n=1)", Target("shop", "make.app", (("x",), {"n": 1}))),
        (
            "shop:create([1, {'a': None}], debug=True)",
            Target("shop", "create", (([1, {"a": None}],), {"debug": True})),
        ),
        ("shop: app", Target("shop", "app", None)),
    ],
)
def test_forms(target: str, parsed: Target) -> None:
    assert parse_target(target) == parsed


@pytest.mark.parametrize(
    "target",
    [
        "shop",
        "shop.py",
        "/srv/shop.py:app",
        "shop-web:app",
        ":app",
        "shop:",
        "shop:app[0]",
        "shop:create()()",
        "shop:a + b",
        "shop:create(os.environ)",
        "shop:create(**{})",
        "shop:create(x=open('f'))",
        "shop:5",
        "shop:app(",
        "..shop:app",
    ],
)
def test_other_forms_are_refused_without_importing(target: str) -> None:
    with pytest.raises(BootError) as caught:
        parse_target(target)
    assert caught.value.stage == "lookup"
    assert repr(target) in caught.value.error


def test_an_application_an_attribute_and_a_factory(write: Write) -> None:
    name = write(
        APP
        + """
class Namespace:
    inner = app

def create(word, times=1):
    return lambda environ, start_response: [word.encode() * times]
"""
    )
    assert load_application(f"{name}:app")({}, lambda *_: None) == [b"app"]
    assert load_application(f"{name}:create('x', times=3)")({}, lambda *_: None) == [b"xxx"]


@pytest.mark.parametrize(
    ("text", "stage", "error"),
    [
        (
            "import no_such_thing_at_all",
            "import",
            "ModuleNotFoundError: No module named 'no_such_thing_at_all'",
        ),
        ("raise ValueError('bad setting')", "import", "ValueError: bad setting"),
        ("import sys; sys.exit()", "import", "called sys.exit()"),
        ("import sys; sys.exit(3)", "import", "called sys.exit(3)"),
        ("import sys; sys.exit('no licence')", "import", "called sys.exit('no licence')"),
        ("raise KeyboardInterrupt", "import", "KeyboardInterrupt"),
        ("class E(BaseException): pass\nraise E('odd')", "import", "E: odd"),
        ("def broken(:", "import", "SyntaxError"),
        ("application = app = None", "callable", "is a NoneType"),
        ("aplication = 1", "lookup", "no attribute 'app'"),
        ("def apps(): pass", "lookup", "did you mean 'apps'"),
        ("def app(): pass", "callable", "if it makes the application, write"),
        (
            "def app(scope, receive, send): pass",
            "callable",
            "cannot be called as app(environ, start_response)",
        ),
        ("async def app(a, b): pass", "callable", "ASGI"),
        ("class A:\n    async def __call__(self, a, b, c): pass\napp = A()", "callable", "ASGI"),
    ],
)
def test_reasons(write: Write, text: str, stage: str, error: str) -> None:
    found = failure(f"{write(text)}:app")
    assert (found.stage, error in found.error) == (stage, True), found.error


def test_a_missing_module_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = failure("surely_missing.web:app")
    assert "no module named 'surely_missing'" in found.error
    assert repr(str(tmp_path)) in found.error
    assert found.traceback == ""


def test_a_failing_factory_is_explained(write: Write) -> None:
    name = write("def create():\n    raise OSError('no disk')\n")
    found = failure(f"{name}:create()")
    assert (found.stage, found.error) == ("lookup", f"'{name}:create()': OSError: no disk")
    assert "no disk" in found.traceback
    assert failure(f"{name}:__name__()").stage == "callable"


def test_a_traceback_holds_the_frames_of_the_application_only(write: Write) -> None:
    inner = write("def fail():\n    raise KeyError('inner')\n")
    outer = write(
        f"import {inner}\ntry:\n    {inner}.fail()\nexcept KeyError as e:\n    raise ValueError('outer') from e\n"
    )
    text = failure(f"{outer}:app").traceback
    assert f"{inner}.py" in text
    assert f"{outer}.py" in text
    assert "KeyError: 'inner'" in text
    assert "importlib" not in text
    assert "loader.py" not in text


def test_a_syntax_error_names_its_place(write: Write) -> None:
    name = write("x = 1\ndef broken(:\n")
    found = failure(f"{name}:app")
    assert f"{name}.py, line 2" in found.error


def test_signatures_that_cannot_be_read_are_trusted(write: Write) -> None:
    name = write("app = dict\nclass C:\n    def __call__(self, *args): return []\nother = C()\n")
    assert load_application(f"{name}:app") is dict
    assert callable(load_application(f"{name}:other"))


def test_a_class_must_be_derived() -> None:
    assert load_class("collections:OrderedDict", dict).__name__ == "OrderedDict"
    for reference in ("collections:namedtuple", "collections:UserDict", "collections:OrderedDict.fromkeys"):
        with pytest.raises(BootError) as caught:
            load_class(reference, dict)
        assert caught.value.stage == "callable"
