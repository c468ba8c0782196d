"""Table `[static]`, whose keys are the user's own, and what is sent for the application."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.settings.load import load
from prefork.settings.overrides import parse_assignment
from prefork.settings.reference import effective_text
from prefork.settings.static import StaticPlace

from .conftest import Complaints, Loader

APP = '[app]\ntarget = "shop:app"\n'


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "other").mkdir()


def test_places_by_path(load_text: Loader, tmp_path: Path) -> None:
    loaded = load_text(
        f'{APP}[static]\n"/static/" = {{directory = "public", index = "index.html", hidden = true}}\n'
        '"/a.b" = {directory = "other", cache_control = "no-cache"}'
    )
    assert loaded.settings.static.places == {
        "/static": StaticPlace(directory=f"{tmp_path}/public", index="index.html", hidden=True),
        "/a.b": StaticPlace(directory=f"{tmp_path}/other", cache_control="no-cache"),
    }
    assert loaded.origins["static.places"] == f"file {tmp_path}/shop.toml"
    text = effective_text(loaded.settings, loaded.origins)
    assert load_text(text).settings == loaded.settings


def test_a_place_on_the_command_line_joins_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(f'{APP}[static]\n"/static" = {{directory = "public"}}')
    more = parse_assignment('static./more.d={directory = "."}')
    places = load(file, [more], directory=tmp_path / "other").settings.static.places
    assert {prefix: place.directory for prefix, place in places.items()} == {
        "/static": f"{tmp_path}/public",
        "/more.d": f"{tmp_path}/other",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '"static" = {directory = "public"}',
            '"static" = {directory = "public"}: the key must be a path of URLs',
        ),
        ('"/" = {directory = "public"}', '"/" = {directory = "public"}: the key must be a path of URLs'),
        (
            '"/a//b" = {directory = "public"}',
            '"/a//b" = {directory = "public"}: the key must be a path of URLs',
        ),
        (
            '"/../b" = {directory = "public"}',
            '"/../b" = {directory = "public"}: the key must be a path of URLs',
        ),
        (
            '"/%20" = {directory = "public"}',
            '"/%20" = {directory = "public"}: the key must be printable ASCII',
        ),
        (
            '"/a" = {directory = "public"}\n"/a/" = {directory = "public"}',
            '"/a/" = {directory = "public"}: is given twice',
        ),
        ('"/a" = {}', '"/a" = {}: must have a directory'),
        ('"/a" = "public"', '"/a" = "public": must be a table'),
        ('"/a" = {directory = "gone"}', '"/a".directory = "gone": must be a directory: No such file'),
        (
            '"/a" = {directory = "public", indx = "x"}',
            '"/a".indx = "x": there is no such key; did you mean "index"?',
        ),
        ('"/a" = {directory = "public", index = "a/b"}', '"/a".index = "a/b": must be the name of a file'),
        ('"/a" = {directory = "public", hidden = 1}', '"/a".hidden = 1: must be true or false'),
        (
            '"/a" = {directory = "public", cache_control = "a\\nb"}',
            '"/a".cache_control = "a\\nb": must be printable',
        ),
    ],
)
def test_a_mistake_is_one_line(complaints: Complaints, text: str, line: str) -> None:
    (found,) = complaints(f"{APP}[static]\n{text}")
    assert found.startswith(f"shop.toml: [static] {line}")


def test_directories_that_may_be_named_in_a_header(load_text: Loader, tmp_path: Path) -> None:
    text = f'{APP}[server]\nsendfile_header = "X-Sendfile"\nsendfile_paths = '
    paths = load_text(f'{text}["public"]').settings.server.sendfile_paths
    assert paths == {f"{tmp_path}/public": f"{tmp_path}/public"}
    paths = load_text(f'{text}{{"/protected/" = "public"}}').settings.server.sendfile_paths
    assert paths == {"/protected": f"{tmp_path}/public"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[server]\nsendfile_header = "X-Sendfile"', 'sendfile_header = "X-Sendfile": needs sendfile_paths'),
        (
            '[server]\nsendfile_header = "X Sendfile"',
            'sendfile_header = "X Sendfile": must be the name of a header',
        ),
        ('[server]\nsendfile_paths = ["public"]', 'sendfile_paths = ["public"]: needs sendfile_header'),
        (
            '[server]\nsendfile_header = "X-Sendfile"\nsendfile_paths = ["gone"]',
            'sendfile_paths."gone" = "gone": must be a directory: No such file',
        ),
        ("[requests]\nbuffer_body = false", "buffer_body = false: needs [workers] threads of 2 or more"),
    ],
)
def test_what_belongs_together(complaints: Complaints, text: str, line: str) -> None:
    (found,) = complaints(f"{APP}{text}")
    assert line in found
