"""A real server for one test: started as a user starts it, observed through its log, checked when it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

from support import http, processes, toml
from support.deadline import DEADLINE_S, SLOWNESS, Deadline
from support.logs import LogStream, fields_of

APPS = Path(__file__).parent.parent / "apps"
"""Folder of the applications that tests serve, on `app.path` of every server unless a test says otherwise."""

LEAVE_S = 10.0
"""After a kill -9 of the master its workers have 2 seconds to leave; this is far above that."""

_FRAME = re.compile(r'File "([^"]+)", line \d+')
_OWN_SOURCE = re.compile(r"/prefork/(?!demo)[\w/]+\.py$")

Tables = Mapping[str, Mapping[str, Any]]


def merged(*layers: Tables) -> dict[str, dict[str, Any]]:
    """Settings tables laid over one another, key by key; a value of None takes the key away."""
    result: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for table, entries in layer.items():
            result.setdefault(table, {}).update(entries)
    return {
        table: {key: value for key, value in entries.items() if value is not None}
        for table, entries in result.items()
    }


class Server:
    """One prefork server in a session of its own.

    `settings` are laid over defaults good for tests (a free port, one worker); they are written to
    `prefork.toml` in `directory` and can be rewritten with `configure` before a reload. With `argv` the
    server is started with these arguments instead, for tests of the command line.
    """

    def __init__(
        self,
        directory: Path,
        settings: Tables,
        *,
        argv: Sequence[str] | None = None,
        executable: Sequence[str] = (sys.executable, "-m", "prefork"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.config = directory / "prefork.toml"
        self.settings: dict[str, dict[str, Any]] = {}
        self.own_traceback_expected = False
        if argv is None:
            self.configure(settings)
            argv = ["-c", str(self.config)]
        self.log = LogStream("stderr")
        self.out = LogStream("stdout")
        try:
            self.process = subprocess.Popen(
                [*executable, *argv],
                cwd=directory,
                # Without byte code: two releases of a file within one second would share it (PEP 552).
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=self.out.write_fd,
                stderr=self.log.write_fd,
                start_new_session=True,
            )
        finally:
            self.log.close_writer()
            self.out.close_writer()

    # -- settings --------------------------------------------------------------------------------------------

    def configure(self, settings: Tables) -> None:
        """Write the configuration file anew: the tables over what was there, over defaults for tests."""
        defaults: Tables = {
            "app": {"path": [str(APPS)]},
            "server": {"listen": ["127.0.0.1:0"]},
            "workers": {"count": 1},
        }
        self.settings = merged(defaults, self.settings, settings)
        temporary = self.config.with_suffix(".new")
        temporary.write_text(toml.dumps(self.settings), encoding="utf-8")
        temporary.replace(self.config)

    # -- what the log says -----------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The master's process number."""
        return self.process.pid

    def mark(self) -> int:
        """The number of log lines so far, to wait for something that comes after this moment."""
        return len(self.log.lines)

    def wait_for_log(self, pattern: str, *, after: int = 0, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """The first log line (from line `after` on) that the regular expression is found in."""
        return self.log.wait_until(lambda: self.log.search(pattern, after), f"/{pattern}/", deadline_s)

    def wait_for_event(self, event: str, *, after: int = 0, **wanted: object) -> dict[str, str]:
        """Fields of the first `event=…` line from line `after` on whose fields have the wanted values."""
        texts = {key: str(value) for key, value in wanted.items()}

        def found() -> dict[str, str] | None:
            matching = (fields for fields in self.log.events(event, after) if texts.items() <= fields.items())
            return next(matching, None)

        return self.log.wait_until(found, f"event={event} {texts or ''}")

    def wait_ready(self) -> Server:
        """Wait until the server says that its first generation serves."""
        self.wait_for_event("ready")
        return self

    @property
    def addresses(self) -> list[str]:
        """Addresses the server listens on, as it reported them, in the order of its settings."""
        return [fields["address"] for fields in self.log.events("listening")]

    @property
    def address(self) -> str:
        """The first address, once the server has it."""
        return self.wait_for_event("listening")["address"]

    def workers(self) -> dict[int, int]:
        """Process number -> generation of the workers that reported ready and have not exited."""
        alive: dict[int, int] = {}
        for line in list(self.log.lines):
            fields = fields_of(line)
            if fields.get("event") == "worker_ready":
                alive[int(fields["pid"])] = int(fields["gen"])
            elif fields.get("event") == "worker_exited":
                alive.pop(int(fields["pid"]), None)
        return alive

    def wait_for_workers(self, count: int, *, gen: int | None = None) -> dict[int, int]:
        """Wait until exactly `count` workers (of generation `gen`, and no other, if given) are there."""

        def found() -> dict[int, int] | None:
            alive = self.workers()
            right = len(alive) == count and (gen is None or set(alive.values()) == {gen})
            return alive if right else None

        return self.log.wait_until(found, f"{count} workers" + (f" of generation {gen}" if gen else ""))

    # -- talking to it ---------------------------------------------------------------------------------------

    def connect(self, address: str | None = None, *, receive_buffer: int | None = None) -> http.Connection:
        """A new connection, to the first address unless another is given."""
        return http.connect(address or self.address, receive_buffer=receive_buffer)

    def request(
        self, method: str, target: str, headers: http.Headers = (), body: bytes | None = None
    ) -> http.Response:
        """One request over a connection of its own."""
        with self.connect() as connection:
            return connection.request(method, target, [*headers, ("Connection", "close")], body)

    def get(self, target: str = "/", headers: http.Headers = ()) -> http.Response:
        return self.request("GET", target, headers)

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def reload(self) -> int:
        """SIGHUP, and wait for its success; returns the new generation's number."""
        mark = self.mark()
        self.signal(SIGHUP)
        return int(self.wait_for_event("reload_done", after=mark)["gen"])

    def command(self, *words: str, deadline_s: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
        """`prefork WORDS -c ...`: a command to this server, from its beginning to its end."""
        return subprocess.run(
            [sys.executable, "-m", "prefork", *words, "-c", str(self.config)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_s * SLOWNESS,
            check=False,
        )

    @property
    def status_address(self) -> str:
        """Where it tells how it is: the address of `[status] listen` that it reported last."""
        self.wait_for_event("status_listening")
        return [fields["address"] for fields in self.log.events("status_listening")][-1]

    def ask(self, path: str, headers: http.Headers = (), *, method: str = "GET") -> http.Response:
        """One request to the status process, over a connection of its own."""
        with self.connect(self.status_address) as connection:
            return connection.request(method, path, [*headers, ("Connection", "close")])

    # -- the end ---------------------------------------------------------------------------------------------

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the end of the master and of the whole log; returns the exit code."""
        deadline = Deadline(deadline_s)
        try:
            code = self.process.wait(deadline.remaining())
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end; its log:\n{self.log.text}") from None
        self.log.close(deadline)
        return code

    def stop(self, number: Signals = SIGTERM, deadline_s: float = 2 * DEADLINE_S) -> int:
        """Ask the server to stop; returns its exit code. All that its processes wrote is in `log` and `out` then."""
        self.signal(number)
        code = self.wait(deadline_s)
        for stream in (self.log, self.out):
            stream.wait_end()
        return code

    def close(self, *, leave_s: float = LEAVE_S) -> None:
        """End of the test: stop what still runs; fail if the server left anything or showed its insides.

        `leave_s` is how long its other processes may take to follow the master.
        """
        problems = self._end_it()
        problems += [f"process left over: {text}" for text in self._leftover_processes(leave_s)]
        problems += [f"file left over: {path}" for path in self._leftover_files()]
        if not self.own_traceback_expected:
            problems += own_tracebacks(self.log.lines)
        for stream in (self.log, self.out):
            if not stream.close(Deadline()):
                problems.append("some process still holds the server's output open")
        if problems:
            raise AssertionError("\n".join(problems) + f"\nthe server's log:\n{self.log.text}")

    def _end_it(self) -> list[str]:
        if self.process.poll() is not None:
            return []
        self.process.send_signal(SIGINT)
        try:
            self.process.wait(Deadline().remaining())
        except subprocess.TimeoutExpired:
            processes.kill_session(self.pid)
            self.process.wait()
            return ["SIGINT did not stop the server"]
        return []

    def _leftover_processes(self, leave_s: float) -> list[str]:
        left = processes.wait_session_gone(self.pid, Deadline(leave_s))
        described = [f"{process.pid} {processes.command_line(process.pid)}" for process in left]
        processes.kill_session(self.pid)
        return described

    def _leftover_files(self) -> list[Path]:
        controls = [Path(fields["path"]) for fields in self.log.events("control_listening")]
        killed = self.process.returncode == -SIGKILL
        if killed:  # nobody could have removed them; that a new start copes is tested elsewhere
            for path in controls:
                path.unlink(missing_ok=True)
            return []
        paths = [
            Path(address.removeprefix("unix:")) for address in self.addresses if address.startswith("unix:")
        ]
        paths += [
            Path(fields["address"].removeprefix("unix:"))
            for fields in self.log.events("status_listening")
            if fields["address"].startswith("unix:")
        ]
        pid_file = self.settings.get("server", {}).get("pid_file")
        if pid_file:
            paths.append(self.directory / pid_file)
        paths += controls
        return [path for path in paths if path.exists()]


ServerFactory = Callable[..., Server]
"""What the fixtures `serve` and `server_factory` are; see `conftest.py`."""


def own_tracebacks(lines: Sequence[str]) -> list[str]:
    """Tracebacks whose innermost frame is prefork's: those of an application end in somebody else's file."""
    found: list[str] = []
    innermost: str | None = None
    for line in lines:
        text = fields_of(line).get("line", line)
        frame = _FRAME.search(text)
        if text.startswith("Traceback "):
            innermost = ""
        elif frame and innermost is not None:
            innermost = frame[1]
        elif innermost is not None and text and not text.startswith((" ", "~", "^")):
            if _OWN_SOURCE.search(innermost):
                found.append(f"a traceback of prefork's own in the log: {innermost}: {text}")
            innermost = None
    return found
