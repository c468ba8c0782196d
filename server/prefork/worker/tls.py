"""TLS as a worker uses it: the shared context, and what a connection tells the application.

Owns: the context made of the master's bytes, and the SSL_* keys of environ. Runs in: zygote (once, before the fork), worker.
Must not know: files, HTTP.
"""

from __future__ import annotations

import ssl
from typing import Any

import msgspec

from prefork.errors import BootError
from prefork.net.certificates import in_words
from prefork.net.material import Material
from prefork.net.tls import server_context

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "emailAddress",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514 section 3, and what everybody writes for e-mail addresses."""

_SPECIAL = str.maketrans({character: f"\\{character}" for character in ',+"\\<>;='})


def load_context(material: bytes) -> ssl.SSLContext:
    """The context from `Material` as JSON. Raises BootError."""
    try:
        return server_context(msgspec.json.decode(material, type=Material))
    except ssl.SSLError as error:
        # The master's OpenSSL took it; that of `[app] python` does not.
        raise BootError(
            "tls", f"{ssl.OPENSSL_VERSION} does not take the certificates: {in_words(error)}"
        ) from error


def tls_environ(connection: ssl.SSLObject) -> dict[str, Any]:
    """The entries for a connection whose handshake is done, with the names of Apache's mod_ssl."""
    cipher = connection.cipher() or ("", "", 0)
    environ: dict[str, Any] = {
        "HTTPS": "on",
        "SSL_PROTOCOL": connection.version() or "",
        "SSL_CIPHER": cipher[0],
        "SSL_CLIENT_VERIFY": "NONE",
    }
    # False for a client that was not asked or has none.
    der = connection.getpeercert(binary_form=True)
    if der:
        certificate: dict[str, Any] = connection.getpeercert() or {}
        environ |= {
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(der),
            "SSL_CLIENT_S_DN": _distinguished_name(certificate.get("subject", ())),
            "SSL_CLIENT_S_DN_CN": _common_name(certificate.get("subject", ())),
            "SSL_CLIENT_I_DN": _distinguished_name(certificate.get("issuer", ())),
            "SSL_CLIENT_M_SERIAL": certificate.get("serialNumber", ""),
            "SSL_CLIENT_V_START": certificate.get("notBefore", ""),
            "SSL_CLIENT_V_END": certificate.get("notAfter", ""),
        }
    return environ


def _distinguished_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """RFC 4514: the last first, with commas."""
    return ",".join(
        "+".join(f"{_SHORT.get(key, key)}={_native(value.translate(_SPECIAL))}" for key, value in part)
        for part in reversed(name)
    )


def _common_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return next((_native(value) for part in name for key, value in part if key == "commonName"), "")


def _native(text: str) -> str:
    """A native string of PEP 3333: UTF-8 bytes, each as one character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
