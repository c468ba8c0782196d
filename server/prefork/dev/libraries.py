"""Which libraries an application imports, read from its source.

Owns: the look at the source. Nothing of the application is run. Runs in: the zygote of `prefork --dev`, which imports those
libraries, so that a worker with new code has only that code to import. Must not know: processes.

What comes after code that could change what a library does when it is imported (a call, such as `monkey.patch_all()`, a
change of `os.environ`) is left to the workers. So is everything that cannot be found or read.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec

MOST_MODULES = 500
"""So many modules of the application are looked at."""

_LARGEST = 1 << 20


def libraries(module: str, is_installed: Callable[[str], bool]) -> list[str]:
    """The modules of libraries that `module`, and those of its own that it imports, name; in the order of the imports."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    pending = [module]
    while pending and len(seen) < MOST_MODULES:
        name = pending.pop(0)
        if name in seen or not name:
            continue
        seen.add(name)
        file = _file_of(name)
        if file is None or is_installed(file) or name.partition(".")[0] in sys.builtin_module_names:
            if name != module or file is not None:
                found.setdefault(name)
            continue
        pending += _imports(file, name)
    return list(found)


def _file_of(name: str) -> str | None:
    """The source of a module, found without importing its packages; None for what is no file of Python."""
    top, _, rest = name.partition(".")
    try:
        spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    return _below(spec, rest) if rest else spec.origin


def _below(spec: ModuleSpec, rest: str) -> str | None:
    for place in spec.submodule_search_locations or ():
        path = os.path.join(place, *rest.split("."))  # noqa: PTH118
        for candidate in (path + ".py", os.path.join(path, "__init__.py")):  # noqa: PTH118
            if os.path.isfile(candidate):  # noqa: PTH113
                return candidate
    return None


def _imports(file: str, name: str) -> list[str]:
    try:
        with open(file, "rb") as source:
            body = ast.parse(source.read(_LARGEST), file).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]  # noqa: PTH119
    return list(_of_body(body, package))


def _of_body(body: list[ast.stmt], package: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _of_from(node, package)
        elif isinstance(node, ast.Try):
            yield from _of_body(node.body, package)
        elif _may_change_imports(node):
            return


def _of_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    if not base or base == "__future__":
        return
    yield base
    for each in node.names:
        if each.name != "*" and _file_of(f"{base}.{each.name}") is not None:
            yield f"{base}.{each.name}"


def _may_change_imports(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return not all(isinstance(each, ast.Name | ast.Tuple) for each in node.targets)
    return isinstance(node, ast.With | ast.For | ast.While | ast.AugAssign | ast.Delete)
