"""The tables: complete, true to the settings there are, and documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from gunicorn import config as gunicorn

from prefork.migrate.documentation import page
from prefork.migrate.draft import Given, World
from prefork.migrate.reading import SOURCES, migration
from prefork.migrate.writer import settings_text
from prefork.settings.model import TABLES, option
from prefork.settings.tomlfile import read_tables

ROOT = Path(__file__).parents[2]

GUNICORN = SOURCES["gunicorn"]

COMMON_UWSGI = """
    async attach-daemon auto-procname buffer-size cache2 callable chdir cheap cheaper cheaper-algo cheaper-initial cheaper-step
    check-static chmod-socket chown-socket close-on-exec cron daemonize die-on-term disable-logging emperor enable-threads env
    evil-reload-on-rss exec-asap fastcgi-socket for-readline gevent gid harakiri harakiri-verbose home hook-post-app
    http http-keepalive http-socket http-timeout http-to http-websockets http11-socket https idle ignore-sigpipe import ini
    lazy-apps listen log-4xx log-5xx log-format log-maxsize log-slow log-x-forwarded-for logger logto logto2 manage-script-name
    master max-requests max-requests-delta max-worker-lifetime memory-report module mount mule need-app no-orphans offload-threads
    paste pidfile plugin plugins post-buffering processes procname-prefix protocol py-autoreload python-path pythonpath
    reload-mercy reload-on-as reload-on-rss req-logger route route-run safe-pidfile shared-socket single-interpreter
    socket socket-timeout spooler static-expires static-gzip-all static-index static-map static-map2 stats stats-http strict
    thunder-lock threads touch-chain-reload touch-reload uid umask uwsgi-socket vacuum venv virtualenv websocket-max-size
    worker-reload-mercy workers wsgi wsgi-file
""".split()  # fmt: skip


def test_every_setting_of_gunicorn_has_a_row() -> None:
    known = {setting.name for setting in gunicorn.KNOWN_SETTINGS}
    assert len(known) > 90
    assert sorted(name for name in known if GUNICORN.row(name) is None) == []


def test_the_command_line_of_gunicorn_is_known() -> None:
    flags = {flag: row for row in GUNICORN.rows for flag in row.flags}
    for setting in gunicorn.KNOWN_SETTINGS:
        for flag in setting.cli or ():
            assert flag in flags, flag
            assert flags[flag].option == setting.name
            takes = {"store_true": 0, "store_const": 0}.get(
                setting.action or "", -1 if setting.nargs == "?" else 1
            )
            if setting.name == "suppress_ragged_eofs":
                continue
            assert flags[flag].arity == takes, flag


@pytest.mark.parametrize("name", COMMON_UWSGI)
def test_the_usual_options_of_uwsgi_have_a_row(name: str) -> None:
    assert SOURCES["uwsgi"].row(name) is not None
    assert SOURCES["uwsgi"].row(name.replace("-", "_")) is not None


@pytest.mark.parametrize("kind", SOURCES)
def test_rows_name_settings_that_exist_or_say_why_there_is_none(kind: str) -> None:
    names: set[str] = set()
    for row in SOURCES[kind].rows:
        assert not {row.option, *row.names} & names, f"{row.option} is there twice"
        names |= {row.option, *row.names}
        keys = [key for key in row.to.split(", ") if key]
        assert keys or row.says or row.option in ("protocol", "trusted-proxy-count"), row.option
        for key in keys:
            table = key.partition(".")[0]
            assert (
                option(key) is not None
                or key in ("tls.*", "static")
                or table in ("mode", "user and group", "index")
                or (key == "proxy_protocol")
            ), key
            assert "." not in key or table in TABLES


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8") == page(), "make generated"


ODD = ["", "-1", "9" * 20, "a=b", "%(", "/", "[::1", "\x1b[31m", "a b,c", "é\"\\'"]


@pytest.mark.parametrize("kind", SOURCES)
def test_odd_values_become_notes_and_the_result_is_always_toml(kind: str, tmp_path: Path) -> None:
    world = World(lambda name: "", lambda path: False, "/srv", "/srv")
    names = [row.option for row in SOURCES[kind].rows if not row.option.endswith("*")]
    assert len(names) > 30
    for value in ODD:
        given = [Given(name, value, f"{name} = {value}", "line 1") for name in names]
        (tmp_path / "a.toml").write_text(settings_text(migration(kind, given, [], world, "a:b")))
        assert read_tables(str(tmp_path / "a.toml"))["app"]["target"] == "a:b"
