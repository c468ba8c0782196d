"""`prefork migrate` as a person calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.cli.entry import run
from prefork.migrate.accessformat import from_apache, from_gunicorn, from_uwsgi
from prefork.observe.access_format import access_format_problem
from prefork.settings.load import load


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def out_of(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> tuple[str, str]:
    assert run(["migrate", *argv]) == code
    return tuple(capsys.readouterr())  # type: ignore[return-value]


def test_each_line_says_what_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gunicorn.conf.py").write_text("workers = 4\nreload_engine = 'inotify'\nnonsense = 3\n")
    out, err = out_of(capsys, "gunicorn.conf.py", "--app", "shop:app")
    assert "count = 4  # gunicorn: workers = 4\n" in out
    assert 'timeout = "30s"  # gunicorn\'s default: timeout = 30\n' in out
    assert 'target = "shop:app"  # gunicorn: --app shop:app\n' in out
    assert "# gunicorn: reload_engine = 'inotify' (line 2)\n#     see reload\n" in out
    assert "no equivalent: reload_engine = 'inotify' (line 2): see reload\n" in err
    assert "nonsense" not in out + err  # gunicorn does not mind either


def test_the_command_line_is_over_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.py").write_text("workers = 4\nthreads = 2\nbind = ['127.0.0.1:1', '127.0.0.1:2']\n")
    for argv in (["c.py", "--gunicorn", "-w8 -b :3 a:b"], ["--gunicorn", "gunicorn -c c.py --workers=8 --bind=:3 a:b"],
                 ["--gunicorn", "GUNICORN_CMD_ARGS='-c c.py -w 9 -b :4' X=1 python -m gunicorn -w 8 -b :3 a:b"]):  # fmt: skip
        out, _ = out_of(capsys, *argv)
        Path("s.toml").write_text(out)
        settings = load("s.toml").settings
        assert (settings.workers.count, settings.workers.threads, settings.app.target) == (8, 2, "a:b")
        assert [each.address for each in settings.server.listen] == ["0.0.0.0:3"]


def test_a_file_that_is_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("server.toml").write_text("mine")
    out_of(capsys, "--gunicorn", "a:b", "-o", "server.toml", code=1)
    assert Path("server.toml").read_text() == "mine"
    out_of(capsys, "--gunicorn", "a:b", "-o", "server.toml", "--force")
    assert load("server.toml").settings.app.target == "a:b"


def test_paths_are_seen_from_the_new_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("etc").mkdir()
    out_of(
        capsys, "--gunicorn", "--access-logfile logs/a.log -b unix:run/x.sock a:b", "-o", "etc/server.toml"
    )
    settings = load("etc/server.toml").settings
    assert settings.log.access == str(tmp_path / "logs/a.log")
    assert settings.server.listen[0].address == f"unix:{tmp_path}/run/x.sock"
    assert settings.app.chdir == str(tmp_path)


def test_without_an_application_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = out_of(capsys, "--gunicorn", "-w 3", "-o", "server.toml", code=78)
    assert "--app MODULE:APP" in err
    assert not Path("server.toml").exists()
    Path("wsgi.py").write_text("application = 1\n")
    _, err = out_of(capsys, "--gunicorn", "-w 3", "-o", "server.toml")
    assert "found: wsgi:application" in err


@pytest.mark.parametrize(
    ("name", "content", "argv", "words"),
    [
        ("a.py", b"x = 1\ny = '\xff'\n", [], "line 2: is not UTF-8"),
        ("a.py", b"x = (\n", [], "line 1, column 5: is not Python"),
        ("a.py", b"#" * ((1 << 20) + 1), [], "larger than 1 MiB"),
        ("a.txt", b"hello", [], "whose settings are these?"),
        ("a.ini", b"[web]\n", [], "FILE:SECTION"),
        ("a.py", b"", ["--gunicorn=-w"], "-w: wants an argument"),
        ("a.py", b"", ["--gunicorn", "'"], "is no command line"),
        ("a.py", b"", ["--uwsgi", "gunicorn a:b"], "runs gunicorn, not uWSGI"),
        ("a.py", b"", ["--gunicorn", "-c nowhere.py a:b"], "nowhere.py: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    name: str, content: bytes, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    out, err = out_of(capsys, *([name] if "--uwsgi" not in argv else []), *argv, code=78)
    assert words in err
    assert (out, len(err.splitlines())) == ("", 1)


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate"]) == 2
    assert "name a file, or" in capsys.readouterr().err
    assert run(["migrate", "--gunicorn", "a:b", "--uwsgi", "x"]) == 2
    assert "one server at a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (from_gunicorn('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'), "combined"),
        (
            from_gunicorn('{"id": "%({x-request-id}i)s", "t": %(M)s}'),
            '{{"id": "{request_id}", "t": {duration_ms}}}',
        ),
        (from_gunicorn("%({secret}e)s %(h)s"), "- {addr}"),
        (from_apache('%h %l %u %t "%r" %>s %b'), "common"),
        (
            from_apache("%a %{Host}i %{X}o %D %{ms}T 100%%"),
            "{addr} {host} - {duration_us} {duration_ms} 100%",
        ),
        (from_apache("combined"), "combined"),
        (from_uwsgi("%(addr) %(wid) %(secs) %(var.X)"), "{addr} {worker} {duration_s} -"),
    ],
)
def test_access_formats(made: tuple[str, list[str]], wanted: str) -> None:
    assert made[0] == wanted
    assert access_format_problem(made[0]) is None


def test_there_are_as_many_connections_as_threads(capsys: pytest.CaptureFixture[str]) -> None:
    out_of(capsys, "--waitress", "--threads 200 a:b", "-o", "server.toml")
    assert load("server.toml").settings.workers.connections == 200
