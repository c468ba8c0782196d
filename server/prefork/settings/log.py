"""Table `[log]`: what is written down, where, and how.

Owns: its keys. Runs in: every process (as values). Must not know: how a line is made.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.numbers import Duration
from prefork.settings.kinds.paths import LogPlace, absolute
from prefork.settings.kinds.text import OneOf, Text, checked_text
from prefork.settings.nearest import did_you_mean

ACCESS_FORMATS = ("common", "combined", "json", "dev")

ACCESS_FILTERS = ("all", "slow", "4xx", "5xx")

LOGGER = "logger"
"""`access`: to the standard library's logger "prefork.access"."""


def filter_entry(text: str) -> str:
    """One entry of `access_filter`. Raises ValueError with the rule."""
    if text not in ACCESS_FILTERS:
        words = ", ".join(f'"{word}"' for word in ACCESS_FILTERS[:-1])
        raise ValueError(f'must be {words} or "{ACCESS_FILTERS[-1]}"{did_you_mean(text, ACCESS_FILTERS)}')
    return text


CONFIG_KEYS = (
    "version",
    "formatters",
    "filters",
    "handlers",
    "loggers",
    "root",
    "incremental",
    "disable_existing_loggers",
)
"""What dictConfig knows (PEP 391)."""


def _unknown(key: str, value: object) -> Mistake:
    return Mistake(value, f"logging.config has no such key{did_you_mean(key, CONFIG_KEYS)}", f".{key}")


class LoggingConfig(Kind, frozen=True):
    """What `logging.config.dictConfig` takes: a table, or a file that holds one."""

    def convert(self, value: object, directory: str) -> dict[str, Any] | str:
        if isinstance(value, dict):
            mistakes = [_unknown(key, each) for key, each in value.items() if key not in CONFIG_KEYS]
            if mistakes:
                raise InvalidValueError(mistakes)
            return dict(value)
        text = checked_text(value)
        if text and not text.endswith((".toml", ".json")):
            raise ValueError("must be a table, or a path that ends in .toml or .json")
        return absolute(text, directory) if text else ""

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "object"}, {"type": "string", "pattern": "^$|\\.(toml|json)$"}]}

    @property
    def unit(self) -> str:
        return "a path (.toml, .json) or a table"


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[log]`."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        OneOf(("debug", "info", "warning", "error")),
        Meta(description="The least important lines that are logged."),
    ] = "info"
    output: Annotated[
        str,
        LogPlace(("stderr",)),
        Meta(description="Where the server's log goes. Files are opened anew at SIGUSR1."),
    ] = "stderr"
    format: Annotated[
        Literal["auto", "logfmt", "json"],
        OneOf(("auto", "logfmt", "json")),
        Meta(
            description='Form of those lines: "logfmt" (key=value pairs), "json" (an object a line), or "auto": the journal\'s '
            "own protocol, with a field for each value, if stderr is the journal (a systemd service), else logfmt."
        ),
    ] = "auto"
    access: Annotated[
        str,
        LogPlace(("off", "stdout", "stderr", LOGGER)),
        Meta(
            description='Where a line for each request goes. "logger": to the logger "prefork.access", see config.'
        ),
    ] = "off"
    access_format: Annotated[
        str,
        Text(
            f"must be {', '.join(ACCESS_FORMATS)} or a format with fields, "
            "such as '{addr} \"{request}\" {status}'",
            lambda text: text in ACCESS_FORMATS or ("{" in text and text.isprintable()),
            hint=lambda text: did_you_mean(text, ACCESS_FORMATS),
        ),
        Meta(
            description='Form of those lines: "common", "combined", "json", "dev" (short, for a terminal), or your own '
            "with fields such as {addr}, {request}, {status}, {duration_ms}."
        ),
    ] = "combined"
    access_filter: Annotated[
        tuple[str, ...],
        TextList(filter_entry, '["slow", "5xx"]'),
        Meta(
            description='Which requests get such a line: "all", or those that are "slow" (see slow_after), or were answered '
            'with "4xx" or "5xx"; several together in a list.'
        ),
    ] = ("all",)
    slow: Annotated[
        str,
        LogPlace(("off", "stdout", "stderr")),
        Meta(
            description="Where slow requests go, in the server's log format: the stacks of those that run for longer than "
            "requests.slow (the log then has the line alone), and a line at the end of each that took longer than slow_after."
        ),
    ] = "off"
    slow_after: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(description="Time after which a request counts as slow, for slow and access_filter."),
    ] = 1.0
    config: Annotated[
        str | dict[str, Any],
        LoggingConfig(),
        Meta(
            description="Hand the log over to Python's logging: a table for logging.config.dictConfig, or a file with one. "
            'What the server says then goes to the logger "prefork" in every process. Empty: logging is left alone.'
        ),
    ] = ""


def logger_needs_config(access: str, config: str | dict[str, Any]) -> str | None:
    """What `log.access` breaks."""
    if access == LOGGER and not config:
        return 'needs [log] config, which says what the logger "prefork.access" does with its lines'
    return None
