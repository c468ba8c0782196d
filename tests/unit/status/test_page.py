"""The page is one file that a browser can be strict with."""

from __future__ import annotations

import base64
import hashlib
import re

from prefork.status.page import load_page, policy_of

PAGE = load_page()
TEXT = PAGE.body.decode()


def test_it_asks_nobody_else() -> None:
    references = re.findall(r"""(?:src|href|action|url|import)\s*[=(]\s*["']?([^"')\s>]+)""", TEXT)
    assert references
    outside = [
        each for each in references if not each.startswith(("#", "data:")) and re.search(r"[:/]", each)
    ]
    assert outside == []
    assert set(re.findall(r"https?://[\w./]+", TEXT)) == {"http://www.w3.org/2000/svg"}, (
        "a name, not a request"
    )


def test_the_policy_lets_run_what_is_in_it_and_nothing_else() -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", TEXT, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in PAGE.policy
    assert "unsafe" not in PAGE.policy
    assert PAGE.policy.startswith("default-src 'none';")
    assert policy_of(TEXT.replace("use strict", "use stricter")) != PAGE.policy
    assert not re.search(r"\son\w+\s*=|javascript:|\sstyle\s*=", TEXT), "would be refused by the policy"


def test_what_the_server_says_is_never_markup() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(", TEXT)


def test_it_is_small() -> None:
    assert len(PAGE.body) < 64 << 10
