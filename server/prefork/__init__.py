"""prefork: a pre-fork multi-process WSGI server daemon for Linux."""

from __future__ import annotations

from prefork import deadline
from prefork.errors import RequestTimeout
from prefork.version import __version__
from prefork.wsgi.after import after_response
from prefork.wsgi.handler import WSGIRequestHandler

__all__ = ["RequestTimeout", "WSGIRequestHandler", "__version__", "after_response", "deadline"]
