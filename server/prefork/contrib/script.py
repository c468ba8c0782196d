"""An application that a script has, which is run by its path.

Owns: running the script once more, under another name, so that what stands behind `if __name__ == "__main__":` is left out. Runs
in: zygote or worker, as part of the application. Must not know: the server.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

NAME = "__prefork_main__"


def application(path: str, name: str) -> Any:
    """What the script at `path` calls `name`. Whatever the script raises is raised here; LookupError if it has no such name."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise LookupError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Before it runs, as an import does: dataclasses and pickle look their module up by its name.
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    try:
        return getattr(module, name)
    except AttributeError:
        raise LookupError(
            f'{path} has no {name!r} unless it is run as a program: define it before and outside of if __name__ == "__main__"'
        ) from None
