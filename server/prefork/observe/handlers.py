"""The log handed over to the standard library's `logging` (`[log] config`).

Owns: reading and applying the configuration, the loggers "prefork" and "prefork.access", and what of it the master may run. Runs
in: zygote, worker; `for_master` in the master. Must not know: what the handlers do.

The master neither imports code of others nor waits for anybody. Of the handlers it runs those of the standard library that write
to a file, a stream or a local syslog, with the standard library's formatters and filters; the rest is left out there.
"""

from __future__ import annotations

import importlib
import json
import logging
import logging.config
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from prefork.errors import ConfigError
from prefork.observe.logfmt import format_pairs
from prefork.observe.record import TRACEBACK, Record, text_of
from prefork.observe.sinks import Sink

# tomli is tomllib as it was before PEP 680. By name, because a type checker knows only one of the two.
_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

NAME, ACCESS_NAME = "prefork", "prefork.access"

Config = str | dict[str, Any]
"""The path of a file, or the table itself."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_QUICK_HANDLERS = frozenset(
    {
        "logging.StreamHandler",
        "logging.FileHandler",
        "logging.NullHandler",
        "logging.handlers.WatchedFileHandler",
        "logging.handlers.RotatingFileHandler",
        "logging.handlers.TimedRotatingFileHandler",
        "logging.handlers.SysLogHandler",
    }
)


def read_config(config: Config) -> dict[str, Any]:
    """The table for dictConfig. Raises ConfigError with one line."""
    if not isinstance(config, str):
        return {"version": 1, "disable_existing_loggers": False, **config}
    try:
        with open(config, "rb") as file:
            table = json.load(file) if config.endswith(".json") else _toml.load(file)
    except OSError as error:
        raise ConfigError(f"log.config: {config}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise ConfigError(f"log.config: {config}: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"log.config: {config}: must hold a table")
    return read_config(table)


def apply_config(config: Config) -> None:
    """Configure `logging` in this process, for its children too. Raises ConfigError with one line."""
    _apply(read_config(config))


def apply_for_master(config: Config) -> list[str]:
    """What of it the master runs; returns the names of the handlers that are left out. Raises ConfigError."""
    table, left_out = for_master(config)
    _state.is_applied = False
    if table is not None:
        _apply(table)
    return left_out


class _State:
    """Whether this process has been configured: until then the log goes where it goes without a configuration."""

    is_applied = False


_state = _State()


def _apply(table: dict[str, Any]) -> None:
    try:
        logging.config.dictConfig(table)
        _state.is_applied = True
    except Exception as error:
        raise ConfigError(f"log.config: {_in_words(error)}") from error


def _in_words(error: BaseException) -> str:
    """dictConfig says "Unable to configure handler 'x'", and why in the cause."""
    words = [f"{error}"]
    while (cause := error.__cause__) is not None:
        words.append(f"{type(cause).__name__}: {cause}")
        error = cause
    return ": ".join(words).replace("\n", " ")


def for_master(config: Config) -> tuple[dict[str, Any] | None, list[str]]:
    """What of the table the master runs, and the names of the handlers it leaves out. None: no handler is left for the logger
    "prefork". Raises ConfigError."""
    table = read_config(config)
    handlers = {name: each for name, each in _tables(table, "handlers").items() if _is_quick(each)}
    left_out = sorted(_tables(table, "handlers").keys() - handlers.keys())
    kept = {
        **table,
        "formatters": {
            name: _plain(each, "logging.Formatter") for name, each in _tables(table, "formatters").items()
        },
        "filters": {name: each for name, each in _tables(table, "filters").items() if "()" not in each},
        "loggers": {
            name: _with_handlers(each, handlers)
            for name, each in _tables(table, "loggers").items()
            if name == NAME
        },
    }
    for each in (*handlers.values(), *kept["loggers"].values()):
        if "filters" in each:
            each["filters"] = [name for name in each["filters"] if name in kept["filters"]]
    kept["handlers"] = handlers
    if isinstance(table.get("root"), dict):
        kept["root"] = _with_handlers(table["root"], handlers)
    ours = kept["loggers"].get(NAME, {})
    effective = [
        *ours.get("handlers", ()),
        *(kept.get("root", {}).get("handlers", ()) if ours.get("propagate", True) else ()),
    ]
    return (kept if effective else None), left_out


def _tables(table: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    found = table.get(key) or {}
    return (
        {name: dict(each) for name, each in found.items() if isinstance(each, dict)}
        if isinstance(found, dict)
        else {}
    )


def _is_quick(handler: Mapping[str, Any]) -> bool:
    if handler.get("class") not in _QUICK_HANDLERS or "()" in handler:
        return False
    # SysLogHandler with TCP, or to a name that has to be resolved, waits.
    address = handler.get("address")
    return handler["class"] != "logging.handlers.SysLogHandler" or isinstance(address, str)


def _plain(formatter: Mapping[str, Any], class_name: str) -> dict[str, Any]:
    """The formatter with the standard library's class."""
    plain = {
        key: value for key, value in formatter.items() if key in ("format", "datefmt", "style", "validate")
    }
    return {**plain, "class": class_name}


def _with_handlers(logger: Mapping[str, Any], handlers: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in logger.get("handlers", ()) if name in handlers]
    return {**logger, "handlers": names}


class LoggerSink:
    """The logger "prefork", from the moment that logging is configured.

    A handler that fails is its own affair (`logging.raiseExceptions`), and never the caller's.
    """

    __slots__ = ("_logger", "_plain")

    def __init__(self, plain: Sink) -> None:
        """`plain` is for what comes before that."""
        self._logger = logging.getLogger(NAME)
        self._plain = plain

    @property
    def fd(self) -> int:
        """Where plain lines go."""
        return self._plain.fd

    @property
    def lost(self) -> int:
        """Lines lost before that."""
        return self._plain.lost

    def tell(self, record: Record) -> None:
        """The message is the event with its values; `event` and `fields` are attributes of the LogRecord."""
        if not _state.is_applied:
            self._plain.tell(record)
            return
        level = _LEVELS[record.level]
        fields = record.everything
        trace = record.traceback.rstrip("\n")
        if not record.event and not trace:
            return
        event = record.event or "wsgi_errors"
        error = record.exception
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | None = None
        if error is not None:
            exc_info = (type(error), error, error.__traceback__)
        elif trace and record.event not in ("", TRACEBACK):
            trace = f"\n{trace}"
        if not record.event or record.event == TRACEBACK:
            message = trace
        else:
            shown = format_pairs({key: text_of(value) for key, value in fields.items() if key != "role"})
            message = f"{event} {shown}{'' if exc_info else trace}"
        try:
            self._logger.log(
                level, "%s", message, exc_info=exc_info, extra={"event": event, "fields": fields}
            )
        except Exception:  # noqa: BLE001 - a handler of the application's
            self._plain.tell(record)


class LoggerWriter:
    """Access lines for the logger "prefork.access"."""

    def __init__(self) -> None:
        self.lost = 0
        self._log: Callable[..., None] = logging.getLogger(ACCESS_NAME).info

    def write_all(self, lines: list[bytes]) -> bool:
        """One message a line."""
        for line in lines:
            try:
                self._log("%s", line.decode("utf-8", "backslashreplace").rstrip("\n"))
            except Exception:  # noqa: BLE001 - a handler of the application's
                self.lost += 1
                return False
        self.lost = 0
        return True
