"""`[log] config` in the processes that run the application.

Owns: applying it, before the application is imported, wherever that is: what the application says about `logging` comes later and
wins. Runs in: zygote (if it imports the application), else worker. Must not know: what is in it.
"""

from __future__ import annotations

from prefork.errors import BootError, ConfigError
from prefork.settings.model import Settings


def configure_logging(settings: Settings) -> None:
    """Hand `logging` its configuration, if there is one. Raises BootError (stage "log.config")."""
    if not settings.log.config:
        return
    from prefork.observe.handlers import apply_config

    try:
        apply_config(settings.log.config)
    except ConfigError as error:
        raise BootError("log.config", str(error)) from error
