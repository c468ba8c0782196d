"""`pserve` with prefork: `[server:main] use = egg:prefork#main`.

Owns: the server runner (an entry point of the group `paste.server_runner`), and loading the application of an ini file again
in the server's processes. Runs in: the process of `pserve`, which becomes the master; zygote or worker. Must not know: how
the server is started.

    [server:main]
    use = egg:prefork#main
    listen = 127.0.0.1:6543 unix:/run/shop.sock
    workers = 4
    threads = 8
    config = %(here)s/server.toml
    dev = true
    requests.timeout = 30
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prefork.contrib.launch import become, command_line, is_in_server
from prefork.errors import PreforkError

LOADER = "prefork.contrib.paste:application"
_TRUE = frozenset({"1", "true", "yes", "on"})
_OURS = frozenset({"here", "__file__"})


def server(app: object, global_conf: Mapping[str, str], **options: str) -> None:
    """Serve the application of the ini file that `global_conf` comes from. `app` has been loaded already, in this process,
    and is dropped with it. Raises `PreforkError` for options that are none."""
    if is_in_server():
        return
    become(arguments_of(global_conf, options, sys.argv[1:]))


def arguments_of(
    global_conf: Mapping[str, str], options: Mapping[str, str], argv: Sequence[str]
) -> list[str]:
    """The server's command line. `argv`: pserve's own, which alone has the name of the application."""
    file = global_conf.get("__file__")
    if not file:
        raise PreforkError(
            "prefork serves the application of an ini file, and there is none (no __file__ in the defaults)"
        )
    variables = {key: value for key, value in global_conf.items() if key not in _OURS}
    given = dict(options)
    listen = given.pop("listen", "") or given.pop("bind", "")
    host, port = given.pop("host", None), given.pop("port", None)
    if not listen and (host or port):
        listen = f"{host or '127.0.0.1'}:{port or '8000'}"
    threads = given.pop("threads", None)
    if threads is not None and not threads.isdigit():
        raise PreforkError(f"threads = {threads}: must be a whole number")
    target = f"{LOADER}({os.path.abspath(file)!r}, {app_name(argv)!r}, {variables!r})"  # noqa: PTH100
    arguments = command_line(
        target,
        bind=listen.split(),
        workers=given.pop("workers", None),
        threads=None if threads is None else int(threads),
        config=given.pop("config", None),
        dev=given.pop("dev", "").lower() in _TRUE,
    )
    for key, value in given.items():
        if "." not in key:
            raise PreforkError(
                f"{key} = {value}: there are listen, workers, threads, config, dev and any table.key"
            )
        arguments += ["--set", f"{key}={value}"]
    return arguments


def app_name(argv: Sequence[str]) -> str:
    """Which application of the file pserve was asked for (`-n NAME`, `FILE#NAME`)."""
    words = iter(argv)
    for word in words:
        if word in ("-n", "--app-name"):
            return next(words, "main")
        if word.startswith("--app-name="):
            return word.partition("=")[2]
        if not word.startswith("-") and "#" in word:
            return word.rpartition("#")[2]
    return "main"


def application(file: str, name: str = "main", variables: Mapping[str, str] | None = None) -> Any:
    """The application `name` of an ini file, with the file's logging. Raises whatever loading it does."""
    defaults = {"here": os.path.dirname(file), "__file__": file, **(variables or {})}  # noqa: PTH120
    try:
        import plaster
    except ImportError:
        from paste.deploy import loadapp

        return loadapp(f"config:{file}", name=name, global_conf=dict(variables or {}))
    loader = plaster.get_loader(file, protocols=["wsgi"])
    loader.setup_logging(defaults)
    return loader.get_wsgi_app(name, defaults)
