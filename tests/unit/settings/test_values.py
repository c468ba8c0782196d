"""Every key: what it accepts, what it becomes, and what it says to anything else."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from prefork.settings.kinds.base import InvalidValueError
from prefork.settings.kinds.flag import Flag
from prefork.settings.kinds.numbers import Duration
from prefork.settings.kinds.workers import CountRange
from prefork.settings.listen import Listen
from prefork.settings.model import TABLES, option

DIRECTORY = "/srv/shop"
ALL_KEYS = [f"{table.name}.{key}" for table in TABLES.values() for key in table.options]


def convert(key: str, value: object) -> Any:
    found = option(key)
    assert found is not None
    return found.kind.convert(value, DIRECTORY)


def rules(key: str, value: object) -> list[str]:
    """What is said about a value, each with the part of it that is meant."""
    with pytest.raises(ValueError) as caught:
        convert(key, value)
    if isinstance(caught.value, InvalidValueError):
        return [f"{mistake.where}: {mistake.rule}" for mistake in caught.value.mistakes]
    return [str(caught.value)]


TARGETS = [
    *("shop:app", "shop.web:app", "shop.web:site.app", "_a.b1:c_", "módulo:aplicación"),
    *("shop:create_app()", "shop:make.app('live', 1, debug=False, hosts=['a'], limits={'a': (1, None)})"),
]


@pytest.mark.parametrize("value", TARGETS)
def test_an_application_is_named_by_module_and_name(value: str) -> None:
    assert convert("app.target", value) == value


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        *[
            ("", ""),
            (":", ""),
            ("shop:", ""),
            (":app", ""),
            ("shop:app:x", ""),
            ("shop app", ""),
            ("1shop:app", ""),
        ],
        *[("shop:None", ""), ("shop:class", ""), ("shop:app[0]", ""), ("shop:a()()", ""), ("shop:a+b", "")],
        *[("shop:make(x)", ""), ("shop:make(*[1])", ""), ("shop:make(**{})", ""), ("shop:make(f())", "")],
        *[("shop:lambda: 1", ""), ("shop:app;import os", ""), ("shop:app\nx", ""), (".shop:app", "")],
        *[
            ("shop", "shop:app"),
            ("shop.py", "shop:app"),
            ("shop/web.py", "shop.web:app"),
            ("./shop.py", "shop:app"),
        ],
        ("shop:" + "(" * 1000, ""),
    ],
)
def test_what_names_no_application_is_told_how_to(value: str, suggestion: str) -> None:
    (rule,) = rules("app.target", value)
    assert rule.startswith('must be "module:name"')
    assert rule.endswith(f'; did you mean "{suggestion}"?' if suggestion else ')"')


@pytest.mark.parametrize("value", TARGETS)
def test_the_loader_understands_what_settings_accept(value: str) -> None:
    """Settings cannot import `prefork.wsgi`, so their two parsers are compared here."""
    from prefork.wsgi.loader import parse_target

    assert parse_target(value).module == value.partition(":")[0]


@pytest.mark.parametrize("value", ["shop.http:Handler", "shop:Outer.Inner"])
def test_a_class_is_named_by_module_and_name(value: str) -> None:
    assert convert("server.request_handler", value) == value


@pytest.mark.parametrize(
    "value", ["Handler", "shop.http.Handler", "shop:", ":Handler", "shop:Handler()", "a b:C"]
)
def test_what_names_no_class_is_told_how_to(value: str) -> None:
    assert rules("server.request_handler", value) == ['must be "module:Class", such as "shop.http:Handler"']


OPTIONAL_KEYS = [
    *("app.chdir", "app.python", "server.user", "server.group"),
    *("server.umask", "server.pid_file", "server.request_handler"),
]


@pytest.mark.parametrize("key", OPTIONAL_KEYS)
def test_an_empty_text_means_none(key: str) -> None:
    assert convert(key, "") is None


@pytest.mark.parametrize("key", ["app.chdir", "app.python", "server.pid_file", "log.output", "log.access"])
@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/run/x.y", "/run/x.y"),
        ("./x", "/srv/shop/x"),
        ("lib/x", "/srv/shop/lib/x"),
        ("../x", "/srv/x"),
        ("/run/../x", "/x"),
        ("x.y", "/srv/shop/x.y"),
    ],
)
def test_a_path_is_absolute_once_loaded(key: str, written: str, path: str) -> None:
    assert convert(key, written) == path


@pytest.mark.parametrize(
    ("written", "paths"),
    [
        ([], ()),
        (["lib", "/opt/x", ".", ""], ("/srv/shop/lib", "/opt/x", "/srv/shop", "/srv/shop")),
        ("a", ("/srv/shop/a",)),
    ],
)
def test_paths_are_absolute_once_loaded(written: object, paths: tuple[str, ...]) -> None:
    assert convert("app.path", written) == paths


@pytest.mark.parametrize("word", ["stdou", "on", "yes", "none", "-", "", "syslog", "access"])
def test_a_log_does_not_go_to_a_file_that_looks_like_a_mistake(word: str) -> None:
    assert "or a path" in rules("log.access", word)[0]
    assert "or a path" in rules("log.output", word)[0]


@pytest.mark.parametrize(
    ("key", "word"),
    [("log.output", "stderr"), ("log.access", "off"), ("log.access", "stdout"), ("log.access", "stderr")],
)
def test_a_log_can_go_to_a_stream(key: str, word: str) -> None:
    assert convert(key, word) == word


def test_the_servers_own_log_does_not_go_to_stdout() -> None:
    assert "or a path" in rules("log.output", "stdout")[0]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["127.0.0.1:80"], (Listen("127.0.0.1:80"),)),
        ("127.0.0.1:80", (Listen("127.0.0.1:80"),)),
        (["[::1]:80", "unix:a"], (Listen("[::1]:80"), Listen("unix:/srv/shop/a"))),
        ([{"address": "[0::1]:80"}], (Listen("[::1]:80"),)),
        ({"address": "unix:a", "mode": "0660"}, (Listen("unix:/srv/shop/a", mode=0o660),)),
        (
            [{"address": "unix:/a", "mode": "600", "user": "root", "group": "33"}],
            (Listen("unix:/a", mode=0o600, user="root", group="33"),),
        ),
        ([{"address": "127.0.0.1:80", "mode": "", "user": "", "group": ""}], (Listen("127.0.0.1:80"),)),
        (["127.0.0.1:0", "127.0.0.1:0"], (Listen("127.0.0.1:0"), Listen("127.0.0.1:0"))),
    ],
)
def test_what_to_listen_on(written: object, kept: tuple[Listen, ...]) -> None:
    assert convert("server.listen", written) == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], ['must name at least one address, such as ["127.0.0.1:8000"]']),
        ([8000], ["[0]: must be a string, in quotes"]),
        (True, [": must be a string, in quotes"]),
        ([["127.0.0.1:80"]], ["[0]: must be a string, in quotes"]),
        (["a:1", "a:1"], ['[1]: is already listened on as "a:1"']),
        (["0.0.0.0:1", "a:2", "127.0.0.1:1"], ['[2]: is already listened on as "0.0.0.0:1"']),
        ([{"address": "unix:a"}, "unix:/srv/shop/a"], ['[1]: is already listened on as "unix:/srv/shop/a"']),
        ([{}], ['[0]: must have an address, such as {address = "unix:/run/shop.sock"}']),
        (
            [{"adress": "a:1"}],
            ['[0].adress: there is no such key; did you mean "address"?', "[0]: must have"],
        ),
        ([{"address": "a"}, "b"], ['[0].address: must be "host:port"', '[1]: must be "host:port"']),
        ([{"address": "unix:a", "mode": 660}], ["[0].mode: must be a string of octal digits"]),
        ([{"address": "unix:a", "mode": "1777"}], ['[0].mode: must be from "0000" to "0777"']),
        ([{"address": "unix:a", "user": 0}], ["[0].user: must be a string"]),
        (
            [{"address": "unix:a", "group": "a b"}],
            ["[0].group: must be the name or the number of an account"],
        ),
        ([{"address": "a:1", "mode": "0660"}], ["[0].mode: is for the file of a unix: socket"]),
        ([{"address": "unix:@a", "user": "root"}], ["[0].user: is for the file of a unix: socket"]),
        (
            {"address": "a:1", "user": "u", "group": "g"},
            [".user: is for the file", ".group: is for the file"],
        ),
        (["a", "b"], ["[0]: must be", "[1]: must be"]),
    ],
)
def test_what_cannot_be_listened_on(written: object, said: list[str]) -> None:
    found = rules("server.listen", written)
    assert len(found) == len(said)
    for line, start in zip(found, said, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], ["must be a table of strings"]),
        ("A=b", ["must be a table of strings"]),
        (
            {"A": 1, "B": True, "C": None},
            [".A: must be a string", ".B: must be a string", ".C: must be a string"],
        ),
        ({"": "x"}, [".: a variable's name must not be empty"]),
        ({"A=B": "x"}, [".A=B: a variable's name must not"]),
        ({"A\0": "x"}, [".A\0: must not hold a NUL"]),
        ({"A": "x\0"}, [".A: must not hold a NUL"]),
        ({"A": "\udc80"}, [".A: must be UTF-8"]),
    ],
)
def test_what_cannot_be_an_environment(written: object, said: list[str]) -> None:
    for line, start in zip(rules("app.env", written), said, strict=True):
        assert line.startswith(start)


def test_an_environment_is_texts() -> None:
    variables = {"LANG": "C.UTF-8", "EMPTY": "", "a.b-c": "x=y"}
    assert convert("app.env", variables) == variables


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("server.backlog", 1, 65535),
        ("workers.count", 1, 4096),
        ("workers.threads", 1, 4096),
        ("workers.connections", 1, 1_000_000),
        ("requests.max_headers", 1, 10_000),
    ],
)
def test_a_count_has_bounds(key: str, least: int, most: int) -> None:
    assert convert(key, least) == least
    assert convert(key, most) == most
    for wrong in (least - 1, most + 1, -1, 10**400, 1.0, True, "1", None, [1], {}, ""):
        assert f"a whole number from {least} to {most}" in rules(key, wrong)[0]


def test_workers_can_be_counted_by_the_machine() -> None:
    assert convert("workers.count", "auto") == "auto"
    assert rules("workers.count", "Auto") == [
        'must be "auto", a whole number from 1 to 4096, or {min = 2, max = 8}'
    ]


def test_a_number_of_workers_may_be_a_range() -> None:
    assert convert("workers.count", {"min": 0, "max": 8}) == CountRange(0, 8)
    assert rules("workers.count", {"min": 5, "max": 4}) == [".max: must not be smaller than min, which is 5"]
    assert len(rules("workers.count", {"min": -1, "max": 0})) == 2
    assert "or {min" in rules("workers.count", {"min": 1, "most": 2})[0]


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("workers.boot_timeout", 0.01),
        ("workers.drain_timeout", 0.0),
        ("requests.header_timeout", 0.01),
        ("requests.body_timeout", 0.01),
        ("requests.write_timeout", 0.01),
        ("requests.keepalive_timeout", 0.0),
    ],
)
def test_a_time_limit_has_bounds(key: str, least: float) -> None:
    assert convert(key, least) == least
    assert convert(key, "1d") == 86400.0
    assert convert(key, "250ms") == 0.25
    assert "to 1d" in rules(key, "25h")[0]
    assert "to 1d" in rules(key, 86401)[0]
    for wrong in (-1, True, "30", "soon", None, [1], float("inf")):
        assert "number of seconds" in rules(key, wrong)[0]
    if least:
        assert "from 10ms" in rules(key, 0)[0]


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("requests.max_request_line", 256, 1 << 20),
        ("requests.max_header_bytes", 256, 16 << 20),
        ("requests.max_body", 0, 16 << 40),
        ("requests.body_memory", 0, 1 << 30),
    ],
)
def test_a_size_limit_has_bounds(key: str, least: int, most: int) -> None:
    assert convert(key, least) == least
    assert convert(key, most) == most
    assert convert(key, "1MiB") == 1 << 20
    assert "must be from" in rules(key, most + 1)[0]
    for wrong in (-1, 1.0, True, "64", "lots", None, []):
        assert "number of bytes" in rules(key, wrong)[0]
    if least:
        assert "must be from 256B" in rules(key, least - 1)[0]


@pytest.mark.parametrize(
    ("key", "words"),
    [("app.preload", ["auto", "always", "never"]), ("log.level", ["debug", "info", "warning", "error"])],
)
def test_a_word_is_one_of_a_few(key: str, words: list[str]) -> None:
    for word in words:
        assert convert(key, word) == word
    for wrong in ("", "zzz", words[0].upper() + "!", True, 1, None, []):
        assert rules(key, wrong)[0].startswith(f'must be "{words[0]}"')


@pytest.mark.parametrize(
    ("key", "written", "word"),
    [("log.level", "warn", "warning"), ("log.level", "DEBUG", "debug"), ("app.preload", "allways", "always")],
)
def test_a_word_nearly_right_is_suggested(key: str, written: str, word: str) -> None:
    assert rules(key, written)[0].endswith(f'; did you mean "{word}"?')


@pytest.mark.parametrize("value", ["common", "combined", "json", '{addr} "{request}" {status}', "{addr}"])
def test_an_access_format_is_a_name_or_has_fields(value: str) -> None:
    assert convert("log.access_format", value) == value


@pytest.mark.parametrize(
    ("value", "ending"),
    [("combind", '; did you mean "combined"?'), ("", ""), ("yes", ""), ("{addr}\n{time}", ""), ("%h", "")],
)
def test_an_access_format_without_fields_is_a_mistake(value: str, ending: str) -> None:
    (rule,) = rules("log.access_format", value)
    assert rule.startswith("must be common, combined, json, dev or a format with fields")
    assert rule.endswith(ending)


@pytest.mark.parametrize("value", ["prefork", "", "Shop/1.0 (x)"])
def test_a_server_header(value: str) -> None:
    assert convert("server.server_header", value) == value


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\tb", "é", "x" * 201, "\x7f"])
def test_a_server_header_cannot_smuggle_another_field(value: str) -> None:
    assert "printable ASCII" in rules("server.server_header", value)[0]


@pytest.mark.parametrize("value", ["shop", "my shop", "店", ""])
def test_a_server_name(value: str) -> None:
    assert convert("server.name", value) == value


@pytest.mark.parametrize("value", ["a\nb", "x" * 65, "\x1b[31m"])
def test_a_server_name_fits_a_process_title(value: str) -> None:
    assert "printable characters" in rules("server.name", value)[0]


@pytest.mark.parametrize("key", ["server.user", "server.group"])
def test_an_account_is_a_name_or_a_number_in_quotes(key: str) -> None:
    for value in ("www-data", "33", "shop_1", "user@example.com", "DOMAIN\\user"):
        assert convert(key, value) == value
    for value in ("a b", "a:b", "a/b", "a\n"):
        assert "an account, in quotes" in rules(key, value)[0]


def test_a_umask_is_octal() -> None:
    assert convert("server.umask", "0027") == 0o27
    assert 'to "0777"' in rules("server.umask", "1000")[0]


@pytest.mark.parametrize("key", ALL_KEYS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        1.5,
        float("nan"),
        datetime.date(2026, 1, 1),
        datetime.time(1),
        [[]],
        [None],
        {"a": {}},
        "a\0b",
    ],
    ids=repr,
)
def test_no_key_takes_what_is_plainly_wrong(key: str, value: object) -> None:
    found = option(key)
    if isinstance(value, bool) and found is not None and isinstance(found.kind, Flag):
        assert convert(key, value) is value
    elif value == 1.5 and found is not None and isinstance(found.kind, Duration):
        assert convert(key, value) == 1.5
    else:
        assert all(rules(key, value))


@pytest.mark.parametrize("key", ALL_KEYS)
def test_a_default_is_what_the_key_itself_would_accept(key: str) -> None:
    found = option(key)
    assert found is not None
    if found.required:
        assert convert(key, found.example) == found.example
    else:
        assert convert(key, found.kind.plain(found.default)) == found.default


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_is_explained(key: str) -> None:
    found = option(key)
    assert found is not None
    assert found.description.endswith(".") or found.description.endswith('".')
    assert len(found.description) > 20
