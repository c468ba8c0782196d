"""What differs between two settings, and what a running server cannot take on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from prefork.settings.diff import FIXED, changes
from prefork.settings.listen import Listen
from prefork.settings.model import TABLES, AppSettings, Settings, option
from prefork.settings.static import StaticPlace
from prefork.settings.tls import Certificate

OLD = Settings(app=AppSettings(target="shop:app"))

OTHER: dict[str, Any] = {
    "app.target": "till:app",
    "app.path": ("/lib",),
    "app.chdir": "/srv",
    "app.env": {"A": "secret"},
    "app.python": "/usr/bin/python3",
    "app.preload": "never",
    "app.warmup": ("/health",),
    "server.name": "till",
    "server.listen": (Listen("127.0.0.1:9000"),),
    "server.backlog": 10,
    "server.user": "www-data",
    "server.group": "www-data",
    "server.umask": 0o27,
    "server.pid_file": "/run/till.pid",
    "server.control": "/run/till.sock",
    "server.drain_delay": 10.0,
    "server.request_handler": "till:Handler",
    "server.server_header": "",
    "server.sendfile_header": "X-Sendfile",
    "server.sendfile_paths": {"/srv": "/srv"},
    "workers.count": 4,
    "workers.threads": 4,
    "workers.connections": 10,
    "workers.boot_timeout": 5.0,
    "workers.drain_timeout": 5.0,
    "workers.max_requests": 1000,
    "workers.max_requests_jitter": 100,
    "workers.max_lifetime": 3600.0,
    "workers.max_memory": 1 << 29,
    "workers.max_memory_hard": 1 << 30,
    "workers.rollback_window": 60.0,
    "requests.header_timeout": 3.0,
    "requests.body_timeout": 3.0,
    "requests.write_timeout": 3.0,
    "requests.min_rate": 1000,
    "requests.keepalive_timeout": 3.0,
    "requests.slow": 3.0,
    "requests.timeout": 3.0,
    "requests.kill_after": 3.0,
    "requests.queue_timeout": 3.0,
    "requests.max_request_line": 4096,
    "requests.max_header_bytes": 4096,
    "requests.max_headers": 10,
    "requests.max_body": 0,
    "requests.body_memory": 0,
    "requests.body_memory_shared": 0,
    "requests.buffer_body": False,
    "tls.certificate": "/etc/shop.pem",
    "tls.key": "/etc/shop.key",
    "tls.sni": (Certificate("/etc/till.pem"),),
    "tls.client_ca": "/etc/staff.pem",
    "tls.verify": "required",
    "tls.ciphers": "ECDHE+AESGCM",
    "tls.min_version": "1.3",
    "tls.alpn": (),
    "proxy.trusted": ("10.0.0.0/8",),
    "proxy.headers": "none",
    "static.places": {"/static": StaticPlace(directory="/srv/static")},
    "status.listen": (Listen("127.0.0.1:9180"),),
    "status.agent": (Listen("127.0.0.1:9181"),),
    "log.level": "debug",
    "log.output": "/var/log/till",
    "log.format": "json",
    "log.access": "stderr",
    "log.access_format": "json",
    "log.access_filter": ("5xx",),
    "log.slow": "stderr",
    "log.slow_after": 3.0,
    "log.config": "/etc/till/logging.toml",
    "hooks.on_zygote_ready": ("till.ops:ready",),
    "hooks.after_fork": ("till.ops:connect",),
    "hooks.before_stop": ("till.ops:disconnect",),
    "hooks.on_slow": ("till.ops:page",),
    "hooks.on_timeout": ("till.ops:page",),
    "hooks.on_reload_failed": ("till.ops:page",),
    "hooks.timeout": 3.0,
    "statsd.address": "127.0.0.1:8125",
    "statsd.prefix": "till",
    "statsd.interval": 3.0,
    "statsd.tags": {"env": "live"},
    "dev.enabled": True,
    "dev.reload": "stat",
    "dev.debugger": False,
    "dev.watch": ("/srv/translations",),
    "dev.restart": ("/etc/shop.toml",),
    "dev.ignore": ("*/migrations/*",),
    "dev.env_files": (".env.test",),
}


def with_values(settings: Settings, values: dict[str, Any]) -> Settings:
    for dotted, value in values.items():
        table, _, key = dotted.partition(".")
        changed = msgspec.structs.replace(getattr(settings, table), **{key: value})
        settings = msgspec.structs.replace(settings, **{table: changed})
    return settings


def test_nothing_differs_from_itself() -> None:
    assert changes(OLD, OLD) == ()
    assert changes(OLD, msgspec.json.decode(msgspec.json.encode(OLD), type=Settings)) == ()


def test_every_key_is_compared() -> None:
    assert [change.key for change in changes(OLD, with_values(OLD, OTHER))] == list(OTHER)
    assert set(OTHER) == {f"{table.name}.{key}" for table in TABLES.values() for key in table.options}


@pytest.mark.parametrize("key", OTHER)
def test_nearly_every_key_can_change_while_the_server_runs(key: str) -> None:
    for old, new in ((OLD, with_values(OLD, {key: OTHER[key]})), (with_values(OLD, {key: OTHER[key]}), OLD)):
        (change,) = changes(old, new)
        assert change.key == key
        assert change.refusal == FIXED.get(key)


def test_what_cannot_change_is_an_option() -> None:
    assert all(option(key) is not None for key in FIXED)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("workers.count", 'workers.count = 4 (was "auto")'),
        ("workers.boot_timeout", 'workers.boot_timeout = "5s" (was "1m")'),
        ("requests.max_header_bytes", 'requests.max_header_bytes = "4KiB" (was "32KiB")'),
        ("server.listen", 'server.listen = ["127.0.0.1:9000"] (was ["127.0.0.1:8000"])'),
        ("server.umask", 'server.umask = "0027" (was "")'),
    ],
)
def test_a_change_is_a_readable_line(key: str, text: str) -> None:
    (change,) = changes(OLD, with_values(OLD, {key: OTHER[key]}))
    assert str(change) == text


def test_a_refused_change_says_why_and_what_to_do() -> None:
    (change,) = changes(OLD, with_values(OLD, {"server.pid_file": "/run/till.pid"}))
    assert str(change).startswith(
        'server.pid_file = "/run/till.pid" (was ""): cannot change while the server runs: '
    )
    assert "restart" in str(change)


def test_values_of_variables_stay_secret() -> None:
    (change,) = changes(OLD, with_values(OLD, {"app.env": {"PASSWORD": "hunter2", "A": "1"}}))
    assert "hunter2" not in str(change)
    assert change.new == "A, PASSWORD"
