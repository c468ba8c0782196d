"""Who may import whom, and who may fork, kill and exit: `docs/architecture.md`, enforced on the source.

Imports are read from the syntax tree, so those inside functions and under TYPE_CHECKING count too: a type of
another room is knowledge of that room.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import prefork
from support.layers import EVERYTHING, Reserved, Rules, violations

ROOT = Path(prefork.__file__).parent
ARCHITECTURE = Path(__file__).parent.parent / "docs" / "architecture.md"

TABLE = {
    "settings": {"errors"},
    "net": {"errors"},
    "systemd": {"errors"},
    "http": {"errors"},
    "ipc": {"errors"},
    "observe": {"errors"},
    "migrate": {"settings", "observe", "errors"},
    "hooks": {"errors"},
    "wsgi": {"http", "errors"},
    "worker": {"wsgi", "http", "net", "ipc", "observe", "hooks", "settings", "dev.session"},
    "zygote": {"worker", "wsgi.loader", "ipc", "settings", "observe", "hooks", "dev.prepare"},
    "status": {"worker", "wsgi", "http", "zygote.hygiene", "ipc", "observe", "settings"},
    "master": {"settings", "net", "ipc", "observe", "systemd"},
    "contrib": {"cli", "settings", "wsgi", "errors"},
    "dev": {"worker", "wsgi", "http", "net", "ipc", "observe", "hooks", "settings", "errors"},
}
"""The table of `docs/architecture.md`; `errors` (imports nothing) and `cli` (imports everything) aside."""

RULES = Rules(
    package="prefork",
    allowed={
        **{room: frozenset(rooms) for room, rooms in TABLE.items()},
        "cli": EVERYTHING,
        "__main__": frozenset({"cli"}),
        "__init__": frozenset({"wsgi", "contrib", "deadline", "dev", "hooks", "metrics"}),
        "deadline": frozenset({"ipc"}),
        "metrics": frozenset({"ipc"}),
        "demo": frozenset(),
    },
    leaves=frozenset(
        {
            "errors",
            "version",
            "variables",
            "identity",
            "title",
            "speedups",
            "_speedups",
            "_shared",
            "_access",
            "_fastpath",
            "_tls",
            "_orphan",
        }
    ),
    forbidden={"http": frozenset({"socket", "os", "time", "logging", "select"})},
    reserved=(
        Reserved(
            frozenset({"sys.exit", "raise SystemExit"}),
            frozenset({"cli", "dev.reloader", "dev.simple"}),
            "everything else returns or raises, so that only the command line decides how a process ends",
        ),
        Reserved(
            frozenset({"os._exit"}),
            frozenset({"cli.considerate", "zygote", "dev.processes"}),
            "only a freshly forked child leaves without running the parent's exit handlers, and a command that has none",
        ),
        Reserved(
            frozenset(
                {"os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp", "os.kill", "os.killpg"}
                | {"os.wait", "os.wait3", "os.wait4", "os.waitpid", "os.waitid", "signal.pidfd_send_signal"}
                | {"prctl", "import subprocess", "import multiprocessing"}
            ),
            frozenset(
                {
                    "master.processes",
                    "master.spawning",
                    "zygote",
                    "dev.reloader",
                    "dev.processes",
                    "dev.adhoc",
                }
            ),
            "processes are made, signalled and waited for in one place on each side",
        ),
    ),
)


def test_the_source_keeps_the_rules() -> None:
    assert violations(ROOT, RULES) == []


def test_the_table_of_the_documentation_is_the_table_enforced() -> None:
    documented = {}
    for line in ARCHITECTURE.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| `(\w+)` \|[^|]*\|([^|]*)\|", line)
        if row:
            documented[row[1]] = {name.strip(" `") for name in row[2].split(",")}
    assert documented.pop("errors") == {"nothing"}
    assert documented.pop("cli") == {"everything"}
    assert documented == TABLE


def test_the_master_can_touch_neither_a_request_nor_the_application() -> None:
    assert not RULES.allowed["master"] & {"worker", "wsgi", "wsgi.loader", "http", "zygote"}


def test_every_room_has_a_row() -> None:
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    unknown = rooms - RULES.allowed.keys() - RULES.leaves
    assert not unknown, (
        f"{sorted(unknown)} have no row in the table: say who they are and whom they may import"
    )


# -- the checker itself --------------------------------------------------------------------------------------

SMALL = Rules(
    package="house",
    allowed={"hall": frozenset({"kitchen", "attic.box"}), "kitchen": frozenset(), "attic": frozenset()},
    leaves=frozenset({"errors"}),
    forbidden={"kitchen": frozenset({"socket"})},
    reserved=(
        Reserved(frozenset({"os.fork", "prctl", "raise SystemExit"}), frozenset({"attic.box"}), "why"),
    ),
)


def build(root: Path, files: dict[str, str]) -> Path:
    empty = dict.fromkeys(
        ["__init__.py", "errors.py", "attic/__init__.py", "attic/box.py", "attic/trunk.py"], ""
    )
    empty |= dict.fromkeys(["hall/__init__.py", "kitchen/__init__.py", "kitchen/sink.py"], "")
    for name, text in (empty | files).items():
        path = root / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root / "house"


@pytest.mark.parametrize(
    "text",
    [
        "import house.kitchen",
        "from house.kitchen import sink",
        "from house import kitchen",
        "from ..kitchen.sink import tap",
        "from house.attic.box import thing",
        "from house.errors import Error",
        "from . import other",
        "import os, socket",
    ],
)
def test_an_allowed_import_passes(tmp_path: Path, text: str) -> None:
    assert violations(build(tmp_path, {"hall/door.py": text}), SMALL) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import house.attic", 1),
        ("\nimport house.attic.trunk", 2),
        ("from house import attic", 1),
        ("from house import something", 1),
        ("from ..attic import trunk", 1),
        ("from house.attic.trunk import thing", 1),
        ("def f():\n    from house.attic.trunk import thing", 2),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.attic", 3),
    ],
)
def test_a_forbidden_import_is_found_wherever_it_hides(tmp_path: Path, text: str, line: int) -> None:
    (found,) = violations(build(tmp_path, {"hall/door.py": text}), SMALL)
    assert found.startswith(f"house/hall/door.py:{line}: imports house")
    assert "hall may import only ['attic.box', 'kitchen']" in found


def test_a_package_init_imports_relative_to_itself(tmp_path: Path) -> None:
    files = {"hall/__init__.py": "from .door import key\nfrom ..attic import trunk", "hall/door.py": ""}
    (found,) = violations(build(tmp_path, files), SMALL)
    assert found.startswith("house/hall/__init__.py:2: imports house.attic.trunk")


def test_a_forbidden_library_is_found(tmp_path: Path) -> None:
    (found,) = violations(build(tmp_path, {"kitchen/sink.py": "from socket import socket"}), SMALL)
    assert found == "house/kitchen/sink.py:1: imports socket, but kitchen must not import it"


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.fork()",
        "from os import fork",
        "libc.prctl(36)",
        "raise SystemExit(3)",
        "raise SystemExit",
    ],
)
def test_a_reserved_call_is_found_outside_its_place_only(tmp_path: Path, text: str) -> None:
    assert violations(build(tmp_path / "a", {"attic/box.py": text}), SMALL) == []
    (found,) = violations(build(tmp_path / "b", {"attic/trunk.py": text}), SMALL)
    assert "allowed only in ['attic.box']: why" in found


def test_a_room_without_a_row_may_import_only_leaves(tmp_path: Path) -> None:
    rules = replace(SMALL, allowed={})
    (found,) = violations(build(tmp_path, {"hall/door.py": "import house.errors\nimport house.attic"}), rules)
    assert "hall may import only nothing but the leaves" in found


def test_what_becomes_the_master_loads_neither_requests_nor_the_application() -> None:
    """The source may keep the rules while the package's own `__init__` breaks them at run time, and every start pays."""
    code = "import sys, prefork.cli.run, prefork.master; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    strangers = ("prefork.wsgi", "prefork.http", "prefork.worker", "prefork.zygote", "psutil", "dataclasses")
    assert [name for name in done.stdout.split() if name.startswith(strangers)] == []


@pytest.mark.parametrize("name", prefork.__all__)
def test_the_public_names_are_there(name: str) -> None:
    code = f"from prefork import {name}; import prefork; assert {name} is prefork.{name}; assert {name!r} in dir(prefork)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_for_development_are_known_as_such() -> None:
    assert {"make_server", "run_simple"} <= prefork.DEVELOPMENT < set(prefork.__all__)


def test_any_other_name_is_an_error_as_usual() -> None:
    with pytest.raises(AttributeError, match="module 'prefork' has no attribute 'after_respones'"):
        prefork.after_respones  # type: ignore[attr-defined]  # noqa: B018


def test_a_zygote_starts_without_what_only_some_need() -> None:
    """Each costs every start and every reload 2 to 10 ms."""

    def modules(*imported: str) -> set[str]:
        code = f"import sys, {', '.join(imported)}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return set(done.stdout.split())

    heavy = {
        "dataclasses",
        "difflib",
        "email.utils",
        "hashlib",
        "psutil",
        "ssl",
        "subprocess",
        "tomllib",
        "argparse",
    }
    # What the libraries bring along is not ours to leave out: msgspec has `uuid`, which in Python 3.10 has `subprocess`.
    found = modules("prefork.zygote.main", "prefork.worker.main") - modules("msgspec", "setproctitle")
    assert heavy & found == set()
