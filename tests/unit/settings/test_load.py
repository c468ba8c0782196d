"""Loading: what wins, where it came from, and one line for every mistake."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.errors import ConfigError
from prefork.settings import tomltext
from prefork.settings.given import Given
from prefork.settings.listen import Listen
from prefork.settings.load import load
from prefork.settings.model import TABLES, AppSettings, Settings
from prefork.settings.overrides import Override, parse_assignment

from .conftest import Complaints, Loader

APP = '[app]\ntarget = "shop:app"\n'


def test_an_application_is_all_it_takes(load_text: Loader) -> None:
    loaded = load_text(APP)
    assert loaded.settings.app == AppSettings(target="shop:app")
    assert loaded.settings.workers == Settings(app=AppSettings(target="a:b")).workers
    assert loaded.settings.server.listen == (Listen("127.0.0.1:8000"),)


def test_no_file_is_needed(tmp_path: Path) -> None:
    loaded = load(None, [Override("app.target", "shop.web:app", "command line")], directory=tmp_path)
    assert loaded.settings.app.target == "shop.web:app"
    assert loaded.settings.server.name == "shop.web"
    assert loaded.origins["app.target"] == "command line"


def test_a_server_is_named_after_its_file(load_text: Loader) -> None:
    assert load_text(APP).settings.server.name == "shop"
    assert load_text(APP + '[server]\nname = ""').settings.server.name == "shop"
    assert load_text(APP + '[server]\nname = "till"').settings.server.name == "till"


def test_a_name_made_from_a_file_fits_a_process_title(tmp_path: Path) -> None:
    file = tmp_path / f"a\n{'b' * 100}.toml"
    file.write_text(APP)
    assert load(file).settings.server.name == "a?" + "b" * 62


def test_the_command_line_is_stronger_than_the_file_and_the_file_than_defaults(load_text: Loader) -> None:
    loaded = load_text(APP + "[workers]\ncount = 3\nthreads = 4", "workers.count=7")
    workers = loaded.settings.workers
    assert (workers.count, workers.threads, workers.connections) == (7, 4, 4096)


def test_the_last_word_on_the_command_line_wins(load_text: Loader) -> None:
    assert load_text(APP, "workers.count=7", "workers.count=8").settings.workers.count == 8


def test_where_everything_came_from(load_text: Loader, tmp_path: Path) -> None:
    origins = load_text(APP + "[workers]\ncount = 3", "workers.threads=2", "app.env.A=1").origins
    assert origins["app.target"] == f"file {tmp_path}/shop.toml"
    assert origins["workers.count"] == f"file {tmp_path}/shop.toml"
    assert origins["workers.threads"] == "--set"
    assert origins["app.env"] == "--set"
    assert origins["log.level"] == "default"
    assert set(origins) == {f"{table.name}.{key}" for table in TABLES.values() for key in table.options}


def test_variables_on_the_command_line_join_those_of_the_file(load_text: Loader, tmp_path: Path) -> None:
    text = APP + 'env = {A = "1", B = "2"}'
    loaded = load_text(text, "app.env.B=3", "app.env.C=4")
    assert loaded.settings.app.env == {"A": "1", "B": "3", "C": "4"}
    assert loaded.origins["app.env"] == f"file {tmp_path}/shop.toml, --set"


def test_a_whole_table_of_variables_on_the_command_line_replaces_those_of_the_file(load_text: Loader) -> None:
    assert load_text(APP + 'env = {A = "1"}', 'app.env={B = "2"}').settings.app.env == {"B": "2"}


def test_paths_start_where_they_were_written(tmp_path: Path) -> None:
    for name in ("etc", "etc/lib", "here", "here/lib"):
        (tmp_path / name).mkdir()
    file = tmp_path / "etc/shop.toml"
    file.write_text(
        '[app]\ntarget = "shop:app"\npath = ["lib"]\n[server]\nlisten = "unix:a"\npid_file = "pid"'
    )
    settings = load(file, directory=tmp_path / "here").settings
    assert settings.app.path == (f"{tmp_path}/etc/lib",)
    assert settings.server.listen == (Listen(f"unix:{tmp_path}/etc/a"),)
    assert settings.server.pid_file == f"{tmp_path}/etc/pid"
    overrides = [
        parse_assignment("app.path=lib"),
        parse_assignment("server.listen=unix:a"),
        parse_assignment("log.output=./log"),
    ]
    settings = load(file, overrides, directory=tmp_path / "here").settings
    assert settings.app.path == (f"{tmp_path}/here/lib",)
    assert settings.server.listen == (Listen(f"unix:{tmp_path}/here/a"),)
    assert settings.log.output == f"{tmp_path}/here/log"
    assert settings.server.pid_file == f"{tmp_path}/etc/pid"


def test_the_file_itself_may_be_named_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.toml").write_text(APP + 'chdir = "."')
    monkeypatch.chdir(tmp_path)
    loaded = load("shop.toml")
    assert loaded.settings.app.chdir == str(tmp_path)
    assert loaded.origins["app.target"] == f"file {tmp_path}/shop.toml"


def test_a_link_to_the_current_release_stays_a_link(tmp_path: Path) -> None:
    """Or a reload would serve the release that was current when the server was started."""
    for release in ("1", "2"):
        (tmp_path / release / "lib").mkdir(parents=True)
        (tmp_path / release / "shop.toml").write_text(APP + f'path = ["lib"]\n[server]\nname = "r{release}"')
    current = tmp_path / "current"
    current.symlink_to("1")
    first = load(current / "shop.toml").settings
    assert (first.server.name, first.app.path) == ("r1", (f"{current}/lib",))
    current.unlink()
    current.symlink_to("2")
    second = load(current / "shop.toml").settings
    assert (second.server.name, second.app.path) == ("r2", (f"{current}/lib",))


def test_settings_survive_the_way_to_the_zygote(load_text: Loader) -> None:
    settings = load_text(
        APP + 'env = {A = "é"}\npath = ["."]\n[server]\numask = "0027"\n'
        'listen = ["[::1]:1", {address = "unix:a", mode = "0660", user = "root"}]\n'
        '[workers]\ncount = "auto"\nboot_timeout = "1.5s"'
    ).settings
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
    numbered = load_text(APP + "[workers]\ncount = 3").settings
    assert msgspec.json.decode(msgspec.json.encode(numbered), type=Settings) == numbered


# -- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 'shop.toml: [app] target is missing: write target = "shop:app", say'),
        ("[app]", 'shop.toml: [app] target is missing: write target = "shop:app", say'),
        (
            APP + "[workers]\nconut = 4",
            'shop.toml: [workers] conut = 4: there is no such key; did you mean "count"?',
        ),
        (
            APP + "[workers]\nCount = 4",
            'shop.toml: [workers] Count = 4: there is no such key; did you mean "count"?',
        ),
        (
            APP + "[requests]\nmax-body = 4",
            'shop.toml: [requests] max-body = 4: there is no such key; did you mean "max_body"?',
        ),
        (
            APP + "[server]\nthreads = 4",
            "shop.toml: [server] threads = 4: there is no such key in [server]; it belongs in [workers]",
        ),
        (
            APP + "[server]\nthread = 4",
            'shop.toml: [server] thread = 4: there is no such key; did you mean "workers.threads"?',
        ),
        (APP + "[log]\nxyzzy = 4", "shop.toml: [log] xyzzy = 4: there is no such key"),
        (APP + '[log]\n"a\\nb" = 4', "shop.toml: [log] a\\nb = 4: there is no such key"),
        (
            APP + "[wrokers]\ncount = 4",
            "shop.toml: [wrokers]: there is no such table; did you mean [workers]?",
        ),
        (APP + "[xyzzy]", "shop.toml: [xyzzy]: there is no such table"),
        ("workers = 4\n" + APP, "shop.toml: workers = 4: is a table; write [workers] and its keys under it"),
        (
            APP + "[[workers]]\ncount = 4",
            "shop.toml: workers = [{count = 4}]: is a table; write [workers] and its keys under it",
        ),
        ("threads = 4\n" + APP, "shop.toml: threads = 4: belongs in the table [workers]"),
        (
            "thread = 4\n" + APP,
            'shop.toml: thread = 4: there is no such key; did you mean "workers.threads"?',
        ),
        ("wrokers = 4\n" + APP, "shop.toml: wrokers = 4: there is no such key; did you mean [workers]?"),
        ("xyzzy = 4\n" + APP, "shop.toml: xyzzy = 4: there is no such key"),
        (
            APP + "[workers]\ncount = true",
            'shop.toml: [workers] count = true: must be "auto", a whole number from 1 to 4096, or {min = 2, max = 8}',
        ),
        (
            APP + 'path = ["/", 3]',
            "shop.toml: [app] path[1] = 3: must be a string, in quotes",
        ),
        (
            APP + '[server]\nlisten = [{address = "unix:a", mod = "0660"}]',
            'shop.toml: [server] listen[0].mod = "0660": there is no such key; did you mean "mode"?',
        ),
        (
            '[app]\ntarget = "shop"',
            'shop.toml: [app] target = "shop": must be "module:name", such as "shop:app" or '
            '"shop.web:create_app(\'live\', debug=False)"; did you mean "shop:app"?',
        ),
        (
            APP + '[requests]\nbody_memory = "1GiB"\nmax_body = "10MiB"',
            'shop.toml: [requests] body_memory = "1GiB": must not be larger than max_body, which is "10MiB"',
        ),
        (
            APP + 'chdir = "nowhere"',
            'shop.toml: [app] chdir = "nowhere": must be a directory: No such file or directory',
        ),
    ],
)
def test_a_mistake_is_one_line(complaints: Complaints, text: str, line: str) -> None:
    assert complaints(text) == [line]


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("workers.conut=4", '--set: [workers] conut = 4: there is no such key; did you mean "count"?'),
        (
            "server.threads=4",
            "--set: [server] threads = 4: there is no such key in [server]; it belongs in [workers]",
        ),
        ("wrokers.count=4", "--set: [wrokers] count = 4: there is no such table; did you mean [workers]?"),
        (
            "workers.count=many",
            '--set: [workers] count = "many": must be "auto", a whole number from 1 to 4096, or {min = 2, max = 8}',
        ),
        ("workers.count.max=4", "--set: [workers] count.max = 4: there is no such key"),
        (
            "workers.count=0",
            '--set: [workers] count = 0: must be "auto", a whole number from 1 to 4096, or {min = 2, max = 8}',
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    complaints: Complaints, assignment: str, line: str
) -> None:
    found = complaints(APP, assignment)
    assert [entry.partition("; did you mean")[0] for entry in found] == [line.partition("; did you mean")[0]]
    assert found[0].startswith(line)


def test_a_mistake_in_the_file_does_not_count_if_the_command_line_says_better(load_text: Loader) -> None:
    assert load_text(APP + '[workers]\ncount = "many"', "workers.count=4").settings.workers.count == 4


def test_mixed_variables_blame_both_places(complaints: Complaints) -> None:
    assert complaints(APP + "env = {A = 1}", "app.env.B=2") == [
        "shop.toml, --set: [app] env.A = 1: must be a string, in quotes"
    ]


def test_an_application_missing_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, directory=tmp_path)
    assert caught.value.problems == ('command line: [app] target is missing: write target = "shop:app", say',)


def test_one_run_finds_every_mistake(complaints: Complaints) -> None:
    lines = complaints(
        """
        listen = ["127.0.0.1:1"]
        [worker]
        count = 3
        [app]
        targit = "x:y"
        chdir = "nowhere"
        env = {A = 1, "B=" = "x"}
        path = ["lib", 3]
        python = "shop.toml"
        preload = "alwys"
        [server]
        listen = ["127.0.0.1:8000", "0.0.0.0:8000", {address = "unix:x", mode = 660, ownr = "x"}]
        threads = 4
        backlog = true
        request_handler = "foo"
        [workers]
        count = "many"
        boot_timeout = "5 minutes"
        conections = 2
        [requests]
        body_memory = "1GiB"
        max_body = 300
        max_headers = 99999999999999
        header_timeout = inf
        [log]
        output = "stdout"
        access_format = "combind"
        level = "warn"
        """,
        "workers.cuont=4",
    )
    subjects = [line.partition(" = ")[0].partition(": ")[2] for line in lines]
    assert subjects == [
        *("listen", "[worker]: there is no such table; did you mean [workers]?", "[app] targit"),
        *("[server] threads", "[workers] conections", "[workers] cuont", "[app] env.A", "[app] env.B="),
        *("[app] path[1]", "[app] preload", "[server] listen[1]", "[server] listen[2].mode"),
        *("[server] listen[2].ownr", "[server] backlog", "[server] request_handler", "[workers] count"),
        *("[workers] boot_timeout", "[requests] max_headers", "[requests] header_timeout", "[log] output"),
        *(
            "[log] access_format",
            "[log] level",
            "[app] target is missing: write target",
            "[requests] body_memory",
        ),
        *("[app] chdir", "[app] python"),
    ]


def test_no_message_speaks_to_the_terminal(complaints: Complaints) -> None:
    for line in complaints('"\\u001B[2J" = 1\n[app]\ntarget = "\\u001B[2J"\n"a\\u202Eb" = 1'):
        assert line.isprintable()


keys = st.sampled_from([key for table in TABLES.values() for key in table.options] + ["x", "", "a\nb"])
values = st.recursive(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.dates(),
        st.sampled_from(
            ["30s", "64KiB", "auto", "127.0.0.1:80", "unix:a", "shop:app", "0660", "stderr", "%h"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["address", "mode", "user", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([*TABLES, "x"]),
        st.one_of(st.dictionaries(keys, values, max_size=6), values),
        max_size=6,
    )
)
def test_whatever_a_file_holds_it_is_loaded_or_complained_about(
    load_text: Loader, content: dict[str, object]
) -> None:
    text = "".join(f"{tomltext.key(name)} = {tomltext.value(table)}\n" for name, table in content.items())
    try:
        loaded = load_text(text)
    except ConfigError as error:
        assert error.problems
        assert all(line.isprintable() and ": " in line for line in error.problems)
    else:
        assert msgspec.json.decode(msgspec.json.encode(loaded.settings), type=Settings) == loaded.settings


def test_loading_changes_nothing_it_was_given(load_text: Loader) -> None:
    environment = {"A": "1"}
    load(None, [Override("app.target", "a:b", "x"), Override("app.env", environment, "x")], directory=os.sep)
    load(
        None,
        [
            Override("app.target", "a:b", "x"),
            Override("app.env", environment, "x"),
            parse_assignment("app.env.B=2"),
        ],
        directory=os.sep,
    )
    assert environment == {"A": "1"}
    with pytest.raises(AttributeError):
        Given(1, "", "", "").value = 2  # type: ignore[misc]
