"""Credentials of the service manager as files of [tls]."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.errors import ConfigError
from prefork.master.tls import read_tls_files
from prefork.settings.kinds.credentials import SecretPath, locate
from prefork.settings.load import load
from prefork.settings.model import Settings
from support.certificates import Authority

TEXT = """\
[app]
target = "shop:app"
[server]
listen = [{address = "127.0.0.1:8443", tls = true}]
[tls]
certificate = "credential:tls.pem"
key = "credential:tls.key"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "shop.toml"
    file.write_text(TEXT)
    return load(file).settings


def test_keys_come_from_the_directory_of_the_unit_whoever_owns_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Authority(tmp_path / "ca").sign("shop", "shop.example")
    given = tmp_path / "credentials"
    given.mkdir()
    for name, source in (("tls.pem", pair.certificate), ("tls.key", pair.key)):
        (given / name).write_bytes(source.read_bytes())
        # As systemd 254 and newer leave them.
        (given / name).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    found = read_tls_files(settings, lambda: 0.0)
    assert found is not None
    assert found.material.credentials[0].key == pair.key.read_bytes()


def complaints(settings: Settings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_tls_files(settings, lambda: 0.0)
    return str(caught.value).splitlines()


def test_without_a_service_manager_each_is_missed_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert complaints(settings) == [
        f'tls.{key} = "credential:{name}": cannot be read: $CREDENTIALS_DIRECTORY is not set; '
        f"systemd sets it for a unit with LoadCredential={name}"
        for key, name in (("certificate", "tls.pem"), ("key", "tls.key"))
    ]


def test_a_credential_that_the_unit_does_not_have(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (
        complaints(settings)[1] == 'tls.key = "credential:tls.key": cannot be read: No such file or directory'
    )


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a b", "a:b", "/etc/passwd"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="must be a path, or"):
        SecretPath().convert(f"credential:{name}", "/etc")


def test_other_paths_are_as_ever() -> None:
    assert SecretPath().convert("shop.pem", "/etc/shop") == "/etc/shop/shop.pem"
    assert SecretPath().convert("", "/etc/shop") is None
    assert locate("/etc/shop/shop.pem", {}) == "/etc/shop/shop.pem"
    assert locate("credential:a", {"CREDENTIALS_DIRECTORY": "/run/credentials/shop.service"}) == (
        "/run/credentials/shop.service/a"
    )
