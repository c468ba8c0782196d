"""A Django project's application with its static files, as `runserver` serves them while DEBUG is on.

Owns: putting the files in front. Runs in: zygote or worker, as part of the application. Must not know: the server.
"""

from __future__ import annotations

from typing import Any

from prefork.wsgi.loader import load_application


def application(target: str) -> Any:
    """The application `target` behind django.contrib.staticfiles. Raises BootError as any target does."""
    app = load_application(target)
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    return StaticFilesHandler(app)
