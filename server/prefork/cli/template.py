"""The settings file that `prefork init` writes.

Owns: which keys a first file has, and what it says about them. Pure. Runs in: cli. Must not know: where the values come from.
"""

from __future__ import annotations

import msgspec

from prefork.settings import tomltext
from prefork.settings.units import format_duration


class Choices(msgspec.Struct, frozen=True):
    """What a file is made for."""

    target: str
    listen: str
    directory: str = "."
    """Of the application, as seen from the file."""
    workers: int | str = "auto"
    threads: int = 4
    python: str | None = None
    proxied: bool = False
    status: str | None = None


def settings_text(choices: Choices) -> str:
    """TOML with a comment at each key; what is left at its default is there as a comment."""
    value = tomltext.value
    python = f"python = {value(choices.python)}" if choices.python else '#python = ".venv/bin/python"'
    trusted = _trusted(choices)
    status = f"listen = [{value(choices.status)}]" if choices.status else '#listen = ["127.0.0.1:9180"]'
    return f"""\
# Settings of prefork. Start:  prefork -c THIS_FILE      Check:  prefork check -c THIS_FILE
#
# A reload (SIGHUP, `prefork reload --wait -c THIS_FILE`) takes on code and settings, or changes nothing if they do not work.
# Every key there is: `prefork config --reference`, prefork.toml(5). Relative paths start in the directory of this file.

[app]
# Module, colon, name; a factory is called: "shop:create_app()".
target = {value(choices.target)}
# The directory that the application runs in, and is imported from.
chdir = {value(choices.directory)}
# The Python of the application's virtual environment, if it is another than prefork's (prefork must be in it too).
{python}
# Paths that must answer before a release is taken, and that warm it up.
#warmup = ["/"]

[server]
# "host:port", "[IPv6 address]:port" or "unix:path"; several in a list.
listen = [{value(choices.listen)}]
# How long to serve on, not ready any more, before a stop: for balancers that have to notice.
#drain_delay = "0s"

[workers]
# Processes: "auto" is one for each CPU, {{min = 1, max = 8}} follows the load.
count = {value(choices.workers)}
# Requests that each runs at the same time; 1 is the quickest if they never wait for anything.
threads = {choices.threads}
# Time to finish what runs, when a worker is replaced or the server stops.
drain_timeout = "30s"
# Replace a worker that grows beyond its share of so much of the memory there is.
#max_memory = "80%"

[requests]
# Log a request and its stack when it has run for so long; it goes on.
slow = {value(format_duration(10.0))}
# Interrupt one that has run for so long (503); 0 lets it run.
timeout = {value(format_duration(60.0))}

[proxy]
# Proxies whose X-Forwarded-For and the like are believed ("unix" is whoever comes over a unix socket).
{trusted}

[log]
# A line for each request: "stdout", "stderr", a file, or "off".
access = "stdout"
#access_format = "json"

[status]
# Where /healthz, /readyz, /metrics and the status page are.
{status}
"""


def _trusted(choices: Choices) -> str:
    if not choices.proxied:
        return '#trusted = ["127.0.0.1", "::1", "unix"]'
    return f"trusted = {tomltext.value(['unix'] if choices.listen.startswith('unix:') else ['127.0.0.1', '::1'])}"
