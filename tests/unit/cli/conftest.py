"""Fixtures of the command line tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

import prefork as package
from prefork.cli.entry import run
from prefork.master.upgrade import Program
from prefork.settings.model import Settings

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
"""For processes in other directories: prefork is found there too, whether it is installed or not."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on stderr."""
        return self.err.splitlines()


Run = Callable[..., Ended]


@pytest.fixture
def prefork(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in an empty current directory."""
    monkeypatch.chdir(tmp_path)

    def runner(*argv: str) -> Ended:
        code = run(argv)
        return Ended(code, *capfd.readouterr())

    return runner


@dataclass
class FakeMaster:
    """What the command line asks of the master, without any process."""

    loads: int = 1
    between: Callable[[], object] = lambda: None
    """Called after each load, as time passes between reloads."""
    error: BaseException | None = None
    code: int = 0
    served: list[Settings] = field(default_factory=list)
    tried: list[Settings] = field(default_factory=list)

    def serve(self, load_settings: Callable[[], Settings], program: Program | None = None) -> int:
        for _ in range(self.loads):
            self.served.append(load_settings())
            self.between()
        if self.error is not None:
            raise self.error
        return self.code

    def try_application(self, settings: Settings) -> None:
        self.tried.append(settings)
        if self.error is not None:
            raise self.error


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> FakeMaster:
    """Stands where `prefork.master.startup` and `trial` do."""
    fake = FakeMaster()
    startup, trial = ModuleType("prefork.master.startup"), ModuleType("prefork.master.trial")
    startup.__dict__["serve"] = fake.serve
    trial.__dict__["try_application"] = fake.try_application
    monkeypatch.setitem(sys.modules, "prefork.master.startup", startup)
    monkeypatch.setitem(sys.modules, "prefork.master.trial", trial)
    return fake
