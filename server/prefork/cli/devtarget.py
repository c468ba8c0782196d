"""Which application `prefork --dev` serves when none is named in full.

Owns: the order of the places where that is said or can be guessed, and FLASK_APP's forms. Runs in: cli. Nothing is imported.
Must not know: what is done with it.

    FLASK_APP=shop            shop:app, or whatever the source of shop.py (shop/__init__.py) calls its application
    FLASK_APP=shop:web        that name; FLASK_APP="shop:create_app('test')" that factory
    FLASK_APP=src/shop.py     with src/ on the module search path
    nothing                   what `prefork init` would take: manage.py's project, wsgi.py, app.py, main.py, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from prefork.cli.command import UsageError
from prefork.cli.detect import applications, is_factory_in_file, name_in_file
from prefork.settings.kinds.python import is_application_reference


class Chosen(msgspec.Struct, frozen=True):
    """An application, and where it was said."""

    target: str
    origin: str
    path: str = ""
    """A directory that has to be on the module search path; empty: none."""


def choose(given: str | None, environment: Mapping[str, str], directory: Path) -> Chosen | None:
    """`given`: on the command line. None: nothing was said and nothing was found. Raises `UsageError`."""
    if given is not None:
        return _named(given, "command line", directory)
    name = environment.get("FLASK_APP") or _from_files(directory)
    if name:
        return _named(name, "FLASK_APP", directory)
    found = applications(directory)
    return Chosen(found[0].target, f"guess ({found[0].file})") if found else None


def _from_files(directory: Path) -> str | None:
    from prefork.dev.dotenv import read

    values, _ = read([directory / ".env", directory / ".flaskenv"])
    return values.get("FLASK_APP")


def _named(text: str, origin: str, directory: Path) -> Chosen:
    module, colon, name = text.partition(":")
    module, path = _module_of(module.strip(), directory)
    start = Path(path) if path else directory
    place = start.joinpath(*module.split("."))
    if colon:
        name = name.strip()
        # As Flask, which calls a factory that is named without parentheses.
        sources = (place.with_suffix(".py"), place / "__init__.py")
        calls = "()" if any(is_factory_in_file(file, name) for file in sources) else ""
        return Chosen(f"{module}:{name}{calls}", origin, path)
    for file in (place.with_suffix(".py"), place / "__init__.py", place / "wsgi.py", place / "app.py"):
        found = name_in_file(file)
        if found is not None:
            inside = file.parent == place and file.stem != "__init__"
            return Chosen(f"{module}.{file.stem}:{found}" if inside else f"{module}:{found}", origin, path)
    target = f"{module}:app"
    if not is_application_reference(target):
        raise UsageError(f"{text}: is no module and no file of Python; write MODULE:APP")
    return Chosen(target, origin, path)


def _module_of(text: str, directory: Path) -> tuple[str, str]:
    """A module, or the path of one: then the directory it has to be imported from."""
    if not text.endswith(".py") and "/" not in text:
        return text, ""
    file = (directory / text).resolve()
    parts = [] if file.name == "__init__.py" else [file.stem]
    above = file.parent
    while (above / "__init__.py").is_file():
        parts.insert(0, above.name)
        above = above.parent
    if file.is_dir():
        parts[-1:] = [file.name]
    return ".".join(parts), "" if above == directory.resolve() else str(above)
