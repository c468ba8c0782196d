"""What `apps/hooked.py` wrote down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def calls(path: Path, hook: str) -> list[dict[str, Any]]:
    """What was noted for `hook`, oldest first."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry["hook"] == hook]
