"""Values that are right in themselves, and cannot be used: together, or on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .conftest import Complaints, Loader

APP = '[app]\ntarget = "shop:app"\n'


@pytest.mark.parametrize(
    ("body_memory", "max_body", "fine"),
    [
        ("1MiB", "1MiB", True),
        ("1MiB", "2MiB", True),
        ("2MiB", "1MiB", False),
        ("1GiB", "0B", True),  # no limit
        ("1GiB", None, False),
        (None, "1B", True),  # a default gives way
    ],
)
def test_memory_for_bodies_is_not_larger_than_bodies(
    load_text: Loader, complaints: Complaints, body_memory: str | None, max_body: str | None, fine: bool
) -> None:
    text = APP + "[requests]\n"
    text += f'body_memory = "{body_memory}"\n' if body_memory else ""
    text += f'max_body = "{max_body}"\n' if max_body else ""
    if fine:
        load_text(text)
    else:
        (line,) = complaints(text)
        assert line.startswith(
            f'shop.toml: [requests] body_memory = "{body_memory}": must not be larger than max_body'
        )


def test_memory_for_bodies_is_by_default_no_larger_than_bodies(load_text: Loader) -> None:
    requests = load_text(APP + '[requests]\nmax_body = "1KiB"').settings.requests
    assert (requests.max_body, requests.body_memory) == (1024, 1024)
    requests = load_text(APP + "[requests]\nmax_body = 0").settings.requests
    assert (requests.max_body, requests.body_memory) == (0, 256 << 10)


@pytest.mark.parametrize(
    ("connections", "threads", "fine"),
    [(1, 1, True), (8, 8, True), (7, 8, False), (None, 4096, True), (1, None, True)],
)
def test_every_thread_can_have_a_connection(
    load_text: Loader, complaints: Complaints, connections: int | None, threads: int | None, fine: bool
) -> None:
    text = APP + "[workers]\n"
    text += f"connections = {connections}\n" if connections else ""
    text += f"threads = {threads}\n" if threads else ""
    if fine:
        load_text(text)
    else:
        (line,) = complaints(text)
        assert "[workers] connections = 7: must not be smaller than threads, which is 8" in line


@pytest.mark.parametrize("log", ["output", "access"])
def test_the_pid_file_is_not_a_log(complaints: Complaints, log: str) -> None:
    (line,) = complaints(APP + f'[server]\npid_file = "run/../a.log"\n[log]\n{log} = "./a.log"')
    assert line == 'shop.toml: [server] pid_file = "run/../a.log": must not be a log file as well'


def test_a_combination_is_blamed_on_where_it_was_made(complaints: Complaints) -> None:
    (line,) = complaints(APP + '[requests]\nmax_body = "1KiB"', "requests.body_memory=1MiB")
    assert line.startswith("--set: [requests] body_memory = ")


def test_a_value_that_is_wrong_in_itself_breaks_no_combination(complaints: Complaints) -> None:
    (line,) = complaints(APP + '[requests]\nmax_body = "little"\nbody_memory = "1GiB"')
    assert "max_body" in line.partition(" = ")[0]


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("chdir", '"nowhere"', "must be a directory: No such file or directory"),
        ("chdir", '"shop.toml"', "must be a directory; this is a file"),
        ("chdir", '"shop.toml/x"', "must be a directory: Not a directory"),
        ("chdir", f'"{"x" * 300}"', "must be a directory: File name too long"),
        ("python", '"nowhere"', "must be a Python interpreter: No such file or directory"),
        ("python", '"."', "must be a Python interpreter; this is not an executable file"),
        ("python", '"shop.toml"', "must be a Python interpreter; this is not an executable file"),
    ],
)
def test_what_must_be_there(complaints: Complaints, key: str, value: str, rule: str) -> None:
    (line,) = complaints(APP + f"{key} = {value}")
    assert line.startswith(f"shop.toml: [app] {key} = ")
    assert line.endswith(f": {rule}")


def test_each_directory_of_a_path_must_be_there(complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    assert complaints(APP + 'path = ["lib", "lob", "lab"]') == [
        'shop.toml: [app] path[1] = "lob": must be a directory: No such file or directory',
        'shop.toml: [app] path[2] = "lab": must be a directory: No such file or directory',
    ]


def test_a_path_may_hold_an_archive(load_text: Loader, tmp_path: Path) -> None:
    (tmp_path / "lib.zip").touch()
    assert load_text(APP + 'path = ["lib.zip"]').settings.app.path == (f"{tmp_path}/lib.zip",)


def test_the_python_of_a_virtual_environment_stays_a_link(load_text: Loader, tmp_path: Path) -> None:
    """Python finds its environment by the link it was started through (PEP 405)."""
    (tmp_path / "python").symlink_to(os.path.realpath(sys.executable))
    assert load_text(APP + 'python = "python"').settings.app.python == f"{tmp_path}/python"


def test_places_to_write_to_are_left_to_whoever_opens_them(load_text: Loader) -> None:
    load_text(
        APP
        + '[server]\npid_file = "/nowhere/pid"\nlisten = "unix:/nowhere/a"\n[log]\noutput = "/nowhere/log"'
    )
