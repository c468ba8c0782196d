"""Configurations as they are found in the wild: each migrates, passes `prefork check`, and means the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prefork as package
from prefork.cli.entry import run
from prefork.settings.load import load
from prefork.settings.model import Settings, option
from support.certificates import Authority
from support.server import ServerFactory

WILD = Path(__file__).parent / "wild"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
APPLICATION = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.environ.get('STAGE', '')} {environ['REMOTE_ADDR']}".encode()]

def create_app(stage):
    return app

application = app
"""

# What each has to become; `{}` is the directory. Lists are those of the addresses alone.
EXPECTED: dict[str, dict[str, Any]] = {
    "django.conf.py": {
        "server.listen": ["0.0.0.0:8000"],
        "workers.count": 3,
        "workers.threads": 1,
        "workers.max_requests": 1000,
        "requests.timeout": "30s",
        "requests.keepalive_timeout": "2s",
        "requests.max_body": "0B",
        "requests.max_header_bytes": "819kB",
        "app.target": "shop.wsgi:application",
        "app.env": {"DJANGO_SETTINGS_MODULE": "shop.settings", "TZ": "UTC"},
        "app.preload": "auto",
        "app.chdir": "{}",
        "proxy.trusted": ["127.0.0.1", "::1"],
    },
    "cpus.conf.py": {
        "server.listen": ["127.0.0.1:8001"],
        "workers.count": "auto",
        "workers.threads": 4,
        "workers.max_requests_jitter": 100,
        "requests.timeout": "2m",
        "log.access": "stdout",
        "log.output": "stderr",
        "log.level": "warning",
    },
    "socket.conf.py": {
        "server.listen": [{"address": "unix:{}/shop.sock", "mode": "0770"}],
        "server.umask": "0007",
        "server.backlog": 512,
        "server.pid_file": "{}/shop.pid",
        "server.name": "shop",
        "workers.count": 2,
        "log.access": "{}/access.log",
        "log.output": "{}/error.log",
        "log.access_format": '- - {user} [{time}] "{request}" {status} {bytes} {duration_ms}',
        "proxy.trusted": ["127.0.0.1", "::1", "unix"],
        "app.target": "shop:create_app('live')",
    },
    "docker.conf.py": {
        "server.listen": ["0.0.0.0:8002"],
        "workers.count": "auto",
        "workers.drain_timeout": "2m",
        "requests.timeout": "2m",
        "requests.keepalive_timeout": "5s",
        "log.access": "stdout",
        "app.target": "shop:app",
    },
    "gevent.conf.py": {
        "server.listen": [
            {"address": "127.0.0.1:8003", "proxy_protocol": "optional"},
            {"address": "[::1]:8003", "proxy_protocol": "optional"},
            {"address": "unix:{}/run.sock", "mode": "0777", "proxy_protocol": "optional"},
        ],
        "workers.count": 2,
        "workers.threads": 32,
        "workers.connections": 500,
        "requests.max_request_line": "1MiB",
        "requests.max_headers": 50,
        "requests.max_header_bytes": "200KiB",
        "proxy.trusted": ["0.0.0.0/0", "::/0", "unix", "10.0.0.0/8"],
        "app.target": "app:application",
    },
    "tls.conf.py": {
        "server.listen": [{"address": "0.0.0.0:8443", "tls": True}],
        "tls.certificate": "{}/cert.pem",
        "tls.key": "{}/key.pem",
        "tls.client_ca": "{}/cert.pem",
        "tls.verify": "required",
        "tls.ciphers": "ECDHE+AESGCM",
        "workers.count": 4,
    },
    "statsd.conf.py": {
        "server.listen": ["127.0.0.1:8004"],
        "workers.count": 2,
        "workers.threads": 2,
        "statsd.address": "127.0.0.1:8125",
        "statsd.prefix": "shop.web",
        "statsd.tags": {"env": "live", "team": "web"},
        "app.path": ["{}/lib", "{}"],
        "proxy.trusted": ["127.0.0.1", "10.1.0.0/16"],
    },
    "logging.conf.py": {
        "server.listen": ["127.0.0.1:8005"],
        "workers.count": 2,
        "workers.threads": 1,
        "requests.timeout": "0s",
        "workers.drain_timeout": "10s",
    },
    "stages.conf.py": {
        "server.listen": ["0.0.0.0:8006"],
        "workers.count": 3,
        "workers.threads": 8,
        "workers.max_requests": 10000,
        "requests.timeout": "5m",
        "log.level": "error",
        "log.access": "off",
        "server.pid_file": "{}/shop.pid",
        "app.target": "shop.wsgi:application",
    },
    "Procfile": {
        "server.listen": ["0.0.0.0:8007"],
        "workers.count": 3,
        "workers.threads": 2,
        "workers.max_requests": 500,
        "workers.max_requests_jitter": 50,
        "requests.timeout": "45s",
        "log.access": "stdout",
        "app.target": "shop.wsgi:application",
    },
    "gunicorn.service": {
        "server.listen": [{"address": "unix:{}/gunicorn.sock", "mode": "0770"}],
        "server.umask": "0007",
        "workers.count": 3,
        "workers.threads": 6,
        "workers.drain_timeout": "1m",
        "requests.keepalive_timeout": "10s",
        "requests.max_request_line": "8190B",
        "app.env": {"STAGE": "live"},
        "log.access": "stdout",
    },
    "django.ini": {
        "server.listen": [{"address": "unix:{}/shop.sock", "mode": "0664"}],
        "server.backlog": 128,
        "workers.count": 4,
        "workers.threads": 2,
        "workers.max_requests": 5000,
        "workers.drain_timeout": "1m",
        "requests.timeout": "20s",
        "requests.max_header_bytes": "32KiB",
        "requests.max_body": "0B",
        "app.target": "shop.wsgi:application",
        "app.env": {"DJANGO_SETTINGS_MODULE": "shop.settings", "TZ": "UTC"},
        "log.access": "stderr",
    },
    "emperor.ini": {
        "server.listen": ["0.0.0.0:8010"],
        "server.backlog": 100,
        "workers.count": {"min": 2, "max": 8},
        "workers.max_lifetime": "1h",
        "workers.max_memory": "512MiB",
        "workers.max_memory_hard": "1GiB",
        "workers.drain_timeout": "30s",
        "app.preload": "never",
        "requests.max_body": "10MiB",
        "status.listen": ["127.0.0.1:8011"],
        "log.access_filter": ["4xx", "5xx", "slow"],
        "log.slow_after": "500ms",
        "log.access": "stderr",
    },
    "stack.yaml": {
        "server.listen": ["0.0.0.0:8012", "127.0.0.1:8013"],
        "workers.count": 2,
        "workers.threads": 8,
        "requests.keepalive_timeout": "15s",
        "requests.write_timeout": "90s",
        "app.path": ["{}", "{}/lib"],
        "app.target": "shop.wsgi:application",
        "log.access_format": '{addr} - {user} [{time}] "{method} {path} {protocol}" {status} {bytes} {duration_ms}ms',
    },
    "legacy.xml": {
        "server.listen": ["127.0.0.1:8014"],
        "workers.count": 3,
        "requests.timeout": "1m",
        "app.path": ["{}/lib", "{}/vendor"],
        "app.target": "shop:app",
        "app.env": {},
        "log.output": "{}/uwsgi.log",
        "log.access": "{}/uwsgi.log",
        "server.pid_file": "{}/uwsgi.pid",
    },
    "child.ini": {
        "server.listen": ["unix:{}/child.sock", {"address": "127.0.0.1:8015", "tls": True}],
        "tls.certificate": "{}/cert.pem",
        "tls.key": "{}/key.pem",
        "workers.count": 2,
        "workers.threads": 4,
        "requests.timeout": "30s",
        "server.name": "child",
        "log.output": "{}/child.log",
    },
    "simple.json": {
        "server.listen": ["127.0.0.1:8016", "127.0.0.1:8017"],
        "workers.count": 2,
        "server.umask": "0022",
        "requests.body_memory": "64KiB",
        "app.target": "app:application",
    },
    "start.sh": {
        "server.listen": ["0.0.0.0:8018"],
        "workers.count": 2,
        "workers.threads": 3,
        "workers.max_requests": 900,
        "requests.timeout": "15s",
        "requests.max_header_bytes": "16KiB",
    },
    '--waitress=waitress-serve --listen=127.0.0.1:8020 --threads=6 --channel-timeout 60 --ident= --trusted-proxy=127.0.0.1 '
    '--trusted-proxy-headers="x-forwarded-for x-forwarded-proto" --url-scheme=https --call shop:make': {
        "server.listen": ["127.0.0.1:8020"],
        "workers.count": 1,
        "workers.threads": 6,
        "workers.connections": 100,
        "requests.keepalive_timeout": "1m",
        "requests.max_body": "1GiB",
        "proxy.trusted": ["127.0.0.1"],
        "app.target": "shop:make()",
    },
    "--waitress=--unix-socket=shop.sock --unix-socket-perms=660 shop.app": {
        "server.listen": [{"address": "unix:{}/shop.sock", "mode": "0660"}],
        "workers.threads": 4,
        "server.backlog": 1024,
    },
    "--waitress=--host=127.0.0.1 --port=8021 --no-ipv6 shop:app": {"server.listen": ["127.0.0.1:8021"]},
    "--mod-wsgi=mod_wsgi-express start-server shop/wsgi.py --port 8022 --processes 2 --threads 10 --url-alias /static static "
    "--setenv STAGE live --log-to-terminal --access-log --limit-request-body 1048576 --request-timeout=30": {
        "server.listen": ["0.0.0.0:8022"],
        "workers.count": 2,
        "workers.threads": 10,
        "requests.max_body": "1MiB",
        "requests.timeout": "30s",
        "requests.queue_timeout": "45s",
        "requests.keepalive_timeout": "0s",
        "app.env": {"STAGE": "live"},
        "app.target": "shop.wsgi:application",
        "log.access": "stdout",
    },
    "--mod-wsgi=start-server --application-type module --callable-object app --host 127.0.0.1 --https-port 8024 "
    "--ssl-certificate-file cert.pem --ssl-certificate-key-file key.pem --maximum-requests=100 --trust-proxy 10.0.0.1 shop": {
        "server.listen": ["127.0.0.1:8000", {"address": "127.0.0.1:8024", "tls": True}],
        "tls.key": "{}/key.pem",
        "workers.max_requests": 100,
        "proxy.trusted": ["10.0.0.1"],
        "app.target": "shop:app",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    made = Authority(tmp_path_factory.mktemp("authority")).sign("shop", "127.0.0.1")
    return made.certificate, made.key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an application, as the configurations expect one."""
    (tmp_path / "shop").mkdir()
    for name in ("lib", "vendor", "static"):
        (tmp_path / name).mkdir()
    source = APPLICATION + "\ndef make():\n    return app\n"
    for name in ("shop/__init__.py", "shop/wsgi.py", "app.py"):
        (tmp_path / name).write_text(source)
    for file in WILD.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def migrate(what: str, *more: str) -> int:
    arguments = what.split("=", 1) if what.startswith("--") else [what]
    if len(arguments) == 2:
        arguments = [f"{arguments[0]}={arguments[1]}"]
    return run(["migrate", *arguments, "-o", "server.toml", *more])


def effective(settings: Settings, dotted: str) -> Any:
    table, _, key = dotted.partition(".")
    found = option(dotted)
    assert found is not None, dotted
    return found.kind.plain(getattr(getattr(settings, table), key))


def filled(value: Any, directory: Path) -> Any:
    if isinstance(value, str):
        return value.replace("{}", str(directory))
    if isinstance(value, list):
        return [filled(each, directory) for each in value]
    return {key: filled(each, directory) for key, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("what", EXPECTED)
def test_a_configuration_migrates_and_passes_the_check(
    what: str, place: Path, pair: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(pair[0], place / "cert.pem")
    shutil.copy(pair[1], place / "key.pem")
    assert migrate(what, *(["--app", "shop:app"] if what == "docker.conf.py" else [])) == 0
    assert "to be mended" not in capfd.readouterr().err
    settings = load("server.toml").settings
    wanted = EXPECTED[what]
    assert {key: effective(settings, key) for key in wanted} == {
        key: filled(value, place) for key, value in wanted.items()
    }
    assert run(["check", "-c", "server.toml"]) == 0
    assert "application: imports" in capfd.readouterr().out


def on_free_ports(file: Path) -> None:
    file.write_text(re.sub(r"\b80[0-9][0-9]\b", "0", file.read_text()).replace("0.0.0.0", "127.0.0.1"))


@pytest.mark.parametrize(
    ("what", "listeners", "workers", "threads"),
    [
        ("Procfile", ["127.0.0.1"], 3, 2),
        ("gunicorn.service", ["unix"], 3, 6),
        ("stack.yaml", ["127.0.0.1", "127.0.0.1"], 2, 8),
        ("--waitress=--host=127.0.0.1 --port=0 shop:app", ["127.0.0.1"], 1, 4),
    ],
)
def test_the_server_starts_with_the_same_listeners_workers_and_threads(
    what: str, listeners: list[str], workers: int, threads: int, place: Path, server_factory: ServerFactory
) -> None:
    if not what.startswith("--"):
        on_free_ports(place / what)
    assert migrate(what) == 0
    server = server_factory(argv=["-c", "server.toml"], directory=place).wait_ready()
    assert [address.partition(":")[0] for address in server.addresses] == listeners
    assert len(server.wait_for_workers(workers)) == workers
    for address in server.addresses:
        with server.connect(address) as connection:
            assert connection.get("/").status == 200
    status = subprocess.run(
        [sys.executable, "-m", "prefork", "status", "-c", "server.toml"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall(rf"\b[0-9]+/{threads}\b", status.stdout)) == workers, status.stdout
    assert server.stop() == 0
