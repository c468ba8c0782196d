"""A service of systemd in a box, used as an administrator would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from support import toml
from support.box import KNOCK, PREFORK, PYTHON, Box

UNITS = "/etc/systemd/system"
SITE = "/srv/site"

GOOD = """
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(2.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/environ":
        return [" ".join(sorted(os.environ)).encode()]
    return [f"{RELEASE} {os.getuid()} {os.getpid()}".encode()]

"""


class Service:
    """`prefork.service` in a box, as `prefork systemd-unit` makes it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.unit = "prefork.service"
        # What tests before this one have left in the journal is not about this one.
        self._cursor = (
            box.run("journalctl", "-n", "0", "--show-cursor").stdout.rpartition("-- cursor: ")[2].strip()
        )
        self.release(1)
        self.configure()
        self.install(TimeoutStartSec=90)

    def configure(self, name: str = "server", **tables: Mapping[str, Any]) -> None:
        """/etc/prefork/NAME.toml: defaults for tests, and `tables` over them."""
        settings: dict[str, dict[str, Any]] = {
            "app": {"target": "shop:app", "chdir": SITE},
            "server": {"listen": ["127.0.0.1:8000"]},
            "workers": {"count": 2},
        }
        for table, entries in tables.items():
            settings.setdefault(table, {}).update(entries)
        self.box.write(f"/etc/prefork/{name}.toml", toml.dumps(settings))

    def release(self, number: int, code: str = "") -> None:
        """Deploy an application, which answers with this number."""
        self.box.write(f"{SITE}/shop.py", f"{code}\nRELEASE = {number}\n{GOOD}")

    def install(self, *options: str, **dropin: object) -> None:
        """A unit as `prefork systemd-unit OPTIONS` writes it, with settings of its [Service] changed."""
        self.box.run(
            PREFORK, "systemd-unit", "-c", "/etc/prefork/server.toml", *options, "-o", UNITS, "--force"
        )
        if dropin:
            # Tests start more often in a minute than people do.
            lines = "".join(f"{key}={value}\n" for key, value in dropin.items())
            text = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{lines}"
            self.box.write(f"{UNITS}/prefork.service.d/test.conf", text)
        self.box.run("systemctl", "daemon-reload")

    def systemctl(self, verb: str, unit: str = "", *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`systemctl VERB UNIT`; daemon-reload has none."""
        units = [] if verb == "daemon-reload" else [unit or self.unit]
        return self.box.run("systemctl", verb, *units, check=check)

    def prefork(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of prefork to this server, as root types it."""
        return self.box.run(PREFORK, *words, "-c", "/etc/prefork/server.toml", check=check)

    def get(self, path: str = "/", where: str = "127.0.0.1:8000", *, check: bool = True) -> str:
        """What the application says; "" if nobody answers."""
        place = (
            ["--unix-socket", where, f"http://localhost{path}"]
            if where.startswith("/")
            else [f"http://{where}{path}"]
        )
        return self.box.run("curl", "-sf", "--max-time", "30", *place, check=check).stdout

    def show(self, key: str) -> str:
        return self.box.show(self.unit, key)

    @property
    def pid(self) -> str:
        return self.show("MainPID")

    @property
    def status(self) -> str:
        """The line of `systemctl status`."""
        return self.show("StatusText")

    def journal(self, *options: str) -> str:
        """What the service has logged in this test, and systemd about it."""
        self.box.run("journalctl", "--sync")
        what = ["-u", self.unit, "--after-cursor", self._cursor, "--no-pager", *(options or ("-o", "cat"))]
        return self.box.run("journalctl", *what).stdout

    def worker_pids(self) -> list[str]:
        """Of those that accept connections."""
        workers = json.loads(self.prefork("status", "--json").stdout)["workers"]
        return [str(worker["pid"]) for worker in workers if worker["state"] == "accepting"]

    def kill(self, pid: str, signal: str) -> None:
        self.box.run("kill", f"-{signal}", pid)

    @contextmanager
    def holding(self, port: int) -> Iterator[None]:
        """Somebody else listens there."""
        code = f'import socket, sys; s = socket.create_server(("127.0.0.1", {port})); print(flush=True); sys.stdin.read()'
        process = self.box.start(PYTHON, "-c", code)
        assert process.stdout is not None and process.stdout.readline() == "\n"
        try:
            yield
        finally:
            process.communicate()

    def knocking(self, where: str = "127.0.0.1:8000") -> Knocking:
        return Knocking(self.box, where)


class Knocking:
    """Constant new connections, as a context."""

    def __init__(self, box: Box, where: str) -> None:
        self._process = box.start(PYTHON, KNOCK, where)
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Knocking:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "knocking\n"
        return self

    def __exit__(self, *_: object) -> None:
        out, _ = self._process.communicate()
        self.result = json.loads(out)

    def assert_all_answered(self, at_least: int = 1) -> None:
        """Nobody was refused, cut off or told anything but what the application says."""
        told = {key: value for key, value in self.result.items() if key != "answered"}
        assert told == {"refused": 0, "reset": 0, "wrong": 0, "examples": []}, self.result
        assert self.result["answered"] >= at_least
