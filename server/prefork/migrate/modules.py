"""The application, where other servers name a file.

Owns: the way from a file to a module. Pure. Runs in: cli. Must not know: options.
"""

from __future__ import annotations

import os
import re

from prefork.migrate.draft import Draft, Given
from prefork.settings.kinds.python import is_application_reference


def target(module: str, name: str, given: Given, draft: Draft) -> None:
    """`app.target`. Raises ValueError."""
    found = f"{module}:{name}"
    if not is_application_reference(found):
        raise ValueError('is not "module:name", nor a factory with literal arguments')
    draft.put("app.target", found, given)


def target_of_file(text: str, name: str, given: Given, draft: Draft) -> None:
    """A file beneath the working directory is a module of its packages; of any other the directory becomes `app.path`."""
    directory, base = os.path.split(text)
    stem, end = os.path.splitext(base)  # noqa: PTH122
    if end != ".py" or not stem.isidentifier():
        draft.missing(given, f"prefork imports modules: give {base} a name such as {re.sub(r'[^A-Za-z0-9_]', '_', stem)}_wsgi.py "
                      "and name it as app.target")  # fmt: skip
        return
    start = draft.working_directory
    beneath = os.path.relpath(os.path.join(start, directory), start)  # noqa: PTH118
    parts = [] if beneath == "." else beneath.split("/")
    if all(part.isidentifier() for part in parts):
        target(".".join([*parts, stem]), name, given, draft)
        return
    draft.append("app.path", draft.path(directory), given)
    target(stem, name, given, draft)
