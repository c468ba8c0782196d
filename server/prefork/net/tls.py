"""The server's side of TLS: certificates and keys, as bytes, become one `ssl.SSLContext`.

Owns: the context made of a `Material`, with a certificate for each host name. Runs in: master (to check it), zygote (to use it:
made before the fork, so that all workers share the keys of session tickets, and a client that comes back to another worker
resumes its session). Must not know: files, connections.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from prefork.net.material import Credential, Material

PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----[ \t]*\r?\n[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


class PasswordNeededError(Exception):
    """A private key is encrypted, and nobody is there to ask."""


_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(material: Material) -> ssl.SSLContext:
    """The context for all TLS connections of a process. Raises ssl.SSLError, PasswordNeededError."""
    first, *others = (_context(material, credential) for credential in material.credentials)
    by_name: dict[str, ssl.SSLContext] = {}
    for context, credential in zip(others, material.credentials[1:], strict=True):
        for name in credential.names:
            by_name.setdefault(name, context)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _first: ssl.SSLContext) -> None:
        # RFC 6066 section 3: unknown names may go on with a certificate of the server's choice.
        name = (name or "").lower()
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            connection.context = found

    if by_name:
        first.sni_callback = choose
    return first


def _context(material: Material, credential: Credential) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[material.min_version]
    # A client could have the server compute signatures for ever on one connection (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if material.ciphers:
        context.set_ciphers(material.ciphers)
    if material.alpn:
        context.set_alpn_protocols(list(material.alpn))
    load_credential(context, credential)
    if material.verify != "none":
        authorities = PEM_CERTIFICATE.findall(material.client_ca)
        context.load_verify_locations(cadata=b"\n".join(authorities).decode("ascii"))
        context.verify_mode = _VERIFY[material.verify]
    return context


def load_credential(context: ssl.SSLContext, credential: Credential) -> None:
    """Give `context` a certificate and key that are bytes. Raises ssl.SSLError, PasswordNeededError."""
    # OpenSSL would ask the terminal for a password without a callback.
    with _as_file(credential.certificate) as certificate, _as_file(credential.key) as key:
        context.load_cert_chain(certificate, key, _no_password)


def _no_password() -> str:
    raise PasswordNeededError


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to these bytes, which are in memory only: the ssl module takes no others."""
    fd = os.memfd_create("prefork-tls")
    try:
        written = 0
        while written < len(content):
            written += os.write(fd, content[written:])
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
