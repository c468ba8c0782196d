"""`manage.py prefork`.

Owns: the command's arguments and what they mean. Runs in: the process of manage.py, which becomes the master. Must not know:
how the server is started.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from prefork.contrib.launch import become, command_line
from prefork.errors import PreforkError

DEFAULT_PORT = 8000
_ADDRESS = re.compile(r"(?:(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>\d{1,5})")
_STATIC = "prefork.contrib.django.static:application"


class Command(BaseCommand):
    """Serve the project with prefork."""

    help = (
        "Serve the project with prefork: processes, threads, graceful reload. With --dev as runserver does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Those of runserver, and those of prefork that matter here."""
        parser.add_argument(
            "addrport", nargs="?", help="port, or host:port, or unix:path (default: 127.0.0.1:8000)"
        )
        parser.add_argument("--workers", metavar="N", help='worker processes, or "auto"')
        parser.add_argument("--threads", metavar="N", type=int, help="threads of each worker")
        parser.add_argument("-c", "--config", metavar="FILE", help="settings file of prefork (TOML)")
        parser.add_argument(
            "--dev", action="store_true", help="reload on change, errors on the page, access log"
        )
        parser.add_argument("--nostatic", action="store_true", help="no static files, although DEBUG is on")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="TABLE.KEY=VALUE",
            help="any other setting; may be given several times",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Become the server."""
        if options["dev"]:
            self.check_migrations()
        try:
            arguments = command_line(
                target(with_static=not options["nostatic"]),
                bind=[address(options["addrport"])] if options["addrport"] else [],
                workers=options["workers"],
                threads=options["threads"],
                config=options["config"],
                dev=options["dev"],
            )
            # Django shows its own page for errors; with the debugger around it nobody would see that one.
            if options["dev"]:
                arguments.append("--no-debugger")
            for each in options["set"]:
                arguments += ["--set", each]
            become(arguments)
        except PreforkError as error:
            raise CommandError(str(error)) from error


def target(*, with_static: bool) -> str:
    """The project's WSGI application, behind its static files where runserver would serve them. Raises CommandError."""
    named = getattr(settings, "WSGI_APPLICATION", None)
    if not named or "." not in named:
        raise CommandError(
            'WSGI_APPLICATION is not set: name the application, such as "mysite.wsgi.application"'
        )
    module, _, name = named.rpartition(".")
    found = f"{module}:{name}"
    serves_files = settings.DEBUG and "django.contrib.staticfiles" in settings.INSTALLED_APPS
    return f"{_STATIC}({found!r})" if with_static and serves_files else found


def address(text: str) -> str:
    """As runserver reads it: "8001", "0:8001" (every interface), "[::1]:8001"; and "unix:path". Raises CommandError."""
    if text.startswith("unix:"):
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise CommandError(f'"{text}" is not a valid port number or address:port pair')
    host = found["host"] or "127.0.0.1"
    return f"{'0.0.0.0' if host == '0' else host}:{found['port']}"
