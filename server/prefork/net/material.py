"""What TLS is made of: certificates, keys and rules, as bytes.

Owns: `Material`, which crosses from the master, who may read keys, to the zygote, who uses them. Runs in: master, zygote. Must
not know: the ssl module (a server without TLS never loads it), files.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Credential(msgspec.Struct, frozen=True):
    """A certificate, with those between it and its root, and its private key: both PEM."""

    certificate: bytes
    key: bytes
    names: tuple[str, ...] = ()
    """Host names it is shown for, in lower case; "*." stands for one label. The first credential needs none."""


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """All that a context is made of."""

    credentials: tuple[Credential, ...]
    """The first is for clients that name no host, or one that no other is for."""
    client_ca: bytes = b""
    verify: Literal["none", "optional", "required"] = "none"
    ciphers: str = ""
    min_version: Literal["1.2", "1.3"] = "1.2"
    alpn: tuple[str, ...] = ()
