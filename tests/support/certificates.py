"""Certificates for tests, made by openssl(1) in a directory of the test's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in two files."""

    certificate: Path
    key: Path


class Authority:
    """A root of its own, and what it signs."""

    def __init__(self, directory: Path, name: str = "Test Root") -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.root = Pair(directory / "root.pem", directory / "root.key")
        _openssl(
            *("req", "-x509", *_EC, "-days", "30", "-subj", f"/O=prefork/CN={name}"),
            # Python 3.13 is strict about these (VERIFY_X509_STRICT).
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self.root.key, "-out", self.root.certificate),
        )

    def sign(self, name: str, *hosts: str, subject: str = "", days: int = 20) -> Pair:
        """A certificate in `name`.pem for these host names and addresses. A negative number of days: it is over."""
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        _openssl(
            "req",
            "-new",
            "-utf8",
            *_EC,
            "-subj",
            subject or f"/CN={name}",
            "-keyout",
            pair.key,
            "-out",
            request,
        )
        names = [
            f"IP:{host}" if host.replace(".", "").isdecimal() or ":" in host else f"DNS:{host}"
            for host in hosts
        ]
        lines = [f"subjectAltName={','.join(names)}"] if names else []
        lines += ["basicConstraints=CA:FALSE", "authorityKeyIdentifier=keyid", "subjectKeyIdentifier=hash"]
        extensions.write_text("\n".join(lines) + "\n")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.root.certificate, "-CAkey", self.root.key),
            *("-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", pair.certificate),
        )
        return pair


def lock(key: Path, password: str, locked: Path) -> Path:
    """The key once more, protected by a password."""
    _openssl("pkey", "-in", key, "-aes256", "-passout", f"pass:{password}", "-out", locked)
    return locked


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
