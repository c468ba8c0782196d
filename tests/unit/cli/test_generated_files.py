"""What lies in docs/ and config/ is what the program makes now, and what its readers want."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from prefork.cli.completion import script
from prefork.cli.manual import PAGES, page
from support.deadline import DEADLINE_S, Deadline

from .conftest import Run

DOCS = Path(__file__).parents[3] / "docs"
COMPLETIONS = {"bash": "prefork", "zsh": "_prefork", "fish": "prefork.fish"}

Completer = Callable[[str], list[str]]


@pytest.mark.parametrize("name", PAGES)
def test_the_manual_is_current(name: str, prefork: Run) -> None:
    text = (DOCS / "man" / name).read_text()
    assert text == page(name), "make generated"
    assert prefork("manual", name).out == text


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_completions_are_current(shell: str, prefork: Run) -> None:
    text = (DOCS / "completion" / COMPLETIONS[shell]).read_text()
    assert text == script(shell), "make generated"
    assert prefork("completion", shell).out == text


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_the_manual_is_right_roff(name: str) -> None:
    command = ["mandoc", "-Tlint", "-Wwarning", str(DOCS / "man" / name)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("", 0)
    shown = subprocess.run(
        ["mandoc", "-Tascii", command[-1]], capture_output=True, text=True, check=True
    ).stdout
    assert "NAME" in shown


def bash(line: str) -> list[str]:
    words = line.split(" ")
    setting = f"COMP_WORDS=({' '.join(word or repr('') for word in words)}); COMP_CWORD={len(words) - 1}"
    source = DOCS / "completion" / "prefork"
    command = f'source {source}; {setting}; _prefork; printf "%s\\n" "${{COMPREPLY[@]}}"'
    found = subprocess.run(["bash", "--norc", "-c", command], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    return found.stdout.split()


def fish(line: str) -> list[str]:
    source = DOCS / "completion" / "prefork.fish"
    found = subprocess.run(
        ["fish", "--no-config", "-c", f"source {source}; complete -C '{line}'"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    return [each.split("\t")[0] for each in found.stdout.splitlines()]


@pytest.mark.parametrize("complete", [bash, fish], ids=["bash", "fish"])
def test_a_shell_completes(complete: Completer) -> None:
    if shutil.which(complete.__name__) is None:
        pytest.skip(f"{complete.__name__} is not installed")
    assert {"reload", "recycle", "resume", "reopen-logs"} == set(complete("prefork re"))
    assert complete("prefork reload --w") == ["--wait"]
    assert {"bash", "zsh", "fish"} <= set(complete("prefork completion "))
    assert complete("prefork run --set server.drai") == ["server.drain_delay="]
    assert "--workers" in complete("prefork --wor")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(tmp_path: Path) -> None:
    """As a person sees it: on a terminal, with the tabulator."""
    terminal, inner = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(tmp_path)},
    ) as process:
        os.close(inner)
        deadline, seen = Deadline(DEADLINE_S), ""

        def until(wanted: str) -> None:
            nonlocal seen
            while wanted not in seen:
                assert select.select([terminal], [], [], deadline.remaining())[0], (
                    f"no {wanted!r} in {seen!r}"
                )
                seen += os.read(terminal, 4096).decode("utf-8", "replace")
            seen = seen.partition(wanted)[2]

        def type_in(text: str) -> None:
            os.write(terminal, text.encode())

        type_in(
            f"PS1='>'; fpath=({DOCS}/completion $fpath); autoload -Uz compinit; compinit -u -D; print -r R''EADY\n"
        )
        until("READY")
        for typed, completed in (
            ("prefork recy\t", "prefork recycle "),
            ("prefork reload --wa\t", "prefork reload --wait"),
            ("prefork completion zs\t", "prefork completion zsh"),
        ):
            type_in(typed)
            until(completed)
            type_in("\x15")
        process.kill()
    os.close(terminal)
