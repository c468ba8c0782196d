"""Would these certificates and keys work? What is wrong with them, in words.

Owns: those words, and what a certificate says about itself: its names, its time. Runs in: master, cli. Must not know: settings,
files.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from typing import Any

import msgspec

from prefork.net.material import Credential
from prefork.net.tls import PEM_CERTIFICATE, PasswordNeededError, load_credential

_DAY_S = 86400.0
_SOON_DAYS = 7

_FLIGHTS = 3
"""Each side has its turn so often: enough for TLS 1.2, and a finished handshake is none the worse for it."""

_PARTIAL_CHAIN = 0x80000
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_* of openssl/x509_vfy.h; the ssl module names only the first, and not in every Python."""


class Facts(msgspec.Struct, frozen=True):
    """What a certificate says."""

    names: tuple[str, ...]
    """Host names, in lower case."""
    not_before_s: float
    not_after_s: float
    """Seconds since the epoch."""


class UnusableError(ValueError):
    """One sentence about the certificate, or about the key if `blames_key`."""

    def __init__(self, sentence: str, *, blames_key: bool = False) -> None:
        super().__init__(sentence)
        self.blames_key = blames_key


def examine(credential: Credential) -> Facts:
    """What the certificate says, once it has proved to work with its key. Raises UnusableError."""
    if not PEM_CERTIFICATE.search(credential.certificate):
        raise UnusableError("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    if b"PRIVATE KEY-----" not in credential.key:
        raise UnusableError("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)", blames_key=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        load_credential(context, credential)
    except PasswordNeededError:
        rule = "is protected by a password, and nobody is there to type it; remove it with `openssl pkey`"
        raise UnusableError(rule, blames_key=True) from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise UnusableError("does not belong to the certificate", blames_key=True) from None
        raise UnusableError(f"cannot be used: {in_words(error)}") from None
    return _facts(context, credential)


def time_problem(facts: Facts, now_s: float) -> str | None:
    """What clients will find wrong with its time, or None. `now_s`: seconds since the epoch."""
    if now_s > facts.not_after_s:
        return f"expired on {_date(facts.not_after_s)}: clients will refuse it"
    if now_s < facts.not_before_s:
        return f"is not valid before {_date(facts.not_before_s)}: clients will refuse it"
    if now_s > facts.not_after_s - _SOON_DAYS * _DAY_S:
        return f"expires on {_date(facts.not_after_s)}"
    return None


def in_words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, readable."""
    return (getattr(error, "reason", None) or str(error.args[-1])).replace("_", " ").strip(".").lower()


def cipher_problem(ciphers: str) -> str | None:
    """What is wrong with a list of ciphers, or None."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError as error:
        return in_words(error)
    return None


def _facts(server: ssl.SSLContext, credential: Credential) -> Facts:
    """Reads the certificate off a handshake with ourselves: the ssl module shows a certificate only to a peer that trusts it."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    leaf = PEM_CERTIFICATE.findall(credential.certificate)[0]
    try:
        client.load_verify_locations(cadata=leaf.decode("ascii"))
        certificate = _handshake(server, client)
    except ssl.SSLCertVerificationError as error:
        raise UnusableError(f"would be refused by clients: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise UnusableError(f"cannot be used: {in_words(error)}") from None
    names = [value.lower() for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return Facts(
        tuple(names),
        ssl.cert_time_to_seconds(certificate["notBefore"]),
        ssl.cert_time_to_seconds(certificate["notAfter"]),
    )


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """The server's certificate, as the client sees it. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (client_side, server_side) * _FLIGHTS:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client_side.getpeercert() or {}


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
