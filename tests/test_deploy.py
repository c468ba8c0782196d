"""The files of docs/deploy/ fit each other and the settings: times, ports, paths, commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prefork.cli.command import Parser
from prefork.cli.commands import COMMANDS
from prefork.settings.load import load
from prefork.settings.model import Settings

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy"
MANIFEST = (DEPLOY / "kubernetes" / "shop.yaml").read_text()
DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text()


def settings_of(file: Path, tmp_path: Path) -> Settings:
    """As on a machine that has the directories it names."""
    copy = tmp_path / file.name
    copy.write_text(file.read_text().replace("/srv", str(tmp_path)))
    return load(copy).settings


@pytest.fixture
def contained(tmp_path: Path) -> Settings:
    return settings_of(DEPLOY / "container" / "server.toml", tmp_path)


@pytest.fixture
def balanced(tmp_path: Path) -> Settings:
    return settings_of(DEPLOY / "server.toml", tmp_path)


def number(pattern: str, text: str = MANIFEST) -> int:
    (found,) = re.findall(pattern, text)
    return int(found)


def probe(name: str) -> str:
    return MANIFEST.partition(f"{name}:")[2].partition("Probe:")[0].partition("lifecycle:")[0]


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_kubernetes_waits_for_the_drain_and_for_the_last_request(contained: Settings) -> None:
    needed = contained.server.drain_delay + contained.workers.drain_timeout + 5
    assert number(r"terminationGracePeriodSeconds: (\d+)") == needed


def test_kubernetes_notices_within_the_delay(contained: Settings) -> None:
    readiness = probe("readinessProbe")
    notices_s = number(r"periodSeconds: (\d+)", readiness) * number(r"failureThreshold: (\d+)", readiness)
    assert notices_s < contained.server.drain_delay / 2, "the nodes have to hear of it as well"


def test_kubernetes_gives_the_import_its_time(contained: Settings) -> None:
    startup = probe("startupProbe")
    assert (
        number(r"periodSeconds: (\d+)", startup) * number(r"failureThreshold: (\d+)", startup)
        >= contained.workers.boot_timeout
    )


def test_kubernetes_asks_where_it_is_answered(contained: Settings) -> None:
    ports = {port_of(entry.address) for entry in (*contained.server.listen, *contained.status.listen)}
    assert set(map(int, re.findall(r"containerPort: (\d+)", MANIFEST))) == ports
    assert {int(port) for port in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split()} == ports
    assert "path: /healthz" in probe("livenessProbe")
    assert "path: /readyz" in probe("readinessProbe")
    assert all("port: status" in probe(f"{name}Probe") for name in ("startup", "readiness", "liveness"))


def test_the_hook_is_a_command_for_the_server_that_the_image_starts() -> None:
    (words,) = re.findall(r"command: (\[.*\])", MANIFEST)
    program, name, *arguments = re.findall(r'"([^"]*)"', words)
    assert (program, name) == ("prefork", "drain")
    parser = Parser()
    COMMANDS[name].add_arguments(parser)
    config = parser.parse_args(arguments).config
    assert f'CMD ["-c", "{config}"]' in DOCKERFILE
    assert f"COPY server.toml {config}" in DOCKERFILE


def test_the_user_is_the_same_number() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert number(r"runAsUser: (\d+)") == int(user) != 0


def test_haproxy_notices_within_the_delay(balanced: Settings) -> None:
    text = (DEPLOY / "haproxy.cfg").read_text()
    interval_s = number(r"check port \d+ inter (\d+)ms", text) / 1000
    timeout_s = number(r"timeout check (\d+)s", text)
    fall = number(r"fall (\d+)", text)
    assert fall * (interval_s + timeout_s) < balanced.server.drain_delay
    assert number(r"pool-purge-delay (\d+)s", text) < balanced.requests.keepalive_timeout
    assert number(r"check port (\d+)", text) == port_of(balanced.status.listen[0].address)
    assert number(r"agent-port (\d+)", text) == port_of(balanced.status.agent[0].address)


@pytest.mark.parametrize("name", ["haproxy.cfg", "nginx.conf"])
def test_balancers_send_requests_where_they_are_served(balanced: Settings, name: str) -> None:
    text = (DEPLOY / name).read_text()
    ports = set(map(int, re.findall(r"server .*10\.0\.0\.\d+:(\d+)", text)))
    assert ports == {port_of(balanced.server.listen[0].address)}


def test_nginx_ends_idle_connections_first(balanced: Settings) -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert number(r"keepalive_timeout (\d+)s;", text) < balanced.requests.keepalive_timeout


@pytest.mark.parametrize(("name", "arguments"), [("rolling", ["-n"])])
def test_the_script_is_right_shell(name: str, arguments: list[str]) -> None:
    subprocess.run(["/bin/sh", *arguments, str(DEPLOY / name)], check=True)


def test_the_script_stops_at_a_machine_that_does_not_come_back(tmp_path: Path) -> None:
    on = tmp_path / "on"
    on.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nshift\ncase $1 in curl) exit 7;; esac\n')
    on.chmod(0o755)
    ended = subprocess.run(
        [str(DEPLOY / "rolling"), "one", "two"],
        env={"PATH": "/usr/bin:/bin", "ON": str(on), "RESTART": "restart-it", "TRIES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "one: is not ready" in ended.stderr
    assert "two" not in (tmp_path / "said").read_text()


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed (pip install 'prefork[lint]')")
    return found


def test_the_dockerfile_is_clean() -> None:
    ended = subprocess.run(
        [tool("hadolint"), str(DEPLOY / "container" / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("", 0)


def test_the_manifests_are_what_kubernetes_knows() -> None:
    command = [tool("kubernetes-validate"), "--strict", "--quiet", str(DEPLOY / "kubernetes" / "shop.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    bad = DEPLOY / "container" / "Dockerfile"
    assert subprocess.run([*command[:-1], str(bad)], capture_output=True, check=False).returncode != 0
