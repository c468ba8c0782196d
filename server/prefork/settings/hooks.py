"""Table `[hooks]`: functions of the application's that are called when something happens.

Owns: its keys. Runs in: every process (as values). Must not know: where a hook runs (see `prefork.hooks`).
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated

import msgspec
from msgspec import Meta

from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.numbers import Duration
from prefork.settings.kinds.python import is_class_reference


def hook_reference(text: str) -> str:
    """One function, as "pkg.module:function". Raises ValueError with the rule."""
    if not is_class_reference(text):
        raise ValueError('must be "module:function", such as "shop.ops:connect"')
    return text


_EXAMPLE = '["shop.ops:connect"]'


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[hooks]`."""

    on_zygote_ready: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(
            description="Called in the zygote of each release, after the application's import and before the first fork."
        ),
    ] = ()
    after_fork: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(description="Called in each worker, before it accepts connections."),
    ] = ()
    before_stop: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(description="Called in each worker after its last request."),
    ] = ()
    on_slow: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(
            description="Called for a request that runs for longer than requests.slow, in a process of its own."
        ),
    ] = ()
    on_timeout: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(
            description="Called for a request that runs for longer than requests.timeout, in a process of its own."
        ),
    ] = ()
    on_reload_failed: Annotated[
        tuple[str, ...],
        TextList(hook_reference, _EXAMPLE),
        Meta(
            description="Called when a reload, rollback or upgrade has failed, in a process of its own with the release that "
            "goes on serving."
        ),
    ] = ()
    timeout: Annotated[
        float,
        Duration(at_most=300.0),
        Meta(description="Time that one hook may take; then it is interrupted."),
    ] = 10.0
