"""A real systemd as the first process of a machine of its own, made of namespaces: booted in less than a second.

What the host has on its disks is there to be read; what is written in the box goes with it. `box.sh` prepares the inside.
PREFORK_TEST_SYSTEMD names a directory with another systemd than the host's, such as unpacked packages.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import site
import subprocess
import sys
import textwrap
from pathlib import Path

import prefork
from support.deadline import SLOWNESS, Deadline
from support.server import APPS

INSIDE = Path("/opt/prefork")
"""Where prefork is installed inside."""

PREFORK = f"{INSIDE}/venv/bin/prefork"
PYTHON = f"{INSIDE}/venv/bin/python"
KNOCK = f"{INSIDE}/support/knock.py"
APPS_INSIDE = "/srv/apps"

_SCRIPT = Path(__file__).with_name("box.sh")
_PROGRAMS = ("unshare", "nsenter", "setpriv", "mount", "systemctl", "journalctl")
_SYSTEMD = Path("/lib/systemd/systemd")
_NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork")
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_ATTEMPT = (
    'mount -t tmpfs tmpfs "$0" && mkdir "$0/a" "$0/b" "$0/c" && '
    'mount -t overlay -o "lowerdir=/,upperdir=$0/a,workdir=$0/b" overlay "$0/c"'
)


def problem(directory: Path) -> str:
    """Why there cannot be a box here, in a few words; empty if there can. `directory`: an empty one to try it in."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not _SYSTEMD.exists():
        missing.append("systemd")
    if missing:
        return f"a real systemd: {', '.join(missing)} not installed (Debian: systemd, util-linux)"
    if os.geteuid() != 0:
        return "a real systemd: only root may make the namespaces"
    if _cgroup_root() is None:
        return "a real systemd: no cgroup2 is mounted"
    attempt = ["unshare", *_NAMESPACES, "sh", "-c", _ATTEMPT, str(directory)]
    tried = subprocess.run(attempt, capture_output=True, text=True, check=False)
    said = (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
    return f"a real systemd: namespaces are not allowed here ({said})" if tried.returncode else ""


def _cgroup_root() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def _own_cgroup(root: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return root / line[4:]
    return root


class Box:
    """One machine. `run` a command in it; `stop` it in the end."""

    def __init__(self, directory: Path) -> None:
        root = _cgroup_root()
        assert root is not None, "see problem()"
        self._directory = directory
        self._cgroup = root / f"prefork-box-{os.getpid()}-{id(self):x}"
        self._cgroup.mkdir()
        self._log = (directory / "console").open("w+b")
        inside = directory / "inside"
        inside.mkdir()
        # The first process is born in a group of its own, which the new cgroup namespace takes for the whole tree; whoever
        # starts it leaves that again. It does not outlive us.
        begin = 'echo $$ >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL unshare "$@"'
        command = ["sh", "-c", begin, str(self._cgroup), *_NAMESPACES, "--kill-child=SIGKILL"]
        command += [str(_SCRIPT), str(inside), *self._shown()]
        self._outer = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "BOX_SYSTEMD": os.environ.get("PREFORK_TEST_SYSTEMD", "")},
        )
        try:
            self._pid = self._find_first()
            (_own_cgroup(root) / "cgroup.procs").write_text(str(self._outer.pid))
            self._wait_booted()
            self._install()
        except BaseException:
            self.stop()
            raise

    def run(
        self, *command: str, check: bool = True, text: str | None = None, limit_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """From beginning to end. If it must succeed and does not, the journal is part of what is said about it."""
        done = subprocess.run(
            self._entering(command),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=limit_s * SLOWNESS,
            check=False,
            env=_ENVIRONMENT,
        )
        if check and done.returncode:
            journal = self.run(
                "journalctl", "-n", "60", "--no-pager", "-o", "short-monotonic", check=False
            ).stdout
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{journal}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """One that goes on; it ends with its standard input."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._entering(command), stdin=pipe, stdout=pipe, text=True, env=_ENVIRONMENT)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """A file, with its directory."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, mode, text=textwrap.dedent(text))

    @functools.cached_property
    def version(self) -> int:
        """Of systemd, such as 252."""
        return int(self.run("systemctl", "--version").stdout.split()[1])

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "--value", "-p", key).stdout.strip()

    def wait_for(self, unit: str, key: str, *values: str, limit_s: float = 30.0) -> str:
        """Wait until the property has one of the values."""
        deadline = Deadline(limit_s)
        while (value := self.show(unit, key)) not in values:
            assert not deadline.passed, (
                f"{unit}: {key} is {value!r}, not one of {values}\n{self.journal(unit)}"
            )
            deadline.pause()
        return value

    def journal(self, unit: str, *options: str) -> str:
        """What the unit has logged, and systemd about it."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-u", unit, "--no-pager", *(options or ("-o", "cat"))).stdout

    def stop(self) -> None:
        """Shut it down, and leave nothing."""
        with contextlib.suppress(ProcessLookupError, AttributeError):
            # As a manager of containers would: systemd(1), SIGRTMIN+4 is poweroff.target.
            os.kill(self._pid, signal.SIGRTMIN + 4)
        try:
            self._outer.wait(20 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self._outer.kill()
            self._outer.wait()
        self._log.close()
        deadline = Deadline(10.0)
        while self._cgroup.exists() and not deadline.passed:
            for path in sorted(self._cgroup.rglob("*"), reverse=True):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                self._cgroup.rmdir()
            deadline.pause()

    def _entering(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", "-t", str(self._pid), "-a", *command]

    def _said(self) -> str:
        return (self._directory / "console").read_text(errors="replace")

    def _find_first(self) -> int:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        deadline = Deadline()
        while True:
            assert self._outer.poll() is None, f"the box did not begin:\n{self._said()}"
            found = children.read_text().split()
            # Until it has forked, the shell may have children of its own.
            if found and Path(f"/proc/{self._outer.pid}/comm").read_text().strip() == "unshare":
                return int(found[0])
            assert not deadline.passed, f"the box does not begin:\n{self._said()}"
            deadline.pause()

    def _wait_booted(self) -> None:
        deadline = Deadline()
        while True:
            assert self._outer.poll() is None, f"the box did not boot:\n{self._said()}"
            comm = Path(f"/proc/{self._pid}/comm").read_text().strip()
            if comm == "systemd":
                state = self.run("systemctl", "is-active", "box.target", check=False).stdout.strip()
                if state == "active":
                    return
            assert not deadline.passed, f"the box does not boot:\n{self._said()}"
            deadline.pause()

    # What is installed inside ------------------------------------------------------------------------------------

    def _shown(self) -> list[str]:
        """Directories to be seen inside, wherever they are outside: services see no home directories and no /tmp of ours."""
        shown = {
            Path(prefork.__file__).parents[1]: INSIDE / "server",
            Path(site.getsitepackages()[0]): INSIDE / "site",
            APPS: Path(APPS_INSIDE),
            _SCRIPT.parent: INSIDE / "support",
        }
        units = Path(prefork.__file__).with_name("units")
        if units.is_symlink():
            shown[units] = INSIDE / "systemd"
        if not sys.base_prefix.startswith("/usr"):
            shown[Path(sys.base_prefix)] = INSIDE / "python"
        return [f"{source.resolve()}={target}" for source, target in shown.items()]

    def _install(self) -> None:
        """A virtual environment of the same Python with the same packages."""
        base = Path(sys.base_prefix)
        base = base if str(base).startswith("/usr") else INSIDE / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = f"{INSIDE}/venv/lib/{version}/site-packages"
        self.write(f"{INSIDE}/venv/pyvenv.cfg", f"home = {base}/bin\ninclude-system-site-packages = false\n")
        self.write(f"{packages}/box.pth", f"{INSIDE}/server\n{INSIDE}/site\n")
        program = f"#!{PYTHON}\nfrom prefork.cli import main\n\nmain()\n"
        self.write(PREFORK, program, "755")
        self.run("ln", "-s", f"{base}/bin/{version}", PYTHON)
        if base == INSIDE / "python":
            # A Python with a shared library knows only where that is outside.
            self.write("/etc/ld.so.conf.d/00-python.conf", f"{base}/lib\n")
            self.run("ldconfig")
