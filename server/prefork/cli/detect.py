"""What there is to serve in a directory: which framework, which module, under which name.

Owns: the guesses. Reads source files, never imports them. Runs in: cli. Must not know: what is done with a guess.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

_FACTORIES = ("create_app", "make_app", "create_application", "make_application", "get_wsgi_application")
_NAMES = ("application", "app", "wsgi_app", "wsgi", "api")
_FILES = ("wsgi.py", "app.py", "application.py", "main.py", "server.py", "web.py", "api.py")
_FRAMEWORKS = {
    "flask": "Flask",
    "django": "Django",
    "falcon": "Falcon",
    "bottle": "Bottle",
    "pyramid": "Pyramid",
    "werkzeug": "Werkzeug",
    "cherrypy": "CherryPy",
}
_NO_FRAMEWORK = "WSGI"

_LARGEST = 1 << 20
"""Bytes of a source file that is looked at."""

_MOST_MODULES = 50
"""Of other names that are looked at: a directory with more is no application's."""

_NO_APPLICATION = re.compile(r"(test_.*|.*_test|conftest|setup|manage|settings|config|conf)$")
"""Modules that may import a framework and serve nothing."""


class Application(msgspec.Struct, frozen=True):
    """A guess."""

    target: str
    framework: str
    file: str
    """Where it was found."""


def applications(directory: Path) -> list[Application]:
    """The best guess first."""
    found: dict[str, Application] = {}
    for application in (*_django(directory), *_modules(directory), *_others(directory)):
        found.setdefault(application.target, application)
    return list(found.values())


def name_in_file(file: Path) -> str | None:
    """What the application in a source file is called, as it stands after the colon of a target; None: it has none."""
    return _name_in(_read(file))


def is_factory_in_file(file: Path, name: str) -> bool:
    """Whether a source file defines `name` as a function that can be called with nothing, so that it is no application itself."""
    try:
        body = ast.parse(_read(file)).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return len(node.args.posonlyargs) + len(node.args.args) == len(node.args.defaults)
    return False


def environments(directory: Path) -> list[Path]:
    """Interpreters of virtual environments in or beside the directory (PEP 405: a pyvenv.cfg marks one)."""
    found = []
    for name in (".venv", "venv", "env", ".virtualenv"):
        python = directory / name / "bin" / "python"
        if (directory / name / "pyvenv.cfg").is_file() and python.exists():
            found.append(python)
    return found


def has_prefork(python: Path) -> bool:
    """Whether the environment of that interpreter has prefork, as a copy or a link to its source."""
    packages = python.parent.parent.glob("lib/python3*/site-packages")
    return any(any(place.glob("prefork-*.dist-info")) for place in packages)


def _django(directory: Path) -> Iterator[Application]:
    """manage.py names the settings; the project's wsgi.py lies beside them."""
    manage = _read(directory / "manage.py")
    named = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]", manage)
    if named is None:
        return
    parts = named[1].split(".")
    for length in range(len(parts) - 1, 0, -1):
        place = Path(*parts[:length], "wsgi.py")
        if (directory / place).is_file():
            yield Application(f"{'.'.join(parts[:length])}.wsgi:application", "Django", str(place))
            return


def _modules(directory: Path) -> Iterator[Application]:
    packages = sorted(
        path.parent for path in directory.glob("*/__init__.py") if path.parent.name.isidentifier()
    )
    places = [directory / name for name in _FILES]
    for package in packages:
        if package.name not in ("tests", "test", "docs"):
            places += [package / "wsgi.py", package / "__init__.py", package / "app.py"]
    for path in places:
        name = _name_in(_read(path))
        if name is not None:
            relative = path.relative_to(directory)
            parts = (*relative.parts[:-1], *(() if relative.stem == "__init__" else (relative.stem,)))
            yield Application(f"{'.'.join(parts)}:{name}", _framework(_read(path)), str(relative))


def _others(directory: Path) -> Iterator[Application]:
    """Modules of any name, such as shop.py, in which a framework is imported."""
    modules = (path for path in sorted(directory.glob("*.py")) if path.name not in _FILES)
    for path in islice(modules, _MOST_MODULES):
        if not path.stem.isidentifier() or _NO_APPLICATION.match(path.stem):
            continue
        source = _read(path)
        framework = _framework(source)
        name = _name_in(source) if framework != _NO_FRAMEWORK else None
        if name is not None:
            yield Application(f"{path.stem}:{name}", framework, path.name)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _name_in(source: str) -> str | None:
    """Under which name a module has an application: a variable, or a factory that takes nothing."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    variables: set[str] = set()
    factories: list[str] = []
    callables: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign):
            variables |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            variables.add(node.target.id)
        elif isinstance(node, ast.FunctionDef):
            required = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
            if node.name in _FACTORIES and required == 0:
                factories.append(f"{node.name}()")
            elif required == 2:
                callables.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            variables |= {
                (each.asname or each.name) for each in node.names if (each.asname or each.name) in _NAMES
            }
    named = [name for name in _NAMES if name in variables or name in callables]
    return named[0] if named else (factories[0] if factories else None)


def _framework(source: str) -> str:
    for module, name in _FRAMEWORKS.items():
        if re.search(rf"^\s*(?:from|import)\s+{module}\b", source, re.MULTILINE):
            return name
    return _NO_FRAMEWORK
