"""Three machines behind HAProxy and nginx, upgraded one after the other while clients of both are served.

The machines are network namespaces; what they run is what docs/deploy/ has, word for word: server.toml, haproxy.cfg, nginx.conf
and the script `rolling`. `PREFORK_TEST_ROLLING` is how many requests each balancer gets at least (`make rolling`: 20,000).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support import proxies
from support.deadline import DEADLINE_S, SLOWNESS, eventually
from support.load import Load
from support.measured import Measured
from support.network import Host, network, unavailable
from support.server import APPS, Server, ServerFactory

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
REQUESTS = int(os.environ.get("PREFORK_TEST_ROLLING", "1500"))
BALANCER = "10.0.0.10"
MACHINES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
PORTS = {"haproxy": 8080, "nginx": 8081}
MISSING = [name for name, path in (("nginx", proxies.NGINX), ("haproxy", proxies.HAPROXY)) if path is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


class Machine:
    """A host that runs prefork as a service: it comes back whenever it ends, as the release that its file names then."""

    def __init__(self, host: Host, directory: Path, server_factory: ServerFactory) -> None:
        self.host = host
        self.directory = directory
        self.release = directory / "release"
        self.servers: list[Server] = []
        self._factory = server_factory
        self._ended = threading.Event()
        self._service = threading.Thread(target=self._serve)
        directory.mkdir()
        self.release.write_text("v1")
        self._config = directory / "server.toml"
        shutil.copy(DEPLOY / "server.toml", self._config)
        self._start()
        self._service.start()

    def _start(self) -> None:
        settings = {
            "app.target": "upgraded:app",
            "app.path": [str(APPS)],
            "app.env.RELEASE_FILE": str(self.release),
            "workers.count": 1,
        }
        changed = [
            word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")
        ]
        self.servers.append(
            self._factory(
                directory=self.directory,
                argv=["-c", str(self._config), *changed],
                executable=[*self.host.command, sys.executable, "-m", "prefork"],
            )
        )

    def _serve(self) -> None:
        while True:
            self.servers[-1].process.wait()
            if self._ended.is_set():
                return
            self._start()

    @property
    def restart(self) -> list[str]:
        """What `systemctl restart` is elsewhere."""
        return [sys.executable, "-m", "prefork", "stop", "-c", str(self._config)]

    def close(self) -> None:
        """End of the service."""
        self._ended.set()
        self.servers[-1].process.terminate()
        self._service.join()


@contextmanager
def balancers(host: Host, directory: Path) -> Iterator[Callable[[], str]]:
    """HAProxy and nginx; what is given prints what HAProxy has counted."""
    sock = directory / "haproxy.sock"
    configuration = (DEPLOY / "haproxy.cfg").read_text()
    # The only line that is added: where the test reads the counters.
    (directory / "haproxy.cfg").write_text(
        configuration.replace("global\n", f"global\n    stats socket {sock}\n", 1)
    )
    for name in ("logs", "tmp"):
        (directory / name).mkdir()
    log = (directory / "balancers.log").open("wb")
    commands = [
        [str(proxies.HAPROXY), "-db", "-f", str(directory / "haproxy.cfg")],
        [
            str(proxies.NGINX),
            "-p",
            str(directory),
            "-e",
            "stderr",
            "-c",
            str(DEPLOY / "nginx.conf"),
            "-g",
            f"daemon off; pid {directory}/nginx.pid; error_log stderr; user root;",
        ],
    ]
    running = [
        subprocess.Popen([*host.command, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for command in commands
    ]

    def counters() -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(sock))
            connection.sendall(b"show stat\n")
            received = b""
            while data := connection.recv(65536):
                received += data
        return received.decode()

    try:
        yield counters
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        log.close()


def haproxy_rows(text: str) -> dict[str, dict[str, str]]:
    """The servers of the backend, by name."""
    lines = text.removeprefix("# ").splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
    return {row["svname"]: row for row in rows if row["pxname"] == "shop" and row["svname"] in "abc"}


def roll(machines: list[Machine], directory: Path) -> None:
    """docs/deploy/rolling, with `ip netns exec` as its ssh, and as its systemctl a stop after which the service comes back."""
    restart = directory / "restart"
    stop = f"{sys.executable} -m prefork stop -c {directory}/$({machines[0].host.command[0]} netns identify $$)/server.toml"
    restart.write_text(f"#!/bin/sh\nexec {stop}\n")
    restart.chmod(0o755)
    environment = {
        **os.environ,
        "ON": " ".join(machines[0].host.command[:-1]),
        "RESTART": str(restart),
        "SETTLE": "1",
    }
    ended = subprocess.run(
        [str(DEPLOY / "rolling"), *(machine.host.name for machine in machines)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=6 * DEADLINE_S * SLOWNESS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count(": serves") == len(machines)


def test_an_upgrade_of_three_machines_one_by_one_fails_no_request(
    tmp_path: Path, server_factory: ServerFactory, measured: Measured
) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    with ExitStack() as stack:
        front, *hosts = stack.enter_context(network([BALANCER, *MACHINES]))
        machines = []
        for host in hosts:
            machine = Machine(host, tmp_path / host.name, server_factory)
            stack.callback(machine.close)
            machines.append(machine)
        for machine in machines:
            machine.servers[0].wait_ready()
        directory = tmp_path / "balancers"
        directory.mkdir()
        counters = stack.enter_context(balancers(front, directory))
        eventually(lambda: (directory / "haproxy.sock").exists(), "HAProxy")
        eventually(
            lambda: all(up(row) for row in haproxy_rows(counters()).values()), "three machines in HAProxy"
        )
        loads = {
            (name, method): stack.enter_context(
                Load(
                    f"{BALANCER}:{port}",
                    keep_alive=8,
                    fresh=4,
                    pace_s=0.05,
                    method=method,
                    body=b"x" * 1000 if method == "POST" else None,
                    enter=front.enter,
                )
            )
            for name, port in PORTS.items()
            for method in ("GET", "POST")
        }
        phases = {key: load.begin("upgrade") for key, load in loads.items()}
        for load in loads.values():
            load.wait_for(20)
        before = haproxy_rows(counters())
        for machine in machines:
            machine.release.write_text("v2")
        roll(machines, tmp_path)
        for load in loads.values():
            load.wait_for(max(20, REQUESTS // 2 - len(phases[_key(loads, load)].seconds)))
        after = haproxy_rows(counters())
        finals = {key: load.begin("after") for key, load in loads.items()}
        for load in loads.values():
            load.wait_for(60)
    for name in PORTS:
        done = sum(len(phases[name, method].seconds) for method in ("GET", "POST"))
        failures = [each for method in ("GET", "POST") for each in phases[name, method].failures]
        slowest = max(max(phases[name, method].seconds) for method in ("GET", "POST"))
        measured(f"{name}: {done} requests, {len(failures)} failed, worst {slowest * 1000:.0f} ms")
        assert failures == []
        assert done >= REQUESTS
    for phase in finals.values():
        assert phase.failures == []
        assert phase.bodies == {b"v2"}
    # HAProxy took each machine out before it refused anybody, and has all of them back.
    for name, row in after.items():
        assert int(row["wretr"]) == int(before[name]["wretr"]), f"{name}: connections were tried again: {row}"
        assert int(row["econ"]) == int(before[name]["econ"])
        assert up(row)


def _key(loads: dict[tuple[str, str], Load], wanted: Load) -> tuple[str, str]:
    return next(key for key, load in loads.items() if load is wanted)


def up(row: dict[str, str]) -> bool:
    """In use, with a weight from its agent."""
    return row["status"].startswith("UP")
