"""What `ps` shows for a process: the extension of setproctitle, without what its package imports.

Owns: how it is loaded. Runs in: every process. The package imports `logging` for two lines that nobody reads, and that imports
a good part of the standard library: two milliseconds of each start and reload. An application that has it set meanwhile, or
imports setproctitle later, gets the package as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, PathFinder

_NAME = "setproctitle._setproctitle"


def _load() -> Callable[[str], None]:
    package = None if "setproctitle" in sys.modules else PathFinder.find_spec("setproctitle")
    locations = None if package is None else package.submodule_search_locations
    spec = None if locations is None else PathFinder.find_spec(_NAME, locations)
    if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
        # It is there already, or lies somewhere else (an archive, say), or was built without a compiler.
        import setproctitle

        return setproctitle.setproctitle
    # What importlib.util.module_from_spec does, without importing that.
    module = spec.loader.create_module(spec)
    module.__spec__ = spec
    spec.loader.exec_module(module)
    # There for the package, should the application import that.
    sys.modules[_NAME] = module
    found: Callable[[str], None] = module.setproctitle
    return found


setproctitle = _load()
