"""Where control sockets may be: under systemd, for root, for others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork.settings.control import control_directories, is_private


@pytest.mark.parametrize(
    ("uid", "environ", "first"),
    [
        (0, {}, "/run/prefork"),
        (0, {"RUNTIME_DIRECTORY": "/run/shop"}, "/run/shop"),
        (1000, {}, "/tmp/prefork-1000"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/prefork"),
        (
            1000,
            {"RUNTIME_DIRECTORY": "/run/shop:/run/other", "XDG_RUNTIME_DIR": "/run/user/1000"},
            "/run/shop",
        ),
        (1000, {"RUNTIME_DIRECTORY": "relative"}, "/tmp/prefork-1000"),
    ],
)
def test_the_best_place(uid: int, environ: dict[str, str], first: str) -> None:
    directories = control_directories(uid, environ)
    assert directories[0] == first
    assert len(set(directories)) == len(directories) and all(each.startswith("/") for each in directories)


def test_a_link_is_private_only_if_root_made_it(tmp_path: Path) -> None:
    """systemd(1) puts a RuntimeDirectory= of DynamicUser= into /run/private, and links to it."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert is_private(str(tmp_path / "real"))
    assert is_private(str(tmp_path / "link")) is (os.geteuid() == 0)
    if os.geteuid() == 0:
        os.chown(tmp_path / "link", 12345, 12345, follow_symlinks=False)
        assert not is_private(str(tmp_path / "link"))
    (tmp_path / "real").chmod(0o777)
    assert not is_private(str(tmp_path / "link"))
