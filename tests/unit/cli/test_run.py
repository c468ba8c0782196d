"""`prefork run`, and its short forms: which settings the master gets, and how its errors are shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork.errors import AlreadyRunningError, BootError, ConfigError, ListenError, PreforkError
from prefork.settings.listen import Listen
from prefork.settings.model import Settings

from .conftest import FakeMaster, Run

FILE = '[app]\ntarget = "shop:app"\n[workers]\ncount = 3\nthreads = 2\n[server]\nlisten = ["127.0.0.1:81"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(FILE)
    return path


def served(master: FakeMaster) -> Settings:
    (settings,) = master.served
    return settings


@pytest.mark.parametrize(
    "argv", [["-c", "shop.toml"], ["run", "-c", "shop.toml"], ["--config=shop.toml"], ["-cshop.toml"]]
)
@pytest.mark.usefixtures("file")
def test_a_settings_file(prefork: Run, master: FakeMaster, argv: list[str]) -> None:
    ended = prefork(*argv)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    settings = served(master)
    assert settings.app.target == "shop:app"
    assert (settings.workers.count, settings.workers.threads) == (3, 2)


@pytest.mark.parametrize(
    "argv", [["shop.web:app"], ["run", "shop.web:app"], ["--set", "app.target=shop.web:app"]]
)
def test_an_application_needs_no_file(prefork: Run, master: FakeMaster, argv: list[str]) -> None:
    assert prefork(*argv).code == 0
    settings = served(master)
    assert settings.app.target == "shop.web:app"
    assert settings.server.name == "shop.web"
    assert settings.server.listen == (Listen("127.0.0.1:8000"),)


@pytest.mark.parametrize(
    "argv",
    [
        "shop:app --bind 127.0.0.1:0 --bind unix:a --workers 4 --threads 8 --set requests.max_body=1GiB",
        "--bind 127.0.0.1:0 --bind unix:a --workers 4 --threads 8 --set requests.max_body=1GiB shop:app",
        "run --set requests.max_body=1GiB shop:app --bind=127.0.0.1:0 --bind=unix:a --threads=8 --workers=4",
        "shop:app --set workers.count=4 --set workers.threads=8 --set requests.max_body=1GiB "
        '--set server.listen=["127.0.0.1:0","unix:a"]',
        "-c shop.toml --bind 127.0.0.1:0 --bind unix:a --workers 4 --threads 8 --set requests.max_body=1GiB",
    ],
)
@pytest.mark.usefixtures("file")
def test_arguments_override_the_file(prefork: Run, master: FakeMaster, tmp_path: Path, argv: str) -> None:
    assert prefork(*argv.split(" ")).code == 0
    settings = served(master)
    assert settings.app.target == "shop:app"
    assert settings.server.listen == (Listen("127.0.0.1:0"), Listen(f"unix:{tmp_path}/a"))
    assert (settings.workers.count, settings.workers.threads) == (4, 8)
    assert settings.requests.max_body == 1 << 30


@pytest.mark.usefixtures("file")
def test_the_application_of_a_file_can_be_overridden(prefork: Run, master: FakeMaster) -> None:
    assert prefork("-c", "shop.toml", "till:app").code == 0
    assert served(master).app.target == "till:app"
    assert served(master).server.name == "shop"


def test_workers_can_be_counted_by_the_machine(prefork: Run, master: FakeMaster) -> None:
    assert prefork("shop:app", "--workers", "auto").code == 0
    assert served(master).workers.count == "auto"


@pytest.mark.usefixtures("file")
def test_set_is_stronger_than_a_shortcut(prefork: Run, master: FakeMaster) -> None:
    assert prefork("-c", "shop.toml", "--set", "workers.count=5", "--workers", "4").code == 0
    assert served(master).workers.count == 5


def test_a_reload_reads_the_file_again_and_keeps_the_arguments(
    prefork: Run, master: FakeMaster, file: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def meanwhile() -> None:
        file.write_text(FILE.replace("count = 3", "count = 30").replace("threads = 2", "threads = 20"))
        os.chdir(elsewhere)

    master.loads, master.between = 2, meanwhile
    assert prefork("-c", "shop.toml", "--threads", "7", "--bind", "unix:a").code == 0
    first, second = master.served
    assert (first.workers.count, first.workers.threads) == (3, 7)
    assert (second.workers.count, second.workers.threads) == (30, 7)
    assert first.server.listen == second.server.listen == (Listen(f"unix:{tmp_path}/a"),)


def test_a_reload_of_a_broken_file_is_an_error_that_the_master_sees(
    prefork: Run, master: FakeMaster, file: Path
) -> None:
    master.loads, master.between = 2, lambda: file.write_text("[workers]\ncuont = 3")
    ended = prefork("-c", "shop.toml")
    assert ended.code == 78
    assert len(master.served) == 1
    assert [line.partition(" = ")[0] for line in ended.lines] == [
        f"prefork: {file}: [workers] cuont",
        f"prefork: {file}: [app] target is missing: write target",
    ]


@pytest.mark.parametrize("code", [0, 3, 71])
def test_the_exit_code_is_the_masters(prefork: Run, master: FakeMaster, code: int) -> None:
    master.code = code
    assert prefork("shop:app").code == code


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError(["one", "two"]), 78, ["prefork: one", "prefork: two"]),
        (ConfigError("no user nobody2"), 78, ["prefork: no user nobody2"]),
        (ListenError("127.0.0.1:80: in use"), 71, ["prefork: 127.0.0.1:80: in use"]),
        (AlreadyRunningError("pid 3"), 71, ["prefork: pid 3"]),
        (BootError("import", "ImportError: x", "Traceback\n  x"), 3, ["prefork: ImportError: x"]),
        (PreforkError("first\nsecond"), 1, ["prefork: first", "prefork: second"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_an_error_is_lines_and_an_exit_code(
    prefork: Run, master: FakeMaster, error: BaseException, code: int, lines: list[str]
) -> None:
    master.error = error
    ended = prefork("shop:app")
    assert (ended.code, ended.out, ended.lines) == (code, "", lines)


@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        (
            ["shop:app", "--workers", "many", "--threads", "0", "--bind", "8000"],
            [
                'prefork: --bind: [server] listen[0] = "8000": must be "host:port", "[IPv6 address]:port" or '
                '"unix:path", such as "127.0.0.1:8000"',
                'prefork: --workers: [workers] count = "many": must be "auto", a whole number from 1 to 4096, '
                "or {min = 2, max = 8}",
                "prefork: --threads: [workers] threads = 0: must be a whole number from 1 to 4096",
            ],
        ),
        (
            ["shop:app", "--set", "workers"],
            ['prefork: --set workers: write table.key=value, such as "--set workers.count=4"'],
        ),
        (
            ["shop:app", "--set", "workers.cuont=3"],
            ['prefork: --set: [workers] cuont = 3: there is no such key; did you mean "count"?'],
        ),
        (
            ["-c", "/nowhere/shop.toml"],
            ["prefork: /nowhere/shop.toml: cannot be read: No such file or directory"],
        ),
    ],
)
def test_wrong_settings(prefork: Run, master: FakeMaster, argv: list[str], lines: list[str]) -> None:
    ended = prefork(*argv)
    assert (ended.code, ended.out, ended.lines) == (78, "", lines)
    assert master.served == []


def test_a_current_directory_that_was_removed(prefork: Run, master: FakeMaster, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    ended = prefork("shop:app")
    assert (ended.code, ended.lines) == (78, ["prefork: the current directory: No such file or directory"])
    assert master.served == []
