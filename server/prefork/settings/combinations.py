"""Values that are fine alone and impossible together.

Owns: those rules. Pure. Runs in: cli, master. Must not know: where values come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from prefork.settings import log, proxy, status, tls, units
from prefork.settings.kinds.memory import Share
from prefork.settings.listen import Listen


class Rule(msgspec.Struct, frozen=True):
    """A rule over several keys ("table.key"). The first one gets the blame."""

    keys: tuple[str, ...]
    broken: Callable[..., str | None]
    """Given the values of `keys`: what the first must be, or None if all is well."""


def _body_memory(body_memory: int, max_body: int) -> str | None:
    if 0 < max_body < body_memory:
        return f'must not be larger than max_body, which is "{units.format_size(max_body)}"'
    return None


def _connections(connections: int, threads: int) -> str | None:
    if connections < threads:
        return f"must not be smaller than threads, which is {threads}: some could never have work"
    return None


def _max_memory(soft: int | Share, hard: int | Share) -> str | None:
    if isinstance(soft, Share) or isinstance(hard, Share):
        # Two shares can be compared; a share and a size only on the machine, and then the smaller one counts.
        if isinstance(soft, Share) and isinstance(hard, Share) and soft.percent > hard.percent:
            return f'must not be larger than max_memory_hard, which is "{hard.percent:g}%"'
        return None
    if hard and soft > hard:
        return f'must not be larger than max_memory_hard, which is "{units.format_size(hard)}"'
    return None


def _pid_file(pid_file: str | None, output: str, access: str, slow: str) -> str | None:
    return "must not be a log file as well" if pid_file in (output, access, slow) else None


def _buffer_body(buffer_body: bool, threads: int) -> str | None:
    if not buffer_body and threads < 2:
        return "needs [workers] threads of 2 or more: with one, a slow upload would hold the whole worker"
    return None


def _sendfile_paths(sendfile_paths: Mapping[str, str], sendfile_header: str) -> str | None:
    if sendfile_paths and not sendfile_header:
        return "needs sendfile_header, the header in which the application names a file"
    return None


def _sendfile_header(sendfile_header: str, sendfile_paths: Mapping[str, str]) -> str | None:
    if sendfile_header and not sendfile_paths:
        return "needs sendfile_paths, the directories whose files may be sent"
    return None


def _status_listen(listen: tuple[Listen, ...], served: tuple[Listen, ...]) -> str | None:
    return status.listened_twice(served, listen)


RULES = (
    Rule(("workers.max_memory", "workers.max_memory_hard"), _max_memory),
    Rule(("requests.buffer_body", "workers.threads"), _buffer_body),
    Rule(("server.sendfile_header", "server.sendfile_paths"), _sendfile_header),
    Rule(("server.sendfile_paths", "server.sendfile_header"), _sendfile_paths),
    Rule(("requests.body_memory", "requests.max_body"), _body_memory),
    Rule(("workers.connections", "workers.threads"), _connections),
    Rule(("server.pid_file", "log.output", "log.access", "log.slow"), _pid_file),
    Rule(("log.access", "log.config"), log.logger_needs_config),
    Rule(("status.listen", "server.listen"), _status_listen),
    Rule(("status.agent", "server.listen"), _status_listen),
    Rule(("status.agent", "status.listen"), status.agent_alone),
    Rule(("server.listen", "tls.certificate"), tls.certificate_needed),
    Rule(("server.listen", "proxy.trusted"), proxy.trusted_needed),
    Rule(("tls.certificate", "server.listen"), tls.listener_needed),
    Rule(("tls.key", "tls.certificate"), tls.default_needed),
    Rule(("tls.sni", "tls.certificate"), tls.default_needed),
    Rule(("tls.verify", "tls.client_ca"), tls.client_ca_needed),
    Rule(("tls.client_ca", "tls.verify"), tls.verify_needed),
)


def broken_rules(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, rule) for each rule that `values` break; rules over a key that is not there are left out."""
    broken: list[tuple[str, str]] = []
    for rule in RULES:
        if all(key in values for key in rule.keys):
            reason = rule.broken(*(values[key] for key in rule.keys))
            if reason is not None:
                broken.append((rule.keys[0], reason))
    return broken
