"""The compiled twin of the hottest functions, where there is one.

Owns: the choice between it and Python. `PREFORK_PURE=1` in the environment chooses Python. Runs in: every process that reads
requests; it is made at import and does not change. Must not know what the functions do: the modules that hold them ask.
"""

from __future__ import annotations

import os
from types import ModuleType

_PURE = os.environ.get("PREFORK_PURE", "0") not in ("", "0")


def _load_speedups() -> ModuleType | None:
    try:
        from prefork import _speedups
    except ImportError:  # installed without a compiler
        return None
    return _speedups


def _load_shared() -> ModuleType | None:
    try:
        from prefork import _shared
    except ImportError:
        return None
    return _shared


def _load_access() -> ModuleType | None:
    try:
        from prefork import _access
    except ImportError:
        return None
    return _access


def _load_fastpath() -> ModuleType | None:
    try:
        from prefork import _fastpath
    except ImportError:
        return None
    return _fastpath


def _load_tls() -> ModuleType | None:
    try:
        from prefork import _tls
    except ImportError:
        return None
    return _tls


def _load_orphan() -> ModuleType | None:
    try:
        from prefork import _orphan
    except ImportError:
        return None
    return _orphan


speedups = None if _PURE else _load_speedups()
"""HTTP; None: Python does it."""

shared = None if _PURE else _load_shared()
"""Writing to shared memory; None: Python does it."""

access = None if _PURE else _load_access()
"""Lines of the access log; None: Python does it."""

fastpath = None if _PURE else _load_fastpath()
"""The ordinary request in one piece; None: Python does it."""

tls = None if _PURE else _load_tls()
"""Records of TLS; None: Python does it."""

orphan = None if _PURE else _load_orphan()
"""Workers are forked with one copy of the zygote; None: with two."""

DESCRIPTION = "pure Python" if speedups is None else "with compiled parts"
