"""The image of docs/deploy/container, built and run as far as that goes without an engine: prefork as the first process of its
namespaces, with a read-only root, no capabilities, no terminal, and a user that no file knows.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from support import http
from support.built import built, made_once
from support.container import Container, Image, build, load, save, unavailable
from support.deadline import eventually
from support.logs import fields_of

SOURCE = Path(__file__).parents[2] / "docs" / "deploy" / "container"
UID = 54321
SERVE = ("-c", "/etc/prefork/server.toml")
SOON = ("--set", "server.drain_delay=0")
UPLOADS_ARE_FILES = ("--set", "requests.body_memory_shared=0")

T = TypeVar("T")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built by the Dockerfile, from the wheel that is shipped."""
    if reason := unavailable():
        pytest.skip(reason)
    shipped = built(tmp_path_factory)

    def make(place: Path) -> None:
        context = place / "context"
        shutil.copytree(SOURCE, context)
        (context / "wheels").mkdir()
        for wheel in shipped.glob("*.whl"):
            shutil.copy(wheel, context / "wheels")
        save(build(context / "Dockerfile", context, place / "stages"), place / "image.json")

    return load(made_once(tmp_path_factory, "image", make) / "image.json")


Start = Callable[..., Container]


@pytest.fixture
def start(image: Image) -> Iterator[Start]:
    made: list[Container] = []

    def begin(*words: str, **options: object) -> Container:
        made.append(Container(image, *words, **options))  # type: ignore[arg-type]
        return made[-1]

    yield begin
    for container in made:
        container.close()


def inside(container: Container, do: Callable[[], T]) -> T:
    """In the container's network; a thread of its own goes there, and does not come back."""

    def enter_and_do() -> T:
        container.enter()
        return do()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter_and_do).result()


def ask(container: Container, port: int, method: str, path: str, body: bytes | None = None) -> http.Response:
    def exchange() -> http.Response:
        with http.connect(f"127.0.0.1:{port}") as connection:
            return connection.request(method, path, [("Connection", "close")], body)

    return inside(container, exchange)


def ready(container: Container) -> Container:
    container.log.wait_until(lambda: container.log.search("event=ready ", 0), "event=ready")
    return container


def states(container: Container) -> dict[str, str]:
    """Pid -> state and name of everything inside, as its own /proc has it."""
    listing = container.execute("/bin/sh", "-c", "cat /proc/[0-9]*/stat").stdout
    return {line.split()[0]: line.rpartition(")")[2].split()[0] for line in listing.splitlines()}


def test_it_serves_as_any_user_with_nothing_to_write_to_but_shared_memory(start: Start) -> None:
    container = ready(start(*SERVE, *UPLOADS_ARE_FILES, user=f"{UID}:0"))
    assert ask(container, 8000, "GET", "/").body == b"read 0 bytes\n"
    # It goes to a file that has no name.
    assert ask(container, 8000, "POST", "/", b"x" * 1_000_000).body == b"read 1000000 bytes\n"
    assert ask(container, 9180, "GET", "/readyz").status == 200
    assert ask(container, 9180, "GET", "/healthz").status == 200
    listing = container.execute(
        "/bin/sh", "-c", "id -u; touch /srv/x || echo refused; cat /proc/1/status"
    ).stdout
    assert listing.startswith(f"{UID}\nrefused\n")
    assert "CapEff:\t0000000000000000" in listing
    assert fields_of(container.out.lines[0]) is not None and '"status":200' in container.out.lines[0].replace(
        " ", ""
    )
    # What nobody waits for any more becomes the first process's: it is collected.
    container.execute("/bin/sh", "-c", "(sleep 0.01 &) ; (true &)")
    eventually(lambda: "Z" not in states(container).values(), "an end of all zombies")

    drained = container.execute("prefork", "drain", "--delay", "0", "-c", "/etc/prefork/server.toml")
    assert drained.returncode == 0, drained.stderr
    assert ask(container, 9180, "GET", "/readyz").status == 503
    assert ask(container, 8000, "GET", "/").status == 200
    container.signal(signal.SIGTERM)
    assert container.wait() == 0
    assert container.log.search("event=stopped", 0)


def test_with_nothing_to_write_to_at_all_it_says_what_is_missing(start: Start) -> None:
    container = ready(start(*SERVE, *UPLOADS_ARE_FILES, *SOON, shm=False))
    line = container.log.wait_until(
        lambda: container.log.search("event=control_unavailable", 0), "the missing control socket"
    )
    assert "/dev/shm/prefork-10001" in line.string
    assert ask(container, 8000, "GET", "/").status == 200
    assert ask(container, 8000, "POST", "/", b"x" * 1_000_000).status == 503
    found = container.log.wait_until(
        lambda: container.log.search("event=body_not_stored", 0), "the refused body"
    )
    assert "mount one at /tmp or /dev/shm, or set TMPDIR" in found.string
    container.signal(signal.SIGTERM)
    assert container.wait() == 0


def test_term_before_anything_is_there_is_not_forgotten(start: Start) -> None:
    container = start(*SERVE, *SOON)
    status = Path(f"/proc/{container.pid}/status")

    def holds_term() -> bool:
        """The kernel would drop it: there is no handler yet, and it is the first process."""
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        # Before, it is the shell that prepares everything.
        return fields["Name"] == "prefork" and bool(int(fields["SigBlk"], 16) >> (signal.SIGTERM - 1) & 1)

    eventually(holds_term, "signals that are held back")
    container.signal(signal.SIGTERM)
    assert container.wait() == 0
