"""From "module:attribute" to a WSGI application.

Owns: what a target may look like, and every reason why it gives no application, in the application's own words.
Runs in: zygote (preloaded) or worker (imported after the fork). Must not know: processes, settings, sockets.

Targets: `pkg.mod:app`, `pkg.mod:namespace.app`, `pkg.mod:create_app()`, `pkg.mod:create_app("prod", debug=False)`.
Arguments are literals (ast.literal_eval), never code: a target may come from a command line or a template.
"""

from __future__ import annotations

import functools
import importlib
import sys
import traceback
from collections.abc import Callable
from keyword import iskeyword
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from prefork.errors import BootError
from prefork.wsgi.context import WSGIApplication as WSGIApplication

if TYPE_CHECKING:
    # Where they are needed, they are imported: together they cost every start 4 ms, and most targets need neither.
    import ast

_OURS = __file__

_Base = TypeVar("_Base")


class Target(msgspec.Struct, frozen=True):
    """A parsed target. `arguments` is None unless the attribute is to be called."""

    module: str
    attribute: str
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None


def load_application(target: str) -> WSGIApplication:
    """Import the application named by `target`.

    Raises BootError: stage "import" (the module does not import), "lookup" (no such attribute, or its factory failed),
    "callable" (what was found is no WSGI application). `traceback` holds the application's frames only.
    """
    parsed = parse_target(target)
    found = _look_up(_import_module(parsed, target), parsed, target)
    if parsed.arguments is not None:
        found = _call(found, parsed.arguments, target)
    _check_callable(found, target, parsed)
    application: WSGIApplication = found
    return application


def load_class(reference: str, base: type[_Base]) -> type[_Base]:
    """The subclass of `base` named by `reference` ("pkg.mod:Class"). Raises BootError like `load_application`."""
    parsed = parse_target(reference)
    found = _look_up(_import_module(parsed, reference), parsed, reference)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BootError("callable", f"{reference!r} is no subclass of prefork.{base.__name__}")
    return found


def load_callable(reference: str) -> Callable[..., Any]:
    """The function named by `reference` ("pkg.mod:name"), a hook. Raises BootError like `load_application`."""
    parsed = parse_target(reference)
    found = _look_up(_import_module(parsed, reference), parsed, reference)
    if not callable(found):
        raise BootError("callable", f"{reference!r} is a {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


def parse_target(target: str) -> Target:
    """Split a target. Raises BootError with stage "lookup" if it has another form."""
    module, colon, expression = target.partition(":")
    if not colon or not all(part.isidentifier() for part in module.split(".")):
        raise BootError("lookup", f"{target!r} is not of the form package.module:attribute")
    name = expression.strip()
    if name.isascii() and all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        return Target(module, name, None)
    import ast

    try:
        node = ast.parse(name, mode="eval").body
    except SyntaxError as error:
        raise BootError("lookup", f"{target!r}: what follows the colon is no name: {error.msg}") from error
    arguments = None
    if isinstance(node, ast.Call):
        arguments = _literal_arguments(node, target)
        node = node.func
    return Target(module, _dotted(node, target), arguments)


def describe(error: BaseException) -> str:
    """One line for an exception, as the last line of its traceback says it."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else repr(error.code)})"
    lines = traceback.format_exception_only(type(error), error)
    return lines[-1].strip() if not isinstance(error, SyntaxError) else _describe_syntax_error(error)


def application_traceback(error: BaseException) -> str:
    """The traceback of `error` without frames of this module and of the import system.

    Whoever reads it looks for a line of the application; ours and importlib's frames are above it and say nothing.
    """
    rendered = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    pending: list[traceback.TracebackException | None] = [rendered]
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = traceback.StackSummary.from_list(
            [frame for frame in part.stack if not _is_noise(frame.filename)]
        )
        pending += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(rendered.format())


def _is_noise(filename: str) -> bool:
    return filename == _OURS or filename.startswith("<frozen importlib") or filename == importlib.__file__


def _describe_syntax_error(error: SyntaxError) -> str:
    return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"


def _literal_arguments(node: ast.Call, target: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import ast

    try:
        positional = tuple(ast.literal_eval(argument) for argument in node.args)
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    except (ValueError, TypeError) as error:
        raise BootError("lookup", f"{target!r}: arguments of a factory must be literals") from error
    if len(named) != len(node.keywords):
        raise BootError("lookup", f"{target!r}: arguments of a factory must be literals, without **")
    return positional, named


def _dotted(node: ast.expr, target: str) -> str:
    import ast

    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, target)}.{node.attr}"
    raise BootError("lookup", f"{target!r}: after the colon comes a name, a dotted name or one call of it")


def _import_module(parsed: Target, target: str) -> ModuleType:
    try:
        return importlib.import_module(parsed.module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{parsed.module}.".startswith(f"{error.name}."):
            # The target itself is missing, not something it imports: no traceback of the application's exists.
            path = ", ".join(repr(entry) for entry in sys.path[:3])
            raise BootError(
                "import", f"{target!r}: no module named {error.name!r} (looked in {path}, ...)"
            ) from error
        raise _failed("import", target, error) from error
    except BaseException as error:
        # BaseException: SystemExit at import is as much a failure as any other, and must not end us silently.
        raise _failed("import", target, error) from error


def _look_up(module: ModuleType, parsed: Target, target: str) -> Any:
    found: Any = module
    for name in parsed.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            import difflib  # only for this message: it costs a start 2 ms

            close = difflib.get_close_matches(name, [n for n in dir(found) if not n.startswith("_")], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            where = getattr(found, "__file__", None) or type(found).__name__
            raise BootError("lookup", f"{target!r}: no attribute {name!r} in {where}{hint}") from error
    return found


def _call(factory: Any, arguments: tuple[tuple[Any, ...], dict[str, Any]], target: str) -> Any:
    if not callable(factory):
        raise BootError(
            "callable", f"{target!r}: the factory is a {type(factory).__name__} and cannot be called"
        )
    positional, named = arguments
    try:
        return factory(*positional, **named)
    except BaseException as error:
        raise _failed("lookup", target, error) from error


def _check_callable(found: Any, target: str, parsed: Target) -> None:
    if not callable(found):
        raise BootError(
            "callable", f"{target!r} is a {type(found).__name__}, not a callable WSGI application"
        )
    call = next((vars(each)["__call__"] for each in type(found).__mro__ if "__call__" in vars(each)), None)
    if _is_async(found) or _is_async(call):
        raise BootError(
            "callable",
            f"{target!r} is an ASGI application (async def); this server runs WSGI, so wrap it (a2wsgi)",
        )
    if parsed.arguments is None and isinstance(found, FunctionType) and not _plainly_takes_two(found):
        import inspect

        try:
            inspect.signature(found).bind({}, None)
        except TypeError as error:
            hint = f"; if it makes the application, write {parsed.module}:{parsed.attribute}()"
            raise BootError(
                "callable", f"{target!r} cannot be called as app(environ, start_response){hint}"
            ) from error


def _is_async(function: object) -> bool:
    """What `inspect.iscoroutinefunction` says, which is a great deal to import for one flag."""
    if isinstance(function, MethodType):
        function = function.__func__
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, FunctionType):
        return False
    # CO_COROUTINE; or what inspect.markcoroutinefunction leaves there (3.12).
    return bool(function.__code__.co_flags & 0x80) or "_is_coroutine_mark" in vars(function)


def _plainly_takes_two(function: FunctionType) -> bool:
    """Two positional arguments and nothing else, which needs no closer look."""
    code = function.__code__
    # CO_VARARGS, CO_VARKEYWORDS; a wrapper may say that it takes something else.
    return (code.co_argcount, code.co_kwonlyargcount, code.co_flags & 0xC) == (2, 0, 0) and not vars(function)


def _failed(stage: str, target: str, error: BaseException) -> BootError:
    return BootError(stage, f"{target!r}: {describe(error)}", application_traceback(error))
