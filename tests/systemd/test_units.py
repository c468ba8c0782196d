"""The unit files themselves: accepted by systemd, tight, current, and installed with the package. No machine is booted."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from prefork.cli.catalog import EXPLANATIONS, catalog_text
from prefork.cli.entry import run
from prefork.cli.units import unit_text
from prefork.errors import EXIT_CONFIG
from prefork.observe.message_ids import MESSAGE_IDS

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = ("prefork.service", "prefork@.service")
DROPINS = ("hardened", "offline")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def exposure(tmp_path: Path, service: str, *dropins: str) -> float:
    """What `systemd-analyze security` gives, from 0.0 to 10.0."""
    shutil.copy(UNITS / service, tmp_path)
    directory = tmp_path / f"{service}.d"
    directory.mkdir()
    for name in dropins:
        shutil.copy(UNITS / "prefork.service.d" / f"{name}.conf", directory)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / service)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", out)
    assert found is not None, out
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("dropins", "most"), [((), 1.5), (("hardened",), 1.1), (("offline",), 0.7), (DROPINS, 0.5)]
)
def test_how_much_a_service_could_do(
    tmp_path: Path, service: str, dropins: tuple[str, ...], most: float
) -> None:
    assert exposure(tmp_path, service, *dropins) <= most


@needs_systemd
def test_systemd_accepts_them(tmp_path: Path) -> None:
    program = tmp_path / "prefork"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    names = [*SERVICES, "prefork.socket", "prefork@.socket"]
    for name in names:
        text = (
            unit_text(name)
            .replace("/usr/bin/prefork", str(program))
            .replace("#FileDescriptorStore", "FileDescriptorStore")
        )
        # From systemd 254 on; before, it is a key that nobody knows.
        (tmp_path / name).write_text(re.sub(r"FileDescriptorStorePreserve.*\n", "", text))
    shutil.copytree(UNITS / "prefork.service.d", tmp_path / "prefork.service.d")
    paths = [str(tmp_path / name.replace("@.", "@shop.")) for name in names]
    for name in names[1::2]:
        shutil.copy(tmp_path / name, tmp_path / name.replace("@.", "@shop."))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "prefork" in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize(
    "path", sorted(path for path in UNITS.rglob("prefork*") if path.is_file()), ids=lambda path: path.name
)
def test_every_line_says_why(path: Path) -> None:
    """A comment stands before each setting, or before the first of a few that belong together."""
    if path.suffix == ".catalog":
        return
    explained = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("#"):
            explained = True
        elif not line.strip() or line.startswith(("[Service]", "[Socket]")):
            explained = False
        elif "=" in line and not line.startswith(("Description=", "Documentation=", "WantedBy=")):
            assert explained, f"{path.name}:{number}: {line}"


def test_the_template_is_the_unit(tmp_path: Path) -> None:
    """They differ in names only: the same settings in the same order, and one more, the slice."""

    def keys(name: str) -> list[str]:
        lines = unit_text(name).splitlines()
        return [line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")]

    template = keys("prefork@.service")
    template.remove("Slice")
    assert template == keys("prefork.service")


def test_the_catalog_is_current() -> None:
    assert (UNITS / "prefork.catalog").read_text(encoding="utf-8") == catalog_text()


def test_the_catalog_explains_events_that_exist() -> None:
    assert EXPLANATIONS.keys() <= MESSAGE_IDS.keys()


@pytest.mark.skipif(
    shutil.which("journalctl") is None, reason="journalctl is not installed (Debian: systemd)"
)
def test_journalctl_understands_the_catalog(tmp_path: Path) -> None:
    directory = tmp_path / "usr/lib/systemd/catalog"
    directory.mkdir(parents=True)
    shutil.copy(UNITS / "prefork.catalog", directory)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True, capture_output=True)
    listing = subprocess.run(
        ["journalctl", f"--root={tmp_path}", "--list-catalog"], check=True, capture_output=True, text=True
    ).stdout
    assert listing.count("prefork: ") == len(EXPLANATIONS)


def test_they_are_installed_with_the_package() -> None:
    installed = files("prefork").joinpath("units")
    for path in UNITS.rglob("prefork*"):
        if path.is_file():
            assert installed.joinpath(*path.relative_to(UNITS).parts).read_bytes() == path.read_bytes()


# -- prefork systemd-unit ------------------------------------------------------------------------------------------------


def settings_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop 100%.toml"
    path.write_text(
        '[app]\ntarget = "shop:app"\n[server]\nlisten = ["0.0.0.0:80", '
        '{address = "unix:/run/shop.sock", mode = "0600", user = "shop", group = "www-data"}, '
        '{address = "[::1]:8443", name = "admin"}]\n'
    )
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[str]]:
    assert run(["systemd-unit", *words]) == 0
    return settings_of(capsys.readouterr().out)


def test_a_service_with_the_paths_filled_in(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    unit = printed(capsys, "-c", str(config), "--name", "shop", "--user", "deploy")
    quoted = f'"{str(config).replace("%", "%%")}"'
    (start,), (reload,) = unit["ExecStart"], unit["ExecReload"]
    assert start.endswith(f" -c {quoted}") and reload.endswith(f" reload --wait -c {quoted}")
    assert Path(start.split()[0]).is_absolute() and "/usr/bin/prefork" not in start
    assert (unit["User"], unit["DynamicUser"], unit["StateDirectory"]) == (["deploy"], ["no"], ["shop"])
    assert unit["RuntimeDirectory"] == ["prefork-shop"], "where root's commands look"
    assert "ConfigurationDirectory" not in unit and "shop.socket" in unit["After"]


def test_comments_speak_of_this_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["systemd-unit", "-c", "/srv/shop/server.toml", "--name", "shop"]) == 0
    text = capsys.readouterr().out
    assert "/srv/shop/server.toml" in text.splitlines()[0] and "systemctl edit shop`" in text
    assert "# /var/lib/shop," in text and "# /var/log/shop," in text and "# /run/prefork-shop," in text
    assert "/etc/prefork" not in text, "the comment of a setting that is not there went with it"
    assert run(["systemd-unit", "-c", "/etc/shop/server.toml", "--name", "shop"]) == 0
    assert "# /etc/shop: the settings." in capsys.readouterr().out


def test_files_of_other_programs_are_about_this_server(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for option in ("sysusers", "tmpfiles", "logrotate"):
        place = tmp_path / option
        place.mkdir()
        words = ["-c", "/etc/shop/server.toml", "--name", "shop", "--user", "deploy"]
        assert run(["systemd-unit", f"--{option}", *words, "-o", str(place)]) == 0
    # sysusers.d(5) and tmpfiles.d(5): others than *.conf are not read.
    assert "u deploy -" in (tmp_path / "sysusers/shop.conf").read_text()
    assert "d /etc/shop 0755" in (tmp_path / "tmpfiles/shop.conf").read_text()
    rotated = (tmp_path / "logrotate/shop").read_text()
    assert "/var/log/shop/*.log" in rotated and "--signal=USR1 shop.service" in rotated


def test_a_socket_unit_with_the_addresses_filled_in(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    unit = printed(capsys, "-c", str(config), "--socket")
    assert unit["ListenStream"] == ["0.0.0.0:80", "/run/shop.sock"]
    assert (unit["SocketMode"], unit["SocketUser"], unit["SocketGroup"]) == (["0600"], ["shop"], ["www-data"])
    assert unit["FileDescriptorName"] == ["http"] and "Service" not in unit
    admin = printed(capsys, "-c", str(config), "--socket", "admin", "--name", "shop")
    assert (admin["ListenStream"], admin["FileDescriptorName"]) == (["[::1]:8443"], ["admin"])
    assert admin["Service"] == ["shop.service"]


def test_a_socket_unit_needs_a_name_that_the_settings_know(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    assert run(["systemd-unit", "-c", str(config), "--socket", "admni"]) == EXIT_CONFIG
    assert "no entry with the name 'admni'; --socket takes one of: admin, http" in capsys.readouterr().err
    assert run(["systemd-unit", "-c", str(config.with_name("no.toml")), "--socket"]) == 0
    assert "the address is an example" in capsys.readouterr().err


def test_a_template(capsys: pytest.CaptureFixture[str]) -> None:
    unit = printed(capsys, "--instance")
    assert unit["ExecStart"][0].endswith(" -c /etc/prefork/%i.toml")
    assert printed(capsys, "--instance", "-c", "/srv/%i/server.toml")["ExecStart"][0].endswith(
        " -c /srv/%i/server.toml"
    )


def test_homes_are_shown_if_something_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "-c", "/home/me/server.toml")["ProtectHome"] == ["read-only"]


@pytest.mark.parametrize("option", ["hardened", "offline", "sysusers", "tmpfiles", "logrotate", "catalog"])
def test_the_other_files(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert run(["systemd-unit", f"--{option}"]) == 0
    assert capsys.readouterr().out in [path.read_text() for path in UNITS.rglob("prefork*/*.conf")] + [
        path.read_text() for path in UNITS.glob("prefork*") if path.is_file()
    ]


def test_a_file_that_says_something_else_is_not_replaced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["systemd-unit", "--name", "shop", "-o", str(tmp_path)]
    assert run(command) == 0 and run(command) == 0
    path = tmp_path / "shop.service"
    text = path.read_text()
    path.write_text("mine")
    assert run(command) == 1 and path.read_text() == "mine"
    assert "--force replaces it" in capsys.readouterr().err
    assert run([*command, "--force"]) == 0 and path.read_text() == text
