"""The compiled twin of the hottest functions, where there is one.

Owns: the choice between it and Python. `PREFORK_PURE=1` in the environment chooses Python. Runs in: every process that reads
requests; it is made at import and does not change. Must not know what the functions do: the modules that hold them ask.
"""

from __future__ import annotations

import os
from types import ModuleType


def _load() -> ModuleType | None:
    if os.environ.get("PREFORK_PURE", "0") not in ("", "0"):
        return None
    try:
        from prefork import _speedups
    except ImportError:  # installed without a compiler
        return None
    return _speedups


speedups = _load()
"""None: Python does it."""

DESCRIPTION = "pure Python" if speedups is None else "with compiled parts"
