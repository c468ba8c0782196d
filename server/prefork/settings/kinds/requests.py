"""Texts that stand for requests.

Owns: what a request to the application may look like in the settings. Runs in: cli, master. Must not know: HTTP beyond
that.
"""

from __future__ import annotations


def warmup_target(text: str) -> str:
    """Path and query of a GET request, as it goes out. Raises ValueError with the rule."""
    if not text.startswith("/"):
        raise ValueError('must begin with "/"')
    if not (text.isascii() and text.isprintable()) or " " in text or "#" in text:
        raise ValueError("must be written as in a request: ASCII, without spaces, other characters as %XX")
    return text
