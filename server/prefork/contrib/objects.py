"""From an application object to a target that another process can import.

Owns: the search. Runs in: the process of a script. Must not know: what is done with the target.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from prefork.errors import PreforkError

SCRIPT = "prefork.contrib.script:application"


def target_of(app: object) -> str:
    """ "module:name" for a text of that form and for an object that some module has under a name. A script that is run by
    its path is run again, by that path. Raises `PreforkError` for an object nobody could find."""
    if isinstance(app, str):
        if ":" not in app:
            raise PreforkError(f'{app!r} names no application: write "module:name"')
        return app
    if not callable(app):
        raise PreforkError(f"{app!r} is no WSGI application: it cannot be called")
    preferred = (getattr(app, "import_name", None), getattr(app, "__module__", None))
    found: list[tuple[str, str]] = []
    for name, module in list(sys.modules.items()):
        if name == "__main__" or not isinstance(module, ModuleType):
            continue
        attribute = _name_in(module, app)
        if attribute is not None:
            found.append((name, attribute))
    found.sort(key=lambda each: (each[0] not in preferred, each[0].count(".")))
    if found:
        return ":".join(found[0])
    target = _in_script(app)
    if target is None:
        raise PreforkError(
            "the application has no name in any module, so the server's processes could not find it: assign it to a name at "
            'the top of a module, or pass "module:name" or "module:factory()"'
        )
    return target


def _in_script(app: object) -> str | None:
    main = sys.modules.get("__main__")
    attribute = None if main is None else _name_in(main, app)
    if main is None or attribute is None:
        return None
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return f"{spec.name}:{attribute}"
    file = getattr(main, "__file__", None)
    if file is None:
        raise PreforkError(
            "the application was made in an interactive session, where no other process can find it: write it to a file"
        )
    return f"{SCRIPT}({os.path.abspath(file)!r}, {attribute!r})"  # noqa: PTH100


def _name_in(module: ModuleType, app: object) -> str | None:
    for name, value in list(vars(module).items()):
        if value is app and name.isidentifier():
            return name
    return None
