"""The first word after `prefork`."""

from __future__ import annotations

import pytest

from prefork.cli import main
from prefork.cli.commands import COMMANDS
from prefork.cli.entry import EXIT_USAGE
from prefork.speedups import DESCRIPTION
from prefork.version import __version__

from .conftest import Run


def test_alone_it_explains_itself_in_a_few_lines(prefork: Run) -> None:
    ended = prefork()
    assert ended.code == EXIT_USAGE
    assert ended.out == ""
    assert 3 < len(ended.lines) < 10
    for words in ("prefork MODULE:APP", "prefork -c FILE", "prefork --help"):
        assert words in ended.err


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help_tells_everything(prefork: Run, argument: str) -> None:
    ended = prefork(argument)
    assert ended.code == 0
    assert ended.err == ""
    for word in (
        *COMMANDS,
        "--bind",
        "--workers",
        "--threads",
        "--set",
        "-c FILE",
        "MODULE:APP",
        "HUP",
        "78",
    ):
        assert word in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: prefork {name} ")
    assert COMMANDS[name].description in text


@pytest.mark.parametrize("argument", ["--version", "-V"])
def test_the_version(prefork: Run, argument: str) -> None:
    ended = prefork(argument)
    assert (ended.code, ended.out) == (0, f"prefork {__version__} ({DESCRIPTION})\n")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            ["chek"],
            "prefork: chek: is no command, and no application (write MODULE:APP, such as chek:app); "
            "did you mean prefork check? (try: prefork --help)",
        ),
        (
            ["bakery"],
            "prefork: bakery: is no command, and no application (write MODULE:APP, such as bakery:app) "
            "(try: prefork --help)",
        ),
        (["shop.toml"], "prefork: shop.toml: is a settings file; write -c shop.toml (try: prefork --help)"),
        (
            ["shop:app", "--wrokers", "3"],
            "prefork: unknown argument --wrokers; did you mean --workers? (try: prefork run --help)",
        ),
        (
            ["shop:app", "--bnd=a:1"],
            "prefork: unknown argument --bnd=a:1; did you mean --bind? (try: prefork run --help)",
        ),
        (
            ["scale", "--", "-1", "-c", "x.toml"],
            "prefork: unknown argument -c; options go before -- (try: prefork scale --help)",
        ),
        (["check", "a:b", "c:d"], "prefork: unknown argument c:d (try: prefork check --help)"),
        (
            ["config", "--work", "3"],
            "prefork: unknown argument --work; did you mean --workers? (try: prefork config --help)",
        ),
        (["--bind"], "prefork: argument --bind: expected one argument (try: prefork run --help)"),
        (["-c"], "prefork: argument -c/--config: expected one argument (try: prefork run --help)"),
        (
            ["run"],
            "prefork: name a settings file (-c FILE) or an application (MODULE:APP) (try: prefork --help)",
        ),
        (
            ["check"],
            "prefork: name a settings file (-c FILE) or an application (MODULE:APP) (try: prefork --help)",
        ),
        (
            ["config"],
            "prefork: name a settings file (-c FILE) or an application (MODULE:APP) (try: prefork --help)",
        ),
        (
            ["--workers", "2"],
            "prefork: name a settings file (-c FILE) or an application (MODULE:APP) (try: prefork --help)",
        ),
        (
            ["config", "--schema", "--reference"],
            "prefork: argument --reference: not allowed with argument --schema (try: prefork config --help)",
        ),
    ],
)
def test_a_wrong_word_is_one_line_that_helps(prefork: Run, argv: list[str], line: str) -> None:
    ended = prefork(*argv)
    assert (ended.code, ended.out, ended.lines) == (EXIT_USAGE, "", [line])


def test_main_ends_the_process_with_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, code in (([], EXIT_USAGE), (["--version"], 0), (["config", "-c", "/nowhere"], 78)):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == code
    assert "prefork" in capsys.readouterr().out


def test_main_takes_the_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prefork", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == f"prefork {__version__} ({DESCRIPTION})\n"
