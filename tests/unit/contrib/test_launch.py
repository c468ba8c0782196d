"""From what scripts and frameworks know to a command line of prefork."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from prefork.cli.arguments import add_settings_arguments, settings_source
from prefork.cli.command import Parser
from prefork.contrib import paste, script, serving
from prefork.contrib.launch import command_line
from prefork.contrib.objects import target_of
from prefork.errors import PreforkError
from prefork.settings.load import Loaded


def loaded(arguments: list[str]) -> Loaded:
    """What `prefork run` makes of it."""
    assert arguments[1:4] == ["-m", "prefork", "run"]
    parser = Parser(prog="prefork run")
    add_settings_arguments(parser)
    return settings_source(parser.parse_args(arguments[4:])).load()


def test_everything_arrives() -> None:
    arguments = command_line(
        "shop:app",
        bind=["127.0.0.1:1", "unix:/run/x"],
        workers="auto",
        threads=3,
        path=["/lib"],
        options={"requests.timeout": 3, "app.env": {"A": 'b "c"'}, "log.access": "off"},
    )
    settings = loaded(arguments).settings
    assert [each.address for each in settings.server.listen] == ["127.0.0.1:1", "unix:/run/x"]
    assert (settings.workers.count, settings.workers.threads) == ("auto", 3)
    assert settings.app.path == ("/lib",)
    assert settings.app.env == {"A": 'b "c"'}
    assert settings.requests.timeout == 3.0


def test_development_is_laid_over_the_file_and_the_command_line_over_it(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[app]\ntarget = "shop:app"\n[workers]\ncount = 8\n[log]\naccess = "off"\n')
    arguments = command_line("shop:app", config=file, dev=True, options={"workers.threads": 2})
    settings = loaded(arguments).settings
    assert settings.dev.enabled
    assert (settings.workers.count, settings.workers.threads) == (1, 2)
    assert settings.app.preload == "never"
    assert settings.log.access == "stderr"
    assert settings.dev.restart == (str(file),)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("shop_of_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_an_object_is_found_by_its_name(module: ModuleType) -> None:
    module.web = lambda environ, start_response: []  # type: ignore[attr-defined]
    assert target_of(module.web) == "shop_of_test:web"
    assert target_of("a:b()") == "a:b()"


def test_one_of_a_script_is_found_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / "run it.py")
    main.app = lambda environ, start_response: []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    target = target_of(main.app)
    assert target == f"prefork.contrib.script:application({str(tmp_path / 'run it.py')!r}, 'app')"
    assert loaded(command_line(target)).settings.app.target == target
    main.__spec__ = type("Spec", (), {"name": "shop.run"})()  # type: ignore[assignment]
    assert target_of(main.app) == "shop.run:app"


@pytest.mark.parametrize(
    ("app", "rule"),
    [
        (lambda environ, start_response: [], "has no name in any module"),
        ("shop", 'write "module:name"'),
        (3, "cannot be called"),
    ],
)
def test_what_nobody_could_find_is_refused(app: object, rule: str) -> None:
    with pytest.raises(PreforkError, match=rule):
        target_of(app)


def test_a_script_is_run_without_what_only_a_program_does(tmp_path: Path) -> None:
    file = tmp_path / "run.py"
    file.write_text('def app(): return __name__\nif __name__ == "__main__":\n    late = 1 / 0\n')
    assert script.application(str(file), "app")() == "__prefork_main__"
    with pytest.raises(LookupError, match="has no 'late' unless it is run as a program"):
        script.application(str(file), "late")


def test_serve_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(serving, "become", became.append)
    monkeypatch.setattr(serving, "is_in_server", lambda: False)
    serving.serve("shop:app", bind="127.0.0.1:1", workers={"count": 2}, requests={"timeout": "30s"})
    settings = loaded(became[0]).settings
    assert settings.workers.count == 2
    assert settings.requests.timeout == 30.0
    with pytest.raises(TypeError, match=r"write timeout=\{\.\.\.\}"):
        serving.serve("shop:app", timeout=30)  # type: ignore[arg-type]
    monkeypatch.setattr(serving, "is_in_server", lambda: True)
    serving.serve("shop:app")
    assert len(became) == 1


def test_options_of_an_ini_file() -> None:
    defaults = {"here": "/srv", "__file__": "/srv/live.ini", "who": "Ann"}
    options = {"listen": "127.0.0.1:1 unix:/x", "workers": "2", "threads": "3", "requests.timeout": "30s"}
    settings = loaded(paste.arguments_of(defaults, options, ["live.ini#shop", "who=Ann"])).settings
    assert settings.app.target == "prefork.contrib.paste:application('/srv/live.ini', 'shop', {'who': 'Ann'})"
    assert [each.address for each in settings.server.listen] == ["127.0.0.1:1", "unix:/x"]
    assert (settings.workers.count, settings.workers.threads) == (2, 3)
    assert settings.requests.timeout == 30.0
    with_port = loaded(paste.arguments_of(defaults, {"port": "6543"}, []))
    assert with_port.settings.server.listen[0].address == "127.0.0.1:6543"


@pytest.mark.parametrize(
    ("argv", "name"),
    [(["x.ini"], "main"), (["-n", "a", "x.ini"], "a"), (["--app-name=a"], "a"), (["x.ini#b", "v=1"], "b")],
)
def test_the_name_of_the_application(argv: list[str], name: str) -> None:
    assert paste.app_name(argv) == name


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"thraeds": "1"}, "thraeds = 1: there are listen"), ({"threads": "x"}, "whole number")],
)
def test_wrong_options_of_an_ini_file(options: dict[str, str], rule: str) -> None:
    with pytest.raises(PreforkError, match=rule):
        paste.arguments_of({"__file__": "/x.ini"}, options, [])


def test_without_a_file_there_is_nothing_to_load() -> None:
    with pytest.raises(PreforkError, match="an ini file"):
        paste.arguments_of({}, {}, [])
