"""Kinds of text that name something in Python: the application, a class.

Owns: their form. Nothing is imported. Runs in: cli, master. Must not know: whether the thing exists (the
zygote finds out).
"""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import TYPE_CHECKING

from prefork.settings.kinds.text import Text

if TYPE_CHECKING:
    import ast

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"


def is_class_reference(text: str) -> bool:
    """True for "pkg.module:Class", and for a class inside another."""
    return re.fullmatch(f"{_DOTTED}:{_DOTTED}", text) is not None


def is_application_reference(text: str) -> bool:
    """True for "pkg.module:name", "pkg.module:object.name" and "pkg.module:factory('x', n=1)"."""
    module, _, expression = text.partition(":")
    if not re.fullmatch(_DOTTED, module):
        return False
    if all(name.isidentifier() and not iskeyword(name) for name in expression.split(".")):
        return True
    import ast  # for few; it costs a start a millisecond

    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: hundreds of parentheses
        return False
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg is not None]
        if len(named) < len(node.keywords) or not all(map(_is_literal, [*node.args, *named])):
            return False
        node = node.func
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_literal(node: ast.expr) -> bool:
    import ast

    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _application_hint(text: str) -> str:
    module, colon, _ = text.partition(":")
    module = module.removesuffix(".py").strip("./").replace("/", ".")
    return f'; did you mean "{module}:app"?' if not colon and re.fullmatch(_DOTTED, module) else ""


def application_reference() -> Text:
    """The kind of `app.target`."""
    rule = 'must be "module:name", such as "shop:app" or "shop.web:create_app(\'live\', debug=False)"'
    return Text(rule, is_application_reference, hint=_application_hint)


def class_reference() -> Text:
    """The kind of `server.request_handler`."""
    return Text('must be "module:Class", such as "shop.http:Handler"', is_class_reference, optional=True)
