"""What a Python expression is worth, without running it.

Owns: the expressions that configuration files are made of: literals, arithmetic, texts put together, names bound before, the
environment's defaults, the number of CPUs. Pure. Runs in: cli. Must not know: which names are options.

The environment is not looked at: it is that of this terminal, not that of the server.
"""

from __future__ import annotations

import ast
import operator
import os.path
import string
from collections.abc import Callable, Mapping
from typing import Any

LONGEST = 10_000
"""Characters of a text, items of a list and digits of a number that are made at most: "x" * 10**9 is a valid expression."""


class UnknownError(Exception):
    """It cannot be known without running it. The text says why."""


class Cpus:
    """A number that depends on how many CPUs the machine has."""


class Module:
    """An imported module, or something in it, by its dotted name."""

    def __init__(self, name: str) -> None:
        self.name = name


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_CPU_COUNTS = {"multiprocessing.cpu_count", "os.cpu_count", "os.process_cpu_count", "psutil.cpu_count"}
_ENVIRONMENT = {"os.environ.get", "os.getenv"}
_PATHS: dict[str, Callable[..., str]] = {
    "os.path.join": os.path.join,
    "os.path.dirname": os.path.dirname,
    "os.path.abspath": os.path.normpath,
    "os.path.realpath": os.path.normpath,
    "os.path.normpath": os.path.normpath,
    "os.path.basename": os.path.basename,
    "pathlib.Path": os.path.join,
    "str": str,
}
_PLAIN: dict[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "len": len,
    "min": min,
    "max": max,
    "round": round,
}
_METHODS = (
    "lower",
    "upper",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "replace",
    "format",
    "join",
    "startswith",
)
_METHODS_2 = (
    "endswith",
    "title",
    "removeprefix",
    "removesuffix",
    "get",
    "copy",
    "resolve",
    "absolute",
    "as_posix",
    "splitlines",
)
_BUILTINS = {*_PLAIN, "str"}
_SSL = {"CERT_NONE": 0, "CERT_OPTIONAL": 1, "CERT_REQUIRED": 2}


class Evaluator:
    """Values of expressions, with the names that are bound so far."""

    def __init__(self, file: str, directory: str) -> None:
        self.names: dict[str, Any] = {"__file__": file, "__name__": "__config__"}
        self.directory = directory
        self.remarks: list[str] = []
        """What the last expression had to assume."""

    def value(self, node: ast.expr) -> Any:
        """The value. Raises UnknownError."""
        self.remarks = []
        try:
            return self._value(node)
        except UnknownError:
            raise
        except RecursionError:
            raise UnknownError("is nested too deeply") from None
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            raise UnknownError(f"would raise {type(error).__name__}: {error}") from None

    def _value(self, node: ast.expr) -> Any:
        method: Callable[[Any], Any] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise UnknownError("is not a constant")
        return method(node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> list[Any]:
        return [self._value(item) for item in node.elts]

    _tuple = _list
    _set = _list

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        if any(key is None for key in node.keys):
            raise UnknownError("is not a constant")
        return {
            self._value(key): self._value(item)
            for key, item in zip(node.keys, node.values, strict=True)
            if key
        }

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            found = self.names[node.id]
            if isinstance(found, UnknownError):
                raise UnknownError(f'depends on "{node.id}", which {found}')
            return found
        if node.id in _BUILTINS:
            return Module(node.id)
        raise UnknownError(f'depends on "{node.id}", which is not known here')

    def _attribute(self, node: ast.Attribute) -> Any:
        base = self._value(node.value)
        if isinstance(base, Module):
            name = f"{base.name}.{node.attr}"
            module, _, constant = name.partition(".")
            return _SSL[constant] if module == "ssl" and constant in _SSL else Module(name)
        if isinstance(base, str) and node.attr in ("parent", "name", "stem"):  # of a pathlib.Path
            named = os.path.basename(base)  # noqa: PTH119
            whole = {"parent": os.path.dirname(base), "name": named, "stem": os.path.splitext(named)[0]}  # noqa: PTH120, PTH122
            return whole[node.attr]
        raise UnknownError("is not a constant")

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(map(str, map(self._value, node.values)))

    def _formattedvalue(self, node: ast.FormattedValue) -> str:
        if node.format_spec is not None or node.conversion not in (-1, ord("s")):
            raise UnknownError("is not a constant")
        return str(self._known(node.value))

    def _known(self, node: ast.expr) -> Any:
        """A value that is really one."""
        value = self._value(node)
        if isinstance(value, Cpus | Module):
            raise UnknownError("depends on the machine")
        return value

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self._value(node.operand)
        if isinstance(node.op, ast.Not):
            return not self._known(node.operand)
        if isinstance(value, Cpus):
            return value
        return -value if isinstance(node.op, ast.USub) else +value

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(left, Cpus) or isinstance(right, Cpus):
            return Cpus()
        if isinstance(node.op, ast.Div) and isinstance(left, str):  # pathlib
            return os.path.join(left, self._text(right))  # noqa: PTH118
        if type(node.op) not in _BINARY:
            raise UnknownError("is not a constant")
        if isinstance(node.op, ast.Mult) and any(isinstance(each, str | list) for each in (left, right)):
            raise UnknownError("repeats something")
        return _bounded(_BINARY[type(node.op)](left, tuple(right) if _is_format(left, right) else right))

    def _boolop(self, node: ast.BoolOp) -> Any:
        wanted = isinstance(node.op, ast.Or)
        for each in node.values:
            value = self._value(each)
            if isinstance(value, Module):
                raise UnknownError("depends on the machine")
            # A number of CPUs is never 0.
            if (isinstance(value, Cpus) or bool(value)) is wanted:
                return value
        return value

    def _compare(self, node: ast.Compare) -> bool:
        left = self._known(node.left)
        for op, each in zip(node.ops, node.comparators, strict=True):
            right = self._known(each)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self._value(node.body if self._known(node.test) else node.orelse)

    def _subscript(self, node: ast.Subscript) -> Any:
        base = self._value(node.value)
        if isinstance(base, Module):
            if base.name == "os.environ":
                raise UnknownError(
                    f"is the environment variable {self._value(node.slice)}, which has no default"
                )
            raise UnknownError("is not a constant")
        return base[self._known(node.slice)]

    def _call(self, node: ast.Call) -> Any:
        if any(keyword.arg is None for keyword in node.keywords) or any(
            isinstance(a, ast.Starred) for a in node.args
        ):
            raise UnknownError("is not a constant")
        if isinstance(node.func, ast.Attribute) and node.func.attr in (*_METHODS, *_METHODS_2):
            base = self._value(node.func.value)
            if not isinstance(base, Module):
                return self._method(base, node)
        called = self._value(node.func)
        if not isinstance(called, Module):
            raise UnknownError("calls something")
        return self._function(called.name, node)

    def _function(self, name: str, node: ast.Call) -> Any:
        if name in _CPU_COUNTS:
            return Cpus()
        if (
            name == "len"
            and len(node.args) == 1
            and ast.unparse(node.args[0]).endswith("sched_getaffinity(0)")
        ):
            return Cpus()
        if name in ("os.getcwd", "pathlib.Path.cwd"):
            return self.directory
        values = [self._value(each) for each in node.args]
        named = {str(keyword.arg): self._value(keyword.value) for keyword in node.keywords}
        if name in _ENVIRONMENT:
            return self._environment(*values, **named)
        if any(isinstance(each, Cpus) for each in values):
            return Cpus()
        if name == "str" and values and not isinstance(values[0], str):
            return str(values[0])
        if name in _PATHS:
            return _PATHS[name](*map(self._text, values))
        if name in _PLAIN:
            return _bounded(_PLAIN[name](*values, **named))
        raise UnknownError(f"calls {name}()")

    def _environment(self, name: object, default: object = None) -> object:
        self.remarks.append(
            f"Unless the environment variable {name} says otherwise; prefork: --set, or a file for each place."
        )
        return default

    def _method(self, base: Any, node: ast.Call) -> Any:
        attribute = node.func.attr  # type: ignore[attr-defined]
        values = [self._known(each) for each in node.args]
        named = {str(keyword.arg): self._known(keyword.value) for keyword in node.keywords}
        if attribute in ("resolve", "absolute", "as_posix") and isinstance(base, str):
            return base
        if isinstance(base, str | dict | list) and not (
            attribute == "format" and "{" in base and _odd_format(str(base))
        ):
            return _bounded(getattr(base, attribute)(*values, **named))
        raise UnknownError("is not a constant")

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise UnknownError("is not a text")
        return value


def _odd_format(text: str) -> bool:
    """Fields with attributes, indexes or widths: "{:>1000000000}"."""
    return any(
        spec or conversion or set(name or "") & set(".[")
        for _, name, spec, conversion in string.Formatter().parse(text)
    )


def _is_format(left: object, right: object) -> bool:
    return isinstance(left, str) and isinstance(right, list)


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | dict | tuple) and len(value) > LONGEST:
        raise UnknownError("is very long")
    if isinstance(value, int) and abs(value) > 10**30:
        raise UnknownError("is a very large number")
    return list(value) if isinstance(value, tuple) else value


def imported(node: ast.Import | ast.ImportFrom) -> Mapping[str, Module]:
    """The names that an import binds; `*` is left to the caller."""
    if isinstance(node, ast.Import):
        return {
            (each.asname or each.name.partition(".")[0]): Module(
                each.name if each.asname else each.name.partition(".")[0]
            )
            for each in node.names
        }
    return {
        each.asname or each.name: Module(f"{node.module}.{each.name}")
        for each in node.names
        if each.name != "*"
    }
