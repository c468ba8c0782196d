"""The files that `[tls]` names, read and checked.

Owns: reading them, as root if the master is root, and what is said about each that cannot be used. Runs in: master; cli
(`prefork check`). Must not know: connections. The zygote gets the bytes, with its other orders, in a memfd.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from prefork.errors import ConfigError
from prefork.master.tlsfiles import TlsFiles
from prefork.net.certificates import UnusableError, cipher_problem, examine, in_words, time_problem
from prefork.net.material import Credential, Material
from prefork.net.tls import PEM_CERTIFICATE, server_context
from prefork.settings import tomltext
from prefork.settings.kinds.credentials import locate
from prefork.settings.model import Settings
from prefork.settings.tls import Certificate


def read_tls_files(settings: Settings, clock: Callable[[], float]) -> TlsFiles | None:
    """None if no listener speaks TLS. `clock`: seconds since the epoch.

    Raises ConfigError with a line for each file that cannot be used.
    """
    tls = settings.tls
    if not any(entry.tls for entry in settings.server.listen) or tls.certificate is None:
        return None
    problems: list[str] = []
    warnings: list[str] = []
    entries = [
        ("tls", Certificate(tls.certificate, tls.key)),
        *((f"tls.sni[{index}]", entry) for index, entry in enumerate(tls.sni)),
    ]
    found = [_credential(place, entry, clock(), problems, warnings) for place, entry in entries]
    client_ca = _client_ca(tls.client_ca, problems)
    if tls.ciphers and (problem := cipher_problem(tls.ciphers)) is not None:
        problems.append(f"tls.ciphers = {tomltext.text(tls.ciphers)}: cannot be used: {problem}")
    credentials = tuple(credential for credential in found if credential is not None)
    material = Material(
        credentials=credentials,
        client_ca=client_ca,
        verify=tls.verify,
        ciphers=tls.ciphers,
        min_version=tls.min_version,
        alpn=tls.alpn,
    )
    if not problems:
        _try(material, problems)
    if problems:
        raise ConfigError(problems)
    return TlsFiles(material, warnings)


def _credential(
    place: str, entry: Certificate, now_s: float, problems: list[str], warnings: list[str]
) -> Credential | None:
    where = f"{place}.certificate = {tomltext.text(entry.certificate)}"
    where_key = where if entry.key is None else f"{place}.key = {tomltext.text(entry.key)}"
    certificate = _read(where, entry.certificate, problems)
    key = certificate if entry.key is None else _read(where_key, entry.key, problems)
    if certificate is None or key is None:
        return None
    try:
        facts = examine(Credential(certificate, key))
    except UnusableError as error:
        problems.append(f"{where_key if error.blames_key else where}: {error}")
        return None
    names = entry.names or facts.names
    if place != "tls" and not names:
        problems.append(f"{where}: names no host; write names = [...] beside it")
    if (problem := time_problem(facts, now_s)) is not None:
        warnings.append(f"{where}: {problem}")
    return Credential(certificate, key, names)


def _client_ca(path: str | None, problems: list[str]) -> bytes:
    if path is None:
        return b""
    where = f"tls.client_ca = {tomltext.text(path)}"
    content = _read(where, path, problems)
    if content is not None and not PEM_CERTIFICATE.search(content):
        problems.append(f"{where}: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return content or b""


def _read(where: str, path: str, problems: list[str]) -> bytes | None:
    try:
        return Path(locate(path)).read_bytes()
    except OSError as error:
        who = f" (as user id {os.geteuid()})" if isinstance(error, PermissionError) else ""
        problems.append(f"{where}: cannot be read: {error.strerror}{who}")
        return None


def _try(material: Material, problems: list[str]) -> None:
    """What is left: the authorities, and whatever OpenSSL finds wrong with all of it together."""
    try:
        server_context(material)
    except ssl.SSLError as error:
        problems.append(f"tls: cannot be used: {in_words(error)}")
