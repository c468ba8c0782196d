"""Manual pages as man(7) wants them.

Owns: the markup. Pure. Runs in: cli. Must not know: what the pages say.
"""

from __future__ import annotations

import re
import textwrap


class Page:
    """One page, written from its top to its end."""

    def __init__(self, name: str, section: int, date: str, source: str, volume: str) -> None:
        self._lines = [
            f'.\\" Made by `prefork manual`.\n.TH {name.upper()} {section} {date} "{source}" "{volume}"'
        ]

    def section(self, title: str) -> None:
        """A heading; capitals are the custom."""
        self._lines.append(
            f'.SH "{escaped(title).upper()}"' if " " in title else f".SH {escaped(title).upper()}"
        )

    def subsection(self, title: str) -> None:
        """A smaller one."""
        self._lines.append(f'.SS "{escaped(title)}"')

    def text(self, text: str) -> None:
        """A paragraph's worth."""
        self._lines += [_line(each) for each in textwrap.wrap(escaped(text), 78, break_on_hyphens=False)]

    def paragraph(self) -> None:
        """What follows stands apart."""
        self._lines.append(".PP")

    def item(self, label: str, text: str) -> None:
        """A label with a description. The label is markup (`bold`, `italic`)."""
        self._lines += [".TP", _line(label)]
        self.text(text)

    def line(self, markup: str) -> None:
        """A line by itself."""
        self._lines += [_line(markup), ".br"]

    def literal(self, text: str) -> None:
        """As it is, in columns."""
        self._lines += [
            ".PP",
            ".in +4n",
            ".nf",
            *(_line(escaped(each)) for each in text.splitlines()),
            ".fi",
            ".in",
        ]

    def __str__(self) -> str:
        while self._lines[-1] in (".br", ".PP"):
            self._lines.pop()
        # An empty line or a break in front of a heading is what mandoc(1) complains of.
        text = "\n".join(self._lines)
        text = re.sub(r"\n(?:\.br|\.PP)(?=\n\.S[HS] )", "", text)
        return re.sub(r"(\n\.S[HS] [^\n]*)\n\.PP", r"\1", text) + "\n"


def escaped(text: str) -> str:
    """Text that is shown as it is."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")


def bold(text: str) -> str:
    """Words to be typed."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """Words to be replaced."""
    return f"\\fI{escaped(text)}\\fR"


def _line(text: str) -> str:
    # A line that begins with one of these would be a request.
    return f"\\&{text}" if text[:1] in (".", "'") else text
