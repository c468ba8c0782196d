"""Tables `[tls]` and `[[tls.sni]]`, and what of them is possible only together.

Owns: the names of certificate files and how TLS is spoken. Runs in: every process (as values). Must not know: what is in
the files (the master reads them).
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from prefork.settings.entries import convert_entry, entry_schema, plain_entry
from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.credentials import SecretPath
from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.text import OneOf, Text
from prefork.settings.listen import Listen
from prefork.settings.options import options_of

# Compiled by `re` when it is first used, as others of settings: zygotes have settings, and check none.
_NAME = r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


def _host_name(text: str) -> str:
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not re.fullmatch(_NAME, name):
        raise ValueError('must be a host name, such as "shop.example" or "*.shop.example"')
    return name


def _protocol(text: str) -> str:
    if not (text.isascii() and text.isprintable() and 0 < len(text) <= 255):
        raise ValueError('must be the name of a protocol, such as "http/1.1"')
    if text not in ("http/1.1", "http/1.0"):
        raise ValueError('must be "http/1.1" or "http/1.0": this server speaks no other')
    return text


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `tls.sni`."""

    certificate: Annotated[
        str,
        SecretPath(),
        Meta(description="PEM file: the certificate, then those between it and its root."),
    ]
    key: Annotated[
        str | None,
        SecretPath(),
        Meta(description="PEM file of its private key. Empty: the certificate's file."),
    ] = None
    names: Annotated[
        tuple[str, ...],
        TextList(_host_name, '["shop.example", "*.shop.example"]'),
        Meta(description="Host names it is shown for. Empty: those in the certificate."),
    ] = ()


CERTIFICATE_OPTIONS = options_of(Certificate)


class CertificateList(Kind, frozen=True):
    """A list of tables, `[[tls.sni]]`."""

    def convert(self, value: object, directory: str) -> tuple[Certificate, ...]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError('must be tables: write [[tls.sni]], and under it certificate = "shop.pem"')
        entries: list[Certificate] = []
        mistakes: list[Mistake] = []
        for index, item in enumerate(value):
            values, found = convert_entry(item, CERTIFICATE_OPTIONS, directory, f"[{index}]")
            if not item.get("certificate"):
                found.append(Mistake(item, 'must have a certificate, such as "shop.pem"', f"[{index}]"))
            mistakes += found
            if not found:
                entries.append(Certificate(**values))
        if mistakes:
            raise InvalidValueError(mistakes)
        return tuple(entries)

    def plain(self, value: Any) -> Any:
        return [plain_entry(entry, CERTIFICATE_OPTIONS) for entry in value]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": entry_schema(CERTIFICATE_OPTIONS)}


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[tls]`."""

    certificate: Annotated[
        str | None,
        SecretPath(),
        Meta(
            description="PEM file: the server's certificate, then those between it and its root. Read by the master, at "
            "start and at each reload, so only root needs to be able to."
        ),
    ] = None
    key: Annotated[
        str | None,
        SecretPath(),
        Meta(
            description="PEM file of its private key, without password. Empty: it is in the certificate's file."
        ),
    ] = None
    sni: Annotated[
        tuple[Certificate, ...],
        CertificateList(),
        Meta(
            description="Further certificates, each a table [[tls.sni]] with certificate, key and names. Clients are shown "
            "the one for the host name they ask for (Server Name Indication), or else the one above."
        ),
    ] = ()
    client_ca: Annotated[
        str | None,
        SecretPath(),
        Meta(description="PEM file of the authorities whose client certificates are accepted. Empty: none."),
    ] = None
    verify: Annotated[
        Literal["none", "optional", "required"],
        OneOf(("none", "optional", "required")),
        Meta(description="Whether clients are asked for a certificate, and may connect without one."),
    ] = "none"
    ciphers: Annotated[
        str,
        Text(
            "must be a list of ciphers as OpenSSL writes it",
            lambda text: text.isascii() and text.isprintable(),
        ),
        Meta(
            description="Ciphers for TLS 1.2, as OpenSSL writes them (openssl-ciphers(1)). Empty: those Python chose."
        ),
    ] = ""
    min_version: Annotated[
        Literal["1.2", "1.3"],
        OneOf(("1.2", "1.3")),
        Meta(description="The oldest version of TLS that is spoken."),
    ] = "1.2"
    alpn: Annotated[
        tuple[str, ...],
        TextList(_protocol, '["http/1.1"]'),
        Meta(description="Protocols offered to clients that ask (ALPN), best first."),
    ] = ("http/1.1",)


def certificate_needed(listen: tuple[Listen, ...], certificate: str | None) -> str | None:
    """What `server.listen` breaks."""
    address = next((entry.address for entry in listen if entry.tls), None)
    if address is not None and certificate is None:
        return f'speaks TLS on "{address}", but [tls] has no certificate'
    return None


def listener_needed(certificate: str | None, listen: tuple[Listen, ...]) -> str | None:
    """What `tls.certificate` breaks: a forgotten `tls = true` would serve in the clear."""
    if certificate is not None and not any(entry.tls for entry in listen):
        return (
            "is for nothing: no listener speaks TLS; write "
            f'listen = [{{address = "{listen[0].address}", tls = true}}] in [server]'
        )
    return None


def default_needed(given: object, certificate: str | None) -> str | None:
    """What `tls.key` and `tls.sni` break."""
    return "needs certificate in [tls] beside it" if given and certificate is None else None


def client_ca_needed(verify: str, client_ca: str | None) -> str | None:
    """What `tls.verify` breaks."""
    return (
        "needs client_ca, the authorities to verify with" if verify != "none" and client_ca is None else None
    )


def verify_needed(client_ca: str | None, verify: str) -> str | None:
    """What `tls.client_ca` breaks."""
    if client_ca is not None and verify == "none":
        return 'is for nothing while verify is "none"; write verify = "required", or "optional"'
    return None
