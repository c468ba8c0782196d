"""gunicorn.conf.py, read as a syntax tree and never run.

Owns: which statements bind an option, and what is told about those that cannot be followed. Pure. Runs in: cli. Must not
know: what the options mean.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator

from prefork.errors import ConfigError
from prefork.migrate.draft import Given, Note
from prefork.migrate.pyvalues import Cpus, Evaluator, Module, UnknownError, imported
from prefork.settings.tomltext import one_line

_LONGEST = 100


class Function:
    """A function of the file: a hook, if it has the name of one."""


def python_settings(
    text: str, file: str, directory: str, is_option: Callable[[str], bool]
) -> tuple[list[Given], list[Note]]:
    """The options bound by the file (the last binding of each), and what cannot be known of them.

    Raises ConfigError with the place of a syntax error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in somebody's file is not our business
            tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(
            f"{file}: line {error.lineno}, column {error.offset}: is not Python: {error.msg}"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; thousands of parentheses
        raise ConfigError(f"{file}: is not Python: {type(error).__name__}: {error}") from None
    reader = _Reader(file, directory, is_option)
    reader.block(tree.body)
    return list(reader.given.values()), reader.notes


class _Reader:
    def __init__(self, file: str, directory: str, is_option: Callable[[str], bool]) -> None:
        self._evaluator = Evaluator(file, directory)
        self._is_option = is_option
        self.given: dict[str, Given] = {}
        self.notes: list[Note] = []
        self._under: tuple[str, ...] = ()

    def block(self, body: list[ast.stmt]) -> None:
        """Statements, one after the other."""
        for node in body:
            self._statement(node)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, node)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, node.value, node)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.Name(node.target.id, ast.Load())
            self._assign(node.target, ast.copy_location(ast.BinOp(before, node.op, node.value), node), node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._bind(node.name, Function(), f"def {node.name}(...)", node.lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.If):
            self._if(node)
        elif isinstance(node, ast.Try):
            self._unknown(node, "is bound inside try")
        elif isinstance(node, ast.Expr):
            self._call(node)
        elif not isinstance(node, ast.Pass | ast.Assert | ast.Delete):
            self._unknown(node, "is bound inside a statement that would have to be run")

    def _assign(self, target: ast.expr, value: ast.expr, node: ast.stmt) -> None:
        if (
            isinstance(target, ast.Tuple)
            and isinstance(value, ast.Tuple)
            and len(target.elts) == len(value.elts)
        ):
            for each, item in zip(target.elts, value.elts, strict=True):
                self._assign(each, item, node)
            return
        if not isinstance(target, ast.Name):
            self._unknown(node, "is bound in a way that would have to be run")
            return
        written = _short(f"{target.id} = {_source(value)}")
        try:
            found = self._evaluator.value(value)
        except UnknownError as error:
            self._evaluator.names[target.id] = error
            self.given.pop(target.id, None)
            self._note(target.id, written, node.lineno, str(error))
            return
        self._bind(target.id, found, written, node.lineno)

    def _bind(self, name: str, value: object, written: str, line: int) -> None:
        self._evaluator.names[name] = value
        if not self._is_option(name):
            return
        if isinstance(value, Module):
            self._note(name, written, line, f"is {value.name}, which would have to be imported")
            return
        remarks = tuple(dict.fromkeys([*self._evaluator.remarks, *self._under]))
        self.given[name] = Given(name, value, written, f"line {line}", remarks=remarks)
        self._evaluator.remarks = []

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self._evaluator.remarks = []
        for name, module in imported(node).items():
            self._evaluator.names[name] = module
            if self._is_option(name) and isinstance(node, ast.ImportFrom):
                self._note(
                    name,
                    _source(node),
                    node.lineno,
                    "comes from another module, which is not imported here",
                )
        if isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names):
            text = "takes settings from another module, which is not imported here: migrate that file too"
            self.notes.append(Note("unread", _source(node), f"line {node.lineno}", text))

    def _if(self, node: ast.If) -> None:
        condition = _short(_source(node.test))
        try:
            holds = self._evaluator.value(node.test)
        except UnknownError:
            self._unknown(node, f"depends on `if {condition}`")
            return
        before = self._under
        if self._evaluator.remarks:
            self._under = (*before, *self._evaluator.remarks)
        self.block(node.body if holds else node.orelse)
        self._under = before

    def _call(self, node: ast.Expr) -> None:
        """`bind.append(...)`, `raw_env.extend(...)`; anything else does nothing to options."""
        call = node.value
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        ):
            return
        name, how = call.func.value.id, call.func.attr
        if how in ("append", "extend") and len(call.args) == 1:
            added = ast.List([call.args[0]], ast.Load()) if how == "append" else call.args[0]
            whole = ast.BinOp(ast.Name(name, ast.Load()), ast.Add(), added)
            self._assign(
                ast.Name(name, ast.Store()), ast.fix_missing_locations(ast.copy_location(whole, node)), node
            )

    def _unknown(self, node: ast.AST, why: str) -> None:
        """All options that are bound somewhere in there."""
        for each, line in _bound(node):
            self._evaluator.names[each] = UnknownError(why)
            self.given.pop(each, None)
            self._note(each, each, line, why)

    def _note(self, name: str, written: str, line: int, why: str) -> None:
        if self._is_option(name):
            self.notes = [note for note in self.notes if not note.written.startswith(f"{name} ")]
            self.notes.append(Note("unread", written, f"line {line}", why))


def _bound(node: ast.AST) -> Iterator[tuple[str, int]]:
    seen = set()
    for each in ast.walk(node):
        found = None
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found = each.id, each.lineno
        elif isinstance(each, ast.FunctionDef):
            found = each.name, each.lineno
        if found and found[0] not in seen:
            seen.add(found[0])
            yield found


def _source(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:  # thousands of operators one in the other
        return "..."


def _short(text: str) -> str:
    text = one_line(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def depends_on_cpus(value: object) -> bool:
    """Whether it is a number that the machine decides."""
    return isinstance(value, Cpus)
