"""From a changed file to the resources of a candidate.

Owns: the order of a reload before the first process is started, and what refuses it. Runs in: master. Must not know:
processes, the pool.
"""

from __future__ import annotations

from prefork.errors import ConfigError
from prefork.master.journal import Journal
from prefork.master.logfiles import LogFiles
from prefork.master.resources import LoadSettings, Resources, prepare
from prefork.settings.diff import changes


def candidate(load_settings: LoadSettings, current: Resources, files: LogFiles, log: Journal) -> Resources:
    """What a new generation needs, opened; nothing of `current` is touched.

    Raises ConfigError (every problem has been logged on a line of its own) or ListenError.
    """
    try:
        settings = load_settings()
    except ConfigError as error:
        for problem in error.problems:
            log.error("settings_invalid", problem=problem)
        raise
    found = changes(current.settings, settings)
    refusals = [str(change) for change in found if change.refusal]
    for refusal in refusals:
        log.error("settings_refused", problem=refusal)
    if refusals:
        raise ConfigError(refusals)
    for change in found:
        log.info("setting_changed", key=change.key, old=change.old, new=change.new)
    resources = prepare(settings, files, current.all_listeners)
    for warning in resources.warnings:
        log.warning("certificate_warning", problem=warning)
    for listener in resources.listeners:
        if listener not in current.listeners:
            log.info("listening", address=listener.address)
    for listener in resources.status_listeners:
        if listener not in current.status_listeners:
            log.info("status_listening", address=listener.address)
    return resources
