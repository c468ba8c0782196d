"""What a container engine does, as far as util-linux does it: images from a Dockerfile, and their first process in namespaces.

There is no registry here: whatever image a Dockerfile begins with is this machine's own system and Python, read-only. Everything
else happens as it says. Needs root.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from support.deadline import DEADLINE_S, SLOWNESS, Deadline, eventually
from support.logs import LogStream
from support.network import enter_network

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "opt")
_ETC = (
    "ssl",
    "ca-certificates",
    "alternatives",
    "resolv.conf",
    "hosts",
    "nsswitch.conf",
    "ld.so.cache",
    "pip.conf",
    "passwd",
    "group",
)
_PATH = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

# Runs as the first process of new namespaces. $1: the image; then "--" and the command.
_ENTER = r"""
set -e
root=$1; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
for each in $BASE; do
    [ -e "/$each" ] || continue
    if [ -d "/$each" ]; then mkdir -p "./$each"; else mkdir -p "./${each%/*}"; touch "./$each"; fi
    mount --rbind "/$each" "./$each"
    mount -o remount,bind,ro "./$each"
done
mkdir -p proc dev tmp old
mount -t tmpfs -o size=1m,mode=755 none dev
for each in null zero full random urandom; do touch dev/$each; mount --bind /dev/$each dev/$each; done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
[ -z "$SHM" ] || mount -t tmpfs -o size=64m,mode=1777 shm dev/shm
mount -t proc proc proc
[ -z "$READ_ONLY" ] || { mount -o remount,ro dev; mount -o remount,bind,ro "$root"; }
[ -z "$NET" ] || ip link set lo up
pivot_root . old
umount -l old
cd "$DIRECTORY"
exec setpriv --reuid "$OWNER" --regid "$GROUP" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""


@cache
def unavailable() -> str:
    """Why there can be no container here; empty if there can."""
    missing = [name for name in ("unshare", "nsenter", "setpriv", "pivot_root", "ip") if _which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: util-linux, iproute2)"
    if os.geteuid() != 0:
        return "namespaces are root's"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


def _which(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def _base() -> str:
    inside = any(Path(sys.base_prefix).is_relative_to(f"/{each}") for each in _SYSTEM)
    return " ".join(
        (*_SYSTEM, *(f"etc/{each}" for each in _ETC), *(() if inside else (sys.base_prefix.lstrip("/"),)))
    )


def _enter(
    root: Path, command: Sequence[str], directory: str, owner: str, **options: str
) -> tuple[list[str], dict[str, str]]:
    uid, _, gid = owner.partition(":")
    environment = {"BASE": _base(), "DIRECTORY": directory, "OWNER": uid, "GROUP": gid or "0", **options}
    # The shell's own variables do not reach the command: `env -i` stands in front of it.
    return ["/bin/sh", "-c", _ENTER, "enter", str(root), "--", *command], {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SHM": "",
        "READ_ONLY": "",
        "NET": "",
        **environment,
    }


@dataclass
class Image:
    """One stage of a Dockerfile, built."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    directory: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, command: str) -> None:
        """RUN."""
        outside = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = {**outside, "HOME": "/root", **self.environment}
        words = [
            "/usr/bin/env",
            "-i",
            *(f"{k}={v}" for k, v in environment.items()),
            "/bin/sh",
            "-c",
            command,
        ]
        argv, variables = _enter(self.root, words, self.directory, "0:0")
        ended = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *argv],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10 * DEADLINE_S * SLOWNESS,
            check=False,
        )
        assert ended.returncode == 0, f"RUN {command}\n{ended.stdout}{ended.stderr}"

    def path(self, text: str) -> Path:
        """A path of the image as one of ours."""
        return self.root / os.path.normpath(os.path.join(self.directory, text)).lstrip("/")  # noqa: PTH118


def build(dockerfile: Path, context: Path, place: Path) -> Image:
    """The last stage of the Dockerfile, each in a directory of `place`."""
    stages: dict[str, Image] = {}
    image: Image | None = None
    for instruction, rest in _instructions(dockerfile.read_text()):
        words = shlex.split(rest)
        if instruction == "FROM":
            image = Image(place / str(len(stages)))
            image.root.mkdir(parents=True)
            stages[words[2] if len(words) > 2 else str(len(stages))] = image
            continue
        assert image is not None, "FROM comes first"
        match instruction:
            case "WORKDIR":
                image.directory = words[0]
                image.path(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                origin = (
                    stages[words.pop(0).removeprefix("--from=")].root
                    if words[0].startswith("--from=")
                    else context
                )
                _copy(image, origin, words)
            case "RUN":
                image.run(rest)
            case "ENV":
                for word in words:
                    name, _, value = word.partition("=")
                    image.environment[name] = value.replace("$PATH", image.environment["PATH"])
            case "USER":
                image.user = words[0]
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "CMD":
                image.command = json.loads(rest)
            case "EXPOSE" | "STOPSIGNAL":
                pass
            case _:
                raise AssertionError(f"{instruction}: not known here")
    assert image is not None
    return image


def save(image: Image, file: Path) -> None:
    """For another process."""
    fields = {**vars(image), "root": str(image.root)}
    file.write_text(json.dumps(fields))


def load(file: Path) -> Image:
    """What `save` kept."""
    fields = json.loads(file.read_text())
    return Image(**{**fields, "root": Path(fields["root"])})


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def _copy(image: Image, origin: Path, words: Sequence[str]) -> None:
    *sources, target = words
    for source in sources:
        found, place = origin / source.lstrip("/"), image.path(target)
        if target.endswith(("/", ".")):
            place = place / found.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True)
        else:
            shutil.copy(found, place)


class Container:
    """The first process of a container, and what it says. `user` may be any number; `shm`: there is a /dev/shm."""

    def __init__(
        self,
        image: Image,
        *words: str,
        user: str = "",
        shm: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.image = image
        self.log = LogStream("stderr")
        self.out = LogStream("stdout")
        self._user = user or image.user
        command = [*image.entrypoint, *(words or image.command)]
        variables = {**image.environment, **(environment or {})}
        inner = ["/usr/bin/env", "-i", *(f"{k}={v}" for k, v in variables.items()), *command]
        argv, outer = _enter(
            image.root, inner, image.directory, self._user, READ_ONLY="1", NET="1", SHM="1" if shm else ""
        )
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", *argv],
            env=outer,
            stdin=subprocess.DEVNULL,
            stdout=self.out.write_fd,
            stderr=self.log.write_fd,
            # A session without a terminal.
            start_new_session=True,
        )
        self.log.close_writer()
        self.out.close_writer()

    @property
    def pid(self) -> int:
        """Of its first process, as we see it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        eventually(lambda: children.read_text().strip(), "the first process of the container")
        return int(children.read_text().split()[0])

    def enter(self) -> None:
        """The calling thread makes its sockets inside from now on."""
        enter_network(Path(f"/proc/{self.pid}/ns/net"))

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As `docker exec`: another process inside, as the same user."""
        uid, _, gid = self._user.partition(":")
        variables = [f"{name}={value}" for name, value in self.image.environment.items()]
        return subprocess.run(
            [
                *("nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--"),
                *("setpriv", "--reuid", uid, "--regid", gid or "0", "--clear-groups", "--"),
                *("/usr/bin/env", "-i", "-C", self.image.directory, *variables, *words),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * SLOWNESS,
            check=False,
        )

    def signal(self, number: int) -> None:
        """To its first process."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Until its first process has ended."""
        try:
            code = self.process.wait(DEADLINE_S * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end; its log:\n{self.log.text}") from None
        self.log.close(Deadline())
        self.out.close(Deadline())
        return code

    def close(self) -> None:
        """End it, if it has not."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
