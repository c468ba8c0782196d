"""A certificate for one run of a development server: `ssl_context="adhoc"`.

Owns: making it, signed by itself, for the names of this machine; handing it on to the processes that a reloader starts, or the
browser would ask again after each change. Runs in: the developer's process, once. Must not know: connections.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

import msgspec

from prefork.errors import PreforkError
from prefork.net.material import Credential
from prefork.net.tls import load_credential

DAYS = 365

_TIME_LIMIT_S = 30.0


class CertificateError(PreforkError):
    """There is no certificate, and none can be made."""


def tls_context(given: ssl.SSLContext | tuple[str, str | None] | str, host: str) -> ssl.SSLContext:
    """`ssl_context` of Werkzeug: a context, files (certificate, key; no key: it is in the same file), or "adhoc".

    Raises CertificateError, TypeError.
    """
    if isinstance(given, ssl.SSLContext):
        return given
    if given == "adhoc":
        return context_of(adhoc_credential(host))
    context = _empty_context()
    if isinstance(given, str) or len(given) not in (1, 2):
        raise TypeError(
            f'ssl_context is {given!r}: it must be an ssl.SSLContext, (certificate file, key file) or "adhoc"'
        )
    try:
        context.load_cert_chain(*given)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(name) for name in given if name)
        raise CertificateError(f"cannot use the certificate and key in {names}: {error}") from error
    return context


def context_of(credential: Credential) -> ssl.SSLContext:
    """The context of a server that shows this certificate."""
    context = _empty_context()
    load_credential(context, credential)
    return context


def _empty_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    return context


def hand_on(credential: Credential) -> int:
    """A descriptor from which `handed_on` reads it; the caller closes it."""
    fd = os.memfd_create("prefork-adhoc")
    os.write(fd, msgspec.json.encode(credential))
    return fd


def handed_on(fd: int) -> Credential:
    """What was handed on. Raises CertificateError."""
    try:
        return msgspec.json.decode(os.pread(fd, 1 << 20, 0), type=Credential)
    except (OSError, msgspec.MsgspecError) as error:
        raise CertificateError(f"descriptor {fd} has no certificate: {error}") from error


def adhoc_credential(host: str) -> Credential:
    """A new certificate for `host` and the names of this machine. Raises CertificateError."""
    names = ["localhost", "127.0.0.1", "::1"]
    if host and host not in (*names, "0.0.0.0", "::") and not host.startswith("unix:"):
        names.insert(0, host)
    try:
        import cryptography  # type: ignore[import-not-found,unused-ignore]  # noqa: F401 - the question is whether it is there
    except ImportError:
        return _by_openssl(names)
    return _by_cryptography(names)


def _by_openssl(names: list[str]) -> Credential:
    program = shutil.which("openssl")
    if program is None:
        raise CertificateError(
            'ssl_context="adhoc" needs the package cryptography (pip install cryptography) or the program openssl'
        )
    alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    with tempfile.TemporaryDirectory(prefix="prefork-adhoc-") as directory:
        key, certificate = Path(directory, "key.pem"), Path(directory, "certificate.pem")
        arguments = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        arguments += ["-days", str(DAYS), "-subj", f"/O=prefork development/CN={names[0]}"]
        arguments += ["-addext", f"subjectAltName={alternatives}", "-addext", "extendedKeyUsage=serverAuth"]
        arguments += ["-keyout", str(key), "-out", str(certificate)]
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIME_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise CertificateError(f"openssl could not make a certificate: {done.stderr.strip()[-300:]}")
        return Credential(certificate.read_bytes(), key.read_bytes())


def _by_cryptography(names: list[str]) -> Credential:
    from cryptography import x509  # type: ignore[import-not-found,unused-ignore]
    from cryptography.hazmat.primitives import hashes, serialization  # type: ignore[import-not-found,unused-ignore]
    from cryptography.hazmat.primitives.asymmetric import ec  # type: ignore[import-not-found,unused-ignore]
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # type: ignore[import-not-found,unused-ignore]

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "prefork development"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0]),
        ]
    )
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(each)) if _is_address(each) else x509.DNSName(each)
        for each in names
    ]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Credential(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
