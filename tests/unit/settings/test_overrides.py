"""What `--set table.key=value` means."""

from __future__ import annotations

import pytest

from prefork.errors import ConfigError
from prefork.settings.overrides import Override, parse_assignment


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("workers.count=4", "workers.count", 4),
        ("workers.count = 4", "workers.count", 4),
        ("workers.count=auto", "workers.count", "auto"),
        ("workers.count=many", "workers.count", "many"),
        ("workers.boot_timeout=30s", "workers.boot_timeout", "30s"),
        ("workers.boot_timeout=1.5", "workers.boot_timeout", 1.5),
        ("requests.max_body=1GiB", "requests.max_body", "1GiB"),
        ("server.name=4", "server.name", "4"),
        ("server.name=true", "server.name", "true"),
        ("server.name=2026-01-01", "server.name", "2026-01-01"),
        ("server.name=[a]", "server.name", "[a]"),
        ('server.name="a b"', "server.name", "a b"),
        ("server.name=a b", "server.name", "a b"),
        ("server.name=", "server.name", ""),
        ("server.name='a'=b", "server.name", "'a'=b"),
        ("server.umask=27", "server.umask", "27"),
        ("server.umask=0027", "server.umask", "0027"),
        ("server.user=33", "server.user", "33"),
        ("server.listen=127.0.0.1:80", "server.listen", "127.0.0.1:80"),
        ('server.listen=["a:1", "b:2"]', "server.listen", ["a:1", "b:2"]),
        (
            'server.listen={address = "unix:a", mode = "0660"}',
            "server.listen",
            {"address": "unix:a", "mode": "0660"},
        ),
        ("app.target=shop:make('a', n=1)", "app.target", "shop:make('a', n=1)"),
        ("app.path=lib", "app.path", "lib"),
        ('app.env={A = "1"}', "app.env", {"A": "1"}),
        ("app.env.A=1", "app.env.A", "1"),
        ("app.env.A=x=y", "app.env.A", "x=y"),
        ("app.env.A={}", "app.env.A", "{}"),
        ("app.env.A=", "app.env.A", ""),
        ("log.access_format={addr} # {time}", "log.access_format", "{addr} # {time}"),
        ("nothing.like.this=4", "nothing.like.this", 4),
    ],
)
def test_a_value_needs_no_quotes(text: str, key: str, value: object) -> None:
    assert parse_assignment(text) == Override(key, value, "--set")


@pytest.mark.parametrize(
    "text", ["", "workers.count", "workers", "workers=4", ".count=4", "workers.=4", "=4", "."]
)
def test_what_is_no_assignment_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignment(text)
    assert caught.value.problems == (f'--set {text}: write table.key=value, such as "--set workers.count=4"',)
