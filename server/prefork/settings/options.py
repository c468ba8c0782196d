"""Options, read off the structs that hold them.

Owns: `Option`, and how a struct's annotations become options. Runs in: cli, master. Must not know: which
options exist.
"""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from prefork.settings.kinds.base import Kind


class Option(msgspec.Struct, frozen=True):
    """One key of one table."""

    key: str
    kind: Kind
    description: str
    default: Any
    """Meaningless if `required`."""
    required: bool
    example: Any
    """What to show for a key without a default, as written in TOML."""


def options_of(struct: type[msgspec.Struct]) -> dict[str, Option]:
    """The options of a struct, in the order of its fields.

    Each field is `Annotated[type, kind, msgspec.Meta(description=...)]`, so that type, kind, default and
    meaning of an option stand in one place.
    """
    hints = get_type_hints(struct, include_extras=True)
    options: dict[str, Option] = {}
    for field in msgspec.structs.fields(struct):
        metadata = hints[field.name].__metadata__
        kind = next(item for item in metadata if isinstance(item, Kind))
        meta = next(item for item in metadata if isinstance(item, msgspec.Meta))
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        options[field.name] = Option(
            key=field.name,
            kind=kind,
            description=meta.description or "",
            default=default,
            required=field.required,
            example=(meta.examples or [""])[0],
        )
    return options
