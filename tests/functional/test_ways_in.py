"""The commands of frameworks and scripts that end in a prefork server."""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGTERM

import pytest

from support.server import ServerFactory

HERE = Path(sys.executable).parent


def test_a_script_serves_itself(server_factory: ServerFactory, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "helper.py").write_text("WORD = 'helped'\n")
    (tmp_path / "bin" / "run.py").write_text(
        "import prefork, helper\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [f'{helper.WORD} {__name__} {environ[\"wsgi.multithread\"]}'.encode()]\n"
        "if __name__ == '__main__':\n"
        "    prefork.serve(app, bind='127.0.0.1:0', threads=2, requests={'timeout': '30s'})\n"
        "    1 / 0\n"
    )
    server = server_factory(
        {}, argv=[], executable=(sys.executable, "bin/run.py"), directory=tmp_path
    ).wait_ready()
    assert server.get("/").text == "helped __prefork_main__ True"
    assert server.stop(SIGTERM) == 0


def test_flask(server_factory: ServerFactory, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    if not (HERE / "flask").exists():
        pytest.skip("no flask command beside this Python")
    (tmp_path / "shop.py").write_text(
        "import flask\n"
        "def make_app(word='none'):\n"
        "    app = flask.Flask(__name__)\n"
        "    app.add_url_rule('/', 'x', lambda: word)\n"
        "    return app\n"
    )
    executable = (str(HERE / "flask"), "--app", "shop:make_app('hello')", "prefork")
    argv = ["--port", "0", "--workers", "2"]
    server = server_factory({}, argv=argv, executable=executable, directory=tmp_path).wait_ready()
    assert server.get("/").text == "hello"
    server.wait_for_workers(2)
    assert server.stop(SIGTERM) == 0


def test_django_with_its_static_files(server_factory: ServerFactory, tmp_path: Path) -> None:
    pytest.importorskip("django")
    (tmp_path / "site1").mkdir()
    (tmp_path / "site1" / "settings.py").write_text(
        "DEBUG = True\nSECRET_KEY = 'x'\nROOT_URLCONF = 'site1.urls'\nWSGI_APPLICATION = 'site1.wsgi.application'\n"
        "INSTALLED_APPS = ['django.contrib.staticfiles', 'prefork.contrib.django']\nSTATIC_URL = '/static/'\n"
        "STATICFILES_DIRS = ['texts']\nUSE_TZ = True\n"
    )
    (tmp_path / "site1" / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse('django'))]\n"
    )
    (tmp_path / "site1" / "wsgi.py").write_text(
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("static")
    (tmp_path / "manage.py").write_text(
        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'site1.settings'\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    server = server_factory(
        {}, argv=["prefork", "localhost:0"], executable=(sys.executable, "manage.py"), directory=tmp_path
    ).wait_ready()
    assert server.get("/").text == "django"
    assert server.get("/static/a.txt").text == "static"
    assert server.stop(SIGTERM) == 0


def test_pserve(server_factory: ServerFactory, tmp_path: Path) -> None:
    pytest.importorskip("pyramid")
    pytest.importorskip("plaster_pastedeploy")
    if not (HERE / "pserve").exists():
        pytest.skip("no pserve beside this Python")
    (tmp_path / "pyapp.py").write_text(
        "def main(global_conf, **settings):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [settings['word'].encode()]\n"
        "    return app\n"
    )
    (tmp_path / "live.ini").write_text(
        "[app:main]\nuse = call:pyapp:main\nword = main\n[app:other]\nuse = call:pyapp:main\nword = %(who)s\n"
        "[server:main]\nuse = egg:prefork#main\nlisten = 127.0.0.1:0\nworkers = 1\nrequests.timeout = 30s\n"
    )
    server = server_factory(
        {},
        argv=["live.ini", "who=Ann", "-n", "other"],
        executable=(str(HERE / "pserve"),),
        directory=tmp_path,
        environment={"PYTHONPATH": str(tmp_path)},
    ).wait_ready()
    assert server.get("/").text == "Ann"
    assert server.stop(SIGTERM) == 0
