"""The page: one file, which loads nothing else.

Owns: reading it, and the policy by which a browser runs what is in it and nothing that was slipped in. Runs in: status process.
Must not know: what the page shows.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from prefork.status.answers import Reply


def load_page() -> Reply:
    """The page as a response."""
    text = (files("prefork.status") / "page.html").read_text("utf-8")
    return Reply(200, "text/html; charset=utf-8", text.encode(), policy=policy_of(text))


def policy_of(page: str) -> str:
    """Content-Security-Policy (level 3): the scripts and styles of `page` by their digests, requests to where it came from, and
    no way to make markup of text."""
    scripts = " ".join(_digest(each) for each in re.findall(r"<script>(.*?)</script>", page, re.DOTALL))
    styles = " ".join(_digest(each) for each in re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
