"""uWSGI's files: sections, inheritance, placeholders, logic, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from prefork.errors import ConfigError
from prefork.migrate.draft import World
from prefork.migrate.uwsgi_files import uwsgi_settings


def read(
    text: str, name: str = "a.ini", *, section: str = "", files: Mapping[str, str] | None = None
) -> tuple[list[tuple[str, object]], list[str]]:
    there = files or {}

    def open_file(path: str) -> str:
        if path not in there:
            raise ConfigError(f"{path}: cannot be read")
        return there[path]

    given, notes = uwsgi_settings(
        name, text, World(open_file, lambda path: path == "/srv/there", "/srv", "/srv"), section
    )
    return [(each.option, each.value) for each in given], [
        f"{note.place}: {note.written}: {note.text}" for note in notes
    ]


def ini(text: str) -> tuple[list[tuple[str, object]], list[str]]:
    return read(f"[uwsgi]\n{text}")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "master\n# no\n; no\nsocket=:1\nsocket = :2",
            [("master", "true"), ("socket", ":1"), ("socket", ":2")],
        ),
        ("a = 2\nthreads = %(a)", [("a", "2"), ("threads", "2")]),
        (
            "foo = 17\nbar = 30\ntotal = %(foo + bar + 3 * 2)",
            [("foo", "17"), ("bar", "30"), ("total", "100")],
        ),
        ("foo = 29\nbar = %(foo ++)", [("foo", "29"), ("bar", "30")]),
        ("foo = 2\nbar = 9\nbar = %(foo bar ++)", [("foo", "2"), ("bar", "9"), ("bar", "30")]),
        ("set-ph = d = /x\nchdir = %(d)/y", [("chdir", "/x/y")]),
        ("socket = /run/%n.sock", [("socket", "/run/a.sock")]),
        ("chdir = %d", [("chdir", "/srv/")]),
        ("pidfile = %p.pid", [("pidfile", "/srv/a.ini.pid")]),
        (
            "for = 1 2\nsocket = :%(_)\nendfor =\nmaster = 1",
            [("socket", ":1"), ("socket", ":2"), ("master", "1")],
        ),
        ("if-not-env = HOME\nmaster = 1\nendif =", [("master", "1")]),
        (
            "if-file = /srv/there\nwsgi-file = %(_)\nendif\nif-file = /no\nmaster = 1\nendif",
            [("wsgi-file", "/srv/there")],
        ),
        ("log-format = %(addr) %(status)", [("log-format", "%(addr) %(status)")]),
    ],
)
def test_ini(text: str, wanted: list[tuple[str, object]]) -> None:
    assert ini(text)[0] == wanted


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("socket = $(ADDRESS)", "line 2: socket = $(ADDRESS): depends on the environment variable ADDRESS"),
        ("socket = %(address)", 'line 2: socket = %(address): depends on "address"'),
        ("env = A=@(/etc/passwd)", "line 2: env = A=@(/etc/passwd): is the content of /etc/passwd"),
        ("workers = %k", "line 2: workers = %k: depends on the machine"),
        (
            "if-env = HOME\nmaster = 1\nendif =",
            "line 2: if-env = HOME: taken as if the variable were not set",
        ),
        ("if-hostname = a\nmaster = 1\nendif =", "line 2: if-hostname = a: if-hostname cannot be known here"),
        ("a = 1\nb = %(a / 0)", "line 3: b = %(a / 0): divides by 0"),
        ("ini = exec://cat x", "line 2: ini = exec://cat x: inherits from what is no plain file"),
        ("for-times = 99999999\nsocket = :1\nendfor =", "line 2: for-times = 99999999:"),
    ],
)
def test_what_cannot_be_known_is_told_with_its_line(text: str, note: str) -> None:
    given, notes = ini(text)
    assert [each for each in given if each[0] not in ("a",)] == []
    assert len(notes) == 1
    assert notes[0].startswith(note), notes


def test_sections_and_inheritance() -> None:
    text = "[uwsgi]\nini = :more\nini = base.ini:x\nmaster = 1\n[more]\nthreads = 2\n"
    found, notes = read(text, files={"base.ini": "[x]\nworkers = 3\n[uwsgi]\nworkers = 9\n"})
    assert (found, notes) == ([("threads", "2"), ("workers", "3"), ("master", "1")], [])
    assert read(text, section="more")[0] == [("threads", "2")]
    with pytest.raises(ConfigError, match=r"a.ini: has no section \[web\]; there are uwsgi, more"):
        read(text, section="web")


def test_files_that_inherit_each_other_end() -> None:
    with pytest.raises(ConfigError, match="16 deep"):
        read("[uwsgi]\nini = a.ini\n", files={"a.ini": "[uwsgi]\nini = a.ini\n"})


def test_yaml_json_and_xml_say_the_same() -> None:
    wanted = [("socket", ":1"), ("socket", ":2"), ("master", "true"), ("workers", "3")]
    assert (
        read("uwsgi:\n  socket: ':1'\n  socket: ':2'\n  master: true\n  workers: 3\n", "a.yaml")[0] == wanted
    )
    assert read("uwsgi:\n  socket: [':1', ':2']\n  master:\n  workers: 3\n", "a.yml")[0] == wanted
    assert read('{"uwsgi": {"socket": [":1", ":2"], "master": true, "workers": 3}}', "a.json")[0] == wanted
    xml = "<x><uwsgi id='b'/><uwsgi><socket>:1</socket><socket>:2</socket><master/><workers>3</workers></uwsgi></x>"
    assert read(xml, "a.xml")[0] == wanted


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.ini", "[uwsgi\nmaster=1", "line 1: a section"),
        ("a.ini", "master=1", r"no section \[uwsgi\]; there is none"),
        ("a.xml", "<uwsgi><a></uwsgi>", "line 1, column 1[0-9]: is not XML: mismatched tag"),
        (
            "a.xml",
            '<!DOCTYPE u [<!ENTITY a "b">]>\n<uwsgi><env>&a;</env></uwsgi>',
            "line 1: has a document type",
        ),
        ("a.xml", '<!DOCTYPE u SYSTEM "file:///etc/passwd"><uwsgi/>', "line 1: has a document type"),
        ("a.json", '{"uwsgi": {', "line 1, column 12: is not JSON"),
        ("a.json", '{"uwsgi": {"a": {}}}', "uwsgi.a: is neither"),
        ("a.json", "[" * 100_000, "JSON"),
        ("a.yaml", "uwsgi:\n  chdir: %d\n", "line 2, column 10: is not YAML: .*quote what begins"),
        ("a.yaml", "uwsgi:\n  a: {b: 1}\n", "line 2: a: is neither"),
        ("a.yaml", "- a\n", "no section"),
        ("a.yaml", "uwsgi: !!python/object/apply:os.system [exit]\nb: *x", "is not YAML"),
    ],
)
def test_mistakes_have_a_place(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(text, name)


def test_objects_of_yaml_are_not_made() -> None:
    assert read("uwsgi:\n  a: !!python/name:os.system x\n", "a.yaml")[0] == [("a", "x")]


def test_yaml_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"a.yaml: YAML needs PyYAML: pip install 'prefork\[migrate\]'"):
        read("uwsgi:\n", "a.yaml")
