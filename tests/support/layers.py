"""Reads the source of a package and says where it breaks the rules about who may import and do what.

The rules are data (`Rules`), so that the checker itself is tested on a small made-up package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EVERYTHING = frozenset({"*"})


@dataclass(frozen=True)
class Reserved:
    """Calls that only some places may make: `names` are attribute names or names imported from a module."""

    names: frozenset[str]
    places: frozenset[str]
    why: str


@dataclass(frozen=True)
class Rules:
    """`allowed`: room -> rooms (or single modules, `wsgi.loader`) it may import. A room is a direct child of
    the package; the package's own `__init__` is the room `__init__`. `leaves` may be imported by all and
    import only each other. `forbidden`: room -> top-level libraries it must not import."""

    package: str
    allowed: Mapping[str, frozenset[str]]
    leaves: frozenset[str] = frozenset()
    forbidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reserved: tuple[Reserved, ...] = ()


def violations(root: Path, rules: Rules) -> list[str]:
    """One sentence for each breach in the package whose folder is `root`, with file and line."""
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        where = f"{rules.package}/{path.relative_to(root)}"
        found += [f"{where}:{line}: {text}" for line, text in _imports(tree, module, root, rules)]
        found += [f"{where}:{line}: {text}" for line, text in _reserved_calls(tree, module, rules)]
    return found


def _imports(tree: ast.Module, module: str, root: Path, rules: Rules) -> Iterator[tuple[int, str]]:
    room = module.split(".")[0]
    for node in ast.walk(tree):
        for name in _names(node, module, rules.package):
            top, _, rest = name.partition(".")
            if top != rules.package:
                if top in rules.forbidden.get(room, ()):
                    yield node.lineno, f"imports {top}, but {room} must not import it"
                continue
            target = _existing_module(rest, root)
            if not _may(room, target, rules):
                may = sorted(rules.allowed.get(room, ())) or "nothing but the leaves"
                yield node.lineno, f"imports {name}, but {room} may import only {may}"


def _names(node: ast.AST, module: str, package: str) -> list[str]:
    """Absolute dotted names that an import statement asks for; none for other nodes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        here = [package, *module.split(".")[:-1]]  # a package's own file is called `room.__init__` here
        above = here[: len(here) - (node.level - 1)]
        base = ".".join([*above, *filter(None, [node.module])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _existing_module(dotted: str, root: Path) -> str:
    """`wsgi.loader.load_application` -> `wsgi.loader`: what of the name is a module, not a thing in one."""
    parts = dotted.split(".") if dotted else []
    while parts:
        path = root.joinpath(*parts)
        if path.is_dir() or any(path.with_suffix(suffix).is_file() for suffix in (".py", ".pyi")):
            return ".".join(parts)
        parts.pop()
    return "__init__"


def _may(room: str, target: str, rules: Rules) -> bool:
    target_room = target.split(".")[0]
    if target_room == room or target_room in rules.leaves:
        return True
    allowed = rules.allowed.get(room, frozenset())
    return allowed == EVERYTHING or target_room in allowed or target in allowed


def _reserved_calls(tree: ast.Module, module: str, rules: Rules) -> Iterator[tuple[int, str]]:
    room = module.split(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            used = (
                {node.attr, f"{node.value.id}.{node.attr}"}
                if isinstance(node.value, ast.Name)
                else {node.attr}
            )
        elif isinstance(node, ast.ImportFrom):
            used = {name for alias in node.names for name in (alias.name, f"{node.module}.{alias.name}")}
        elif isinstance(node, ast.Import):
            used = {f"import {alias.name.split('.')[0]}" for alias in node.names}
        elif isinstance(node, ast.Raise):
            used = {f"raise {_raised(node)}"}
        else:
            continue
        for rule in rules.reserved:
            for name in sorted(used & rule.names):
                if room not in rule.places and module not in rule.places:
                    yield node.lineno, f"uses {name}, allowed only in {sorted(rule.places)}: {rule.why}"


def _raised(node: ast.Raise) -> str:
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return error.id if isinstance(error, ast.Name) else ""
