"""prefork: a pre-fork multi-process WSGI server daemon for Linux."""

from __future__ import annotations

from prefork.version import __version__
from prefork.wsgi.handler import WSGIRequestHandler

__all__ = ["WSGIRequestHandler", "__version__"]
