"""Usable memory, and shares of it, on made-up file systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.settings.kinds.memory import Share
from prefork.settings.kinds.workers import CountRange
from prefork.settings.load import load
from prefork.settings.memory import UsableMemory, limit_bytes, usable_memory
from prefork.settings.model import AppSettings, Settings, WorkerSettings
from prefork.settings.overrides import Override
from prefork.settings.reference import effective_text
from prefork.settings.thismachine import in_numbers
from unit.settings.test_cpus import V1, V1_MEMORY, V2, machine

GIB = 1 << 30
UNLIMITED_V1 = 9223372036854771712


@pytest.mark.parametrize(
    ("limits", "gib"),
    [
        ({}, 8),
        ({"a/b/memory.max": "max"}, 8),
        ({"a/b/memory.max": str(2 * GIB)}, 2),
        ({"a/b/memory.high": str(GIB), "a/b/memory.max": str(2 * GIB)}, 1),
        ({"a/memory.max": str(3 * GIB), "a/b/memory.max": "max"}, 3),
        ({"a/memory.max": str(2 * GIB), "a/b/memory.max": str(3 * GIB)}, 2),
        ({"memory.max": str(4 * GIB)}, 4),
        ({"a/b/memory.max": str(64 * GIB)}, 8),
        ({"other/memory.max": str(GIB)}, 8),
        ({"a/b/memory.max": "garbage"}, 8),
        ({"a/b/memory.max": ""}, 8),
        ({"a/b/memory.max": "0"}, 8),
    ],
)
def test_the_smallest_limit_of_the_group_and_those_above_it(
    tmp_path: Path, limits: dict[str, str], gib: int
) -> None:
    assert usable_memory(machine(tmp_path, "0::/a/b", [V2], limits), machine=8 * GIB).size == gib * GIB


@pytest.mark.parametrize(
    ("limits", "gib"),
    [
        ({"memory/m/memory.limit_in_bytes": str(UNLIMITED_V1)}, 8),
        ({"memory/m/memory.limit_in_bytes": str(2 * GIB)}, 2),
        ({"memory/m/memory.limit_in_bytes": str(2 * GIB), "memory/memory.limit_in_bytes": str(GIB)}, 1),
        ({"cpu,cpuacct/a/b/memory.limit_in_bytes": str(GIB)}, 8),
    ],
)
def test_groups_of_version_1(tmp_path: Path, limits: dict[str, str], gib: int) -> None:
    groups = "12:memory:/m\n4:cpu,cpuacct:/a/b\n0::/"
    assert (
        usable_memory(machine(tmp_path, groups, [V1, V1_MEMORY], limits), machine=8 * GIB).size == gib * GIB
    )


def test_it_says_whose_limit_it_is(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/a", [V2], {"a/memory.max": str(GIB)})
    assert usable_memory(root, machine=8 * GIB).source.endswith("/sys/fs/cgroup/a/memory.max")
    assert usable_memory(tmp_path / "none", machine=GIB) == UsableMemory(GIB, "this machine")


def test_this_machine() -> None:
    assert usable_memory().size > 64 << 20


def test_a_share_is_for_all_workers_together() -> None:
    usable = UsableMemory(10 * GIB, "test")
    assert limit_bytes(Share(80.0), 4, usable) == 2 * GIB
    assert limit_bytes(512, 4, usable) == 512
    assert limit_bytes(0, 4, usable) == 0


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (
            WorkerSettings(count=4, max_memory=Share(80.0)),
            {"workers.max_memory": "2048MiB for each of 4 here"},
        ),
        (
            WorkerSettings(count=CountRange(1, 8), max_memory_hard=Share(100.0)),
            {"workers.max_memory_hard": "1280MiB for each of 8 here"},
        ),
        (
            WorkerSettings(count="auto", max_memory=Share(10.0)),
            {"workers.count": "2 here", "workers.max_memory": "512MiB for each of 2 here"},
        ),
        (WorkerSettings(count=4, max_memory=GIB), {}),
    ],
)
def test_what_it_comes_to_is_shown(workers: WorkerSettings, words: dict[str, str]) -> None:
    settings = Settings(app=AppSettings(target="shop:app"), workers=workers)
    found = in_numbers(settings, lambda: 2, lambda: UsableMemory(10 * GIB, "test"))
    bodies = found.pop("requests.body_memory_shared")
    assert bodies.endswith("here, of 10240MiB (test)")
    assert found.keys() == words.keys()
    assert all(found[key].startswith(words[key]) for key in words)


def test_prefork_config_prints_it_and_stays_readable_as_settings(tmp_path: Path) -> None:
    overrides = [Override("app.target", "shop:app", "test"), Override("workers.max_memory", "80%", "test")]
    loaded = load(None, overrides, directory=tmp_path)
    assert loaded.settings.workers.max_memory == Share(80.0)
    text = effective_text(loaded.settings, loaded.origins, {"workers.max_memory": "12MiB here"})
    assert 'max_memory = "80%"  # test; 12MiB here\n' in text
    file = tmp_path / "again.toml"
    file.write_text(text)
    assert load(file).settings.workers == loaded.settings.workers


@pytest.mark.parametrize("value", ["0%", "101%", "80 percent", "%", "-5%", True, 1.5])
def test_what_is_no_limit(tmp_path: Path, value: object) -> None:
    with pytest.raises(Exception, match=r"max_memory.*must be") as caught:
        load(
            None,
            [Override("app.target", "a:b", "test"), Override("workers.max_memory", value, "test")],
            directory=tmp_path,
        )
    assert type(caught.value).__name__ == "ConfigError"


def test_the_softer_limit_must_not_be_the_larger(tmp_path: Path) -> None:
    def tried(soft: str, hard: str) -> None:
        given = {"app.target": "a:b", "workers.max_memory": soft, "workers.max_memory_hard": hard}
        load(None, [Override(key, value, "test") for key, value in given.items()], directory=tmp_path)

    tried("80%", "90%")
    tried("80%", "1GiB")
    with pytest.raises(Exception, match='must not be larger than max_memory_hard, which is "70%"'):
        tried("80%", "70%")
