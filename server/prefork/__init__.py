"""prefork: a pre-fork multi-process WSGI server daemon for Linux."""

from __future__ import annotations

from prefork.version import __version__

__all__ = ["__version__"]
