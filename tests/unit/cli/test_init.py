"""`prefork init`: what it finds, what it asks, what it writes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from prefork.cli.detect import applications, has_prefork
from prefork.cli.template import Choices, settings_text
from prefork.settings.load import load

from .conftest import Run

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n'


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize(
    ("files", "target", "framework"),
    [
        ({"app.py": "from flask import Flask\napp = Flask(__name__)\n"}, "app:app", "Flask"),
        (
            {"wsgi.py": "from shop import create_app\napplication = create_app()\n"},
            "wsgi:application",
            "WSGI",
        ),
        ({"wsgi.py": "from shop import app as application\n"}, "wsgi:application", "WSGI"),
        ({"main.py": "import falcon\napi: falcon.App = falcon.App()\n"}, "main:api", "Falcon"),
        ({"app.py": "def app(environ, start_response): ...\n"}, "app:app", "WSGI"),
        (
            {"a.py": "app = 1\n", "shop.py": "from flask import Flask\napp = Flask(__name__)\n"},
            "shop:app",
            "Flask",
        ),
        (
            {"shop/__init__.py": "from flask import Flask\ndef create_app(config=None): ...\n"},
            "shop:create_app()",
            "Flask",
        ),
        (
            {
                "manage.py": MANAGE,
                "mysite/__init__.py": "",
                "mysite/wsgi.py": "application = 1\n",
                "app.py": "app = 1\n",
            },
            "mysite.wsgi:application",
            "Django",
        ),
        (
            {
                "manage.py": MANAGE.replace("mysite.settings", "mysite.settings.live"),
                "mysite/wsgi.py": "application = 1\n",
            },
            "mysite.wsgi:application",
            "Django",
        ),
    ],
)
def test_it_finds_the_application(tmp_path: Path, files: dict[str, str], target: str, framework: str) -> None:
    best = applications(write(tmp_path, files))[0]
    assert (best.target, best.framework) == (target, framework)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"app.py": "this is no Python ]"},
        {"app.py": "def create_app(config): ...\n"},
        {"app.py": "\0"},
        {"manage.py": MANAGE},
        {"tests/app.py": "app = 1\n", "tests/__init__.py": ""},
        {"test_shop.py": "import flask\napp = 1\n", "tool.py": "import sys\napp = 1\n"},
    ],
)
def test_where_there_is_none_it_guesses_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    assert applications(write(tmp_path, files)) == []


def test_with_yes_it_asks_nothing_and_what_it_writes_can_be_loaded(tmp_path: Path, prefork: Run) -> None:
    write(tmp_path, {"app.py": "raise SystemExit('imported')\napp = 1\n"})
    ended = prefork("init", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "found: app:app (WSGI, app.py)" in ended.out
    settings = load(tmp_path / "server.toml").settings
    assert settings.app.target == "app:app"
    assert settings.app.chdir == str(tmp_path)
    assert [each.address for each in settings.server.listen] == ["127.0.0.1:8000"]
    assert {path.name for path in tmp_path.iterdir()} == {"app.py", "server.toml"}


def test_every_flag_lands_in_the_file(tmp_path: Path, prefork: Run) -> None:
    ended = prefork(
        *(
            "init",
            "--yes",
            "--app",
            "shop:create_app('live')",
            "--bind",
            "unix:/run/shop.sock",
            "--workers",
            "3",
        ),
        *("--threads", "8", "--proxied", "--status", "127.0.0.1:9180", "--output", "etc.toml"),
    )
    assert ended.code == 0, ended.err
    settings = load(tmp_path / "etc.toml").settings
    assert settings.app.target == "shop:create_app('live')"
    assert settings.server.listen[0].address == "unix:/run/shop.sock"
    assert (settings.workers.count, settings.workers.threads) == (3, 8)
    assert settings.proxy.trusted == ("unix",)
    assert settings.status.listen[0].address == "127.0.0.1:9180"


def test_a_file_that_is_there_stays(tmp_path: Path, prefork: Run) -> None:
    (tmp_path / "server.toml").write_text("mine")
    ended = prefork("init", "--yes", "--app", "a:b")
    assert ended.code == 1
    assert "is there already; --force writes over it" in ended.err
    assert (tmp_path / "server.toml").read_text() == "mine"
    assert prefork("init", "--yes", "--app", "a:b", "--force").code == 0
    assert load(tmp_path / "server.toml").settings.app.target == "a:b"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--app", "shop"], "must be"),
        (["--app", "a:b", "--bind", "8000"], "must be"),
        (["--app", "a:b", "--workers", "many"], "must be"),
        (["--app", "a:b", "--threads", "0"], "must be"),
        (["--app", "a:b", "--status", "x"], "must be"),
        ([], "found no application here; say which with --app"),
        (["--app", "a:b", "--output", "no/such/place.toml"], "no file can be made there"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    tmp_path: Path, prefork: Run, argv: list[str], words: str
) -> None:
    ended = prefork("init", "--yes", *argv)
    assert ended.code != 0
    assert words in ended.err
    assert list(tmp_path.iterdir()) == []


def test_it_asks_until_the_answer_can_be_taken(
    tmp_path: Path, prefork: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"app.py": "app = 1\n"})
    answers = ["", "nowhere", "0.0.0.0:80", "", "0", "2", "yes"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    ended = prefork("init")
    assert ended.code == 0, ended.err
    assert "Application (MODULE:APP) [app:app]: " in ended.out
    settings = load(tmp_path / "server.toml").settings
    assert settings.server.listen[0].address == "0.0.0.0:80"
    assert settings.workers.threads == 2
    assert settings.proxy.trusted == ("127.0.0.1", "::1")


def test_nobody_answers(tmp_path: Path, prefork: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    ended = prefork("init")
    assert ended.code == 2
    assert "nobody answers; --yes asks nothing" in ended.err


def test_the_environment_of_the_application_is_used_if_prefork_is_in_it(tmp_path: Path, prefork: Run) -> None:
    write(tmp_path, {"app.py": "app = 1\n", ".venv/pyvenv.cfg": "", ".venv/bin/python": ""})
    (tmp_path / ".venv/bin/python").chmod(0o755)
    ended = prefork("init", "--yes")
    assert "has no prefork" in ended.out
    assert load(tmp_path / "server.toml").settings.app.python is None
    (tmp_path / ".venv/lib/python3.11/site-packages/prefork-0.1.0.dist-info").mkdir(parents=True)
    assert has_prefork(tmp_path / ".venv/bin/python")
    prefork("init", "--yes", "--force")
    assert load(tmp_path / "server.toml").settings.app.python == f"{tmp_path}/.venv/bin/python"


def test_each_commented_key_can_be_uncommented(tmp_path: Path) -> None:
    lines = settings_text(Choices("shop:app", "127.0.0.1:8000")).splitlines()
    python = tmp_path / ".venv" / "bin" / "python"
    write(tmp_path, {".venv/bin/python": ""})
    python.chmod(0o755)
    keys = [line[1:] if line.startswith("#") and " = " in line and line[1] != " " else line for line in lines]
    assert keys != lines
    (tmp_path / "server.toml").write_text("\n".join(keys))
    assert load(tmp_path / "server.toml").settings.workers.max_memory
