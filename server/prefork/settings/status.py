"""Table `[status]`: where the server tells how it is.

Owns: the form of the table. Runs in: cli, master. Must not know: sockets, what is told there.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from prefork.settings.entries import entry_schema
from prefork.settings.kinds.base import InvalidValueError, Mistake
from prefork.settings.listen import LISTEN_OPTIONS, SYSTEMD, AddressKind, Listen, ListenList, collide

_OPTIONS = {key: LISTEN_OPTIONS[key] for key in ("address", "mode", "user", "group")}
"""What an entry may say: there is no TLS here, and no proxy that announces clients."""


class StatusListenList(ListenList, frozen=True):
    """Like `server.listen`; empty for "nowhere"."""

    def convert(self, value: object, directory: str) -> tuple[Listen, ...]:
        items = value if isinstance(value, list) else [value]
        mistakes = [
            Mistake(item, "must be an address; systemd listens for the site only", f"[{index}]")
            for index, item in enumerate(items)
            if SYSTEMD in (item, item.get("address") if isinstance(item, dict) else None)
        ]
        mistakes += [
            Mistake(item[key], "is not for the status page; put a proxy in front of it", f"[{index}].{key}")
            for index, item in enumerate(items)
            if isinstance(item, dict)
            for key in LISTEN_OPTIONS
            if key not in _OPTIONS and key in item
        ]
        if mistakes:
            raise InvalidValueError(mistakes)
        entries = () if value in ([], "") else super().convert(value, directory)
        if any(entry.address == SYSTEMD for entry in entries):
            raise ValueError(
                f'must not be "{SYSTEMD}": sockets of systemd are for the application ([server] listen)'
            )
        return entries

    def schema(self) -> dict[str, Any]:
        address = AddressKind(systemd=False).schema()
        entry = {"anyOf": [address, entry_schema(_OPTIONS)]}
        return {"anyOf": [{"type": "array", "items": entry}, entry, {"const": ""}]}


class StatusSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[status]`."""

    listen: Annotated[
        tuple[Listen, ...],
        StatusListenList(),
        Meta(
            description="Addresses at which a process of its own tells how the server is, also while every worker is stuck: "
            '/ (a page), /metrics, /healthz, /readyz, /status. Written like server.listen: "127.0.0.1:9180", '
            '{address = "unix:/run/shop-status.sock", mode = "0660"}. Whoever can connect may read. Empty: nowhere.'
        ),
    ] = ()
    agent: Annotated[
        tuple[Listen, ...],
        StatusListenList(),
        Meta(
            description="Addresses at which HAProxy's agent check is answered: one line that says up or drain, and as the weight "
            'the share of threads that are free. "0.0.0.0:9181" goes with "agent-check agent-port 9181". Empty: nowhere.'
        ),
    ] = ()


def listened_twice(served: tuple[Listen, ...], listen: tuple[Listen, ...]) -> str | None:
    """The rule that `status.listen` and `status.agent` break together with `server.listen`."""
    for entry in listen:
        if any(collide(entry, other) for other in served):
            return f'must not name "{entry.address}", at which [server] listen serves the application'
    return None


def agent_alone(agent: tuple[Listen, ...], listen: tuple[Listen, ...]) -> str | None:
    """What `status.agent` breaks together with `status.listen`: one process answers at both."""
    if agent and not listen:
        return "needs listen in [status] beside it: health checks ask there"
    for entry in agent:
        if any(collide(entry, other) for other in listen):
            return f'must not name "{entry.address}", which is in listen as well'
    return None
