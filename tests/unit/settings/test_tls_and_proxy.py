"""Tables `[tls]`, `[[tls.sni]]` and `[proxy]`, and the listeners that they are for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prefork.settings.listen import Listen
from prefork.settings.model import Settings
from prefork.settings.reference import effective_text
from prefork.settings.tls import Certificate

from .conftest import Complaints, Loader

APP = '[app]\ntarget = "shop:app"\n'
TLS = APP + '[server]\nlisten = [{address = "0.0.0.0:443", tls = true}, "127.0.0.1:80"]\n'
PROXIED = APP + '[server]\nlisten = {address = "0.0.0.0:80", proxy_protocol = "optional"}\n'


def test_certificates_are_files_beside_the_settings(load_text: Loader, tmp_path: Path) -> None:
    text = (
        TLS
        + '[tls]\ncertificate = "shop.pem"\nkey = "/etc/shop.key"\nclient_ca = "staff.pem"\nverify = "optional"\n'
        + '[[tls.sni]]\ncertificate = "till.pem"\nnames = ["Till.Example.", "*.till.example"]\n'
        + '[[tls.sni]]\ncertificate = "bar.pem"\nkey = "bar.key"\n'
    )
    loaded = load_text(text)
    tls = loaded.settings.tls
    assert (tls.certificate, tls.key, tls.client_ca) == (
        f"{tmp_path}/shop.pem",
        "/etc/shop.key",
        f"{tmp_path}/staff.pem",
    )
    assert tls.sni == (
        Certificate(f"{tmp_path}/till.pem", None, ("till.example", "*.till.example")),
        Certificate(f"{tmp_path}/bar.pem", f"{tmp_path}/bar.key"),
    )
    assert loaded.settings.server.listen == (Listen("0.0.0.0:443", tls=True), Listen("127.0.0.1:80"))
    assert msgspec.json.decode(msgspec.json.encode(loaded.settings), type=Settings) == loaded.settings
    assert load_text(effective_text(loaded.settings, loaded.origins)).settings == loaded.settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TLS,
            '[server] listen = [{address = "0.0.0.0:443", tls = true}, "127.0.0.1:80"]: speaks TLS on "0.0.0.0:443"',
        ),
        (
            APP + '[tls]\ncertificate = "a"',
            '[tls] certificate = "a": is for nothing: no listener speaks TLS; write li',
        ),
        (APP + '[tls]\nkey = "a"', '[tls] key = "a": needs certificate in [tls] beside it'),
        (
            APP + '[[tls.sni]]\ncertificate = "a"',
            '[tls] sni = [{certificate = "a"}]: needs certificate in [tls]',
        ),
        (TLS + '[tls]\ncertificate = "a"\nverify = "required"', '[tls] verify = "required": needs client_ca'),
        (
            TLS + '[tls]\ncertificate = "a"\nclient_ca = "b"',
            '[tls] client_ca = "b": is for nothing while verify',
        ),
        (
            TLS + '[tls]\ncertificate = "a"\nmin_version = "1.1"',
            '[tls] min_version = "1.1": must be "1.2" or "1.3"',
        ),
        (
            TLS + '[tls]\ncertificate = "a"\nalpn = ["h2"]',
            '[tls] alpn[0] = "h2": must be "http/1.1" or "http/1.0"',
        ),
        (TLS + '[tls]\ncertificate = "a"\n[[tls.sni]]\n', "[tls] sni[0] = {}: must have a certificate"),
        (TLS + '[tls]\ncertificate = "a"\n[[tls.sni]]\ncertificate = ""', "[tls] sni[0]"),
        (TLS + '[tls]\ncertificate = "a"\nsni = "b"', '[tls] sni = "b": must be tables: write [[tls.sni]]'),
        (
            TLS + '[tls]\ncertificate = "a"\n[[tls.sni]]\ncertificate = "b"\nnames = ["a b"]',
            '[tls] sni[0].names[0] = "a b": must be a host name',
        ),
        (
            TLS + '[tls]\ncertificate = "a"\n[[tls.sni]]\ncertificat = "b"\ncertificate = "b"',
            '[tls] sni[0].certificat = "b": there is no such key; did you mean "certificate"?',
        ),
        (
            APP + '[server]\nlisten = {address = "a:1", tls = "yes"}',
            '[server] listen.tls = "yes": must be true or fal',
        ),
        (
            PROXIED,
            '[server] listen = {address = "0.0.0.0:80", proxy_protocol = "optional"}: takes the PROXY protocol',
        ),
        (
            APP + '[proxy]\ntrusted = ["10.0.0.1/8"]',
            '[proxy] trusted[0] = "10.0.0.1/8": must not have bits behind its',
        ),
        (APP + '[proxy]\ntrusted = ["*"]', '[proxy] trusted[0] = "*": must be an IP address, a network'),
        (APP + '[proxy]\ntrusted = ["::1", "0::1"]', '[proxy] trusted[1] = "0::1": is in the list twice'),
        (
            APP + '[proxy]\nheaders = "all"',
            '[proxy] headers = "all": must be "x-forwarded", "forwarded" or "none"',
        ),
    ],
)
def test_mistakes(complaints: Complaints, text: str, said: str) -> None:
    (line,) = complaints(text)
    assert line.startswith(f"shop.toml: {said}")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('"127.0.0.1"', ("127.0.0.1",)),
        ('["10.0.0.0/8", "unix", "2001:DB8::/32"]', ("10.0.0.0/8", "unix", "2001:db8::/32")),
        ('["192.0.2.1/32", "0.0.0.0/0"]', ("192.0.2.1", "0.0.0.0/0")),
        ("[]", ()),
    ],
)
def test_networks(load_text: Loader, written: str, kept: tuple[str, ...]) -> None:
    assert load_text(f"{APP}[proxy]\ntrusted = {written}").settings.proxy.trusted == kept


def test_who_may_announce_clients(load_text: Loader) -> None:
    settings = load_text(PROXIED + '[proxy]\ntrusted = "127.0.0.1"').settings
    assert settings.server.listen == (Listen("0.0.0.0:80", proxy_protocol="optional"),)


def test_nobody_is_trusted_by_default(load_text: Loader) -> None:
    assert load_text(APP).settings.proxy.trusted == ()
