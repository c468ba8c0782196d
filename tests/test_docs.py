"""What the README promises is what the project does: its examples run, its files, tests and targets exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from prefork import errors, version
from support.server import Server, ServerFactory

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).with_name("prefork")
FREE_PORT = ("127.0.0.1:8000", "127.0.0.1:0")


def blocks(language: str) -> list[str]:
    """The fenced code blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def command_starting(start: str) -> list[str]:
    """Arguments of the one command of the README that starts like this, on a free port."""
    (found,) = [
        line for block in blocks("console") for line in block.splitlines() if line.startswith(f"$ {start}")
    ]
    return found.split("#")[0].replace(*FREE_PORT).split()[2:]


def start_documented(server_factory: ServerFactory, directory: Path, arguments: list[str]) -> Server:
    return server_factory(argv=arguments, executable=[str(COMMAND)], directory=directory)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with `shop.py` and `shop.toml` as the README shows them."""
    (source,) = blocks("python")
    (settings,) = blocks("toml")
    (tmp_path / "shop.py").write_text(source)
    (tmp_path / "shop.toml").write_text(settings.replace(*FREE_PORT))
    return tmp_path


def test_the_quick_start_works_as_written(server_factory: ServerFactory, shop: Path) -> None:
    server = start_documented(server_factory, shop, command_starting("prefork shop:app")).wait_ready()
    assert server.get("/").body == b"Welcome!\n"
    assert len(server.workers()) == 2
    assert server.stop() == 0


def test_the_settings_file_of_the_readme_works(server_factory: ServerFactory, shop: Path) -> None:
    assert start_documented(server_factory, shop, command_starting("prefork check")).wait() == 0
    shown = start_documented(server_factory, shop, command_starting("prefork config"))
    assert shown.wait() == 0
    shown.out.wait_end()
    assert "shop:app" in shown.out.text
    server = start_documented(server_factory, shop, command_starting("prefork -c")).wait_ready()
    assert server.addresses[1] == f"unix:{shop / 'shop.sock'}"
    for address in server.addresses:
        with server.connect(address) as connection:
            assert connection.get("/").body == b"Welcome!\n"
    assert server.stop() == 0
    assert server.out.text.count('"GET / HTTP/1.1" 200') == 2
    assert not (shop / "shop.sock").exists()


def test_the_demo_is_served_by_the_settings_of_make_run(server_factory: ServerFactory) -> None:
    arguments = ["-c", str(ROOT / "config" / "server.toml"), "--bind", "127.0.0.1:0", "--workers", "1"]
    server = server_factory(argv=arguments, directory=ROOT).wait_ready()
    assert server.get("/").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_what_the_readme_links_to_exists(link: str) -> None:
    assert (ROOT / link).is_file()


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/[\w/.:]+)`", README))))
def test_the_tests_that_the_readme_names_exist(test: str) -> None:
    path, _, name = test.partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name}(" in source if name else "def test_" in source


def test_the_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake (?:test ARGS|([a-z-]+))", README)) - {""}
    assert {"run", "test", "lint"} <= named
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert documented == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## {version.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
