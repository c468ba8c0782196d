"""The master: binds, starts, supervises, reloads. One thread; never imports the application, never parses a request."""

from __future__ import annotations

from prefork.master.startup import serve

__all__ = ["serve"]
