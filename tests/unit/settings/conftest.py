"""Fixtures of the settings tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from prefork.errors import ConfigError
from prefork.settings.load import Loaded, load
from prefork.settings.overrides import parse_assignment

# Time is no part of what these tests check: they hold on a slow machine too.
settings.register_profile(
    "prefork",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("prefork")

Loader = Callable[..., Loaded]
Complaints = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Loader:
    """Load a TOML text as `shop.toml` in an own directory, with `--set` texts laid over it."""

    def loader(text: str, *assignments: str) -> Loaded:
        file = tmp_path / "shop.toml"
        file.write_text(text, encoding="utf-8")
        return load(file, map(parse_assignment, assignments), directory=tmp_path)

    return loader


@pytest.fixture
def complaints(load_text: Loader, tmp_path: Path) -> Complaints:
    """The lines about a TOML text that cannot be used, without the directory in them."""

    def collect(text: str, *assignments: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, *assignments)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.problems]

    return collect
