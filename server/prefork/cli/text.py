"""Numbers and foreign words as people read them.

Owns: their form, the same in every command. Pure. Runs in: cli. Must not know: what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence


def one_line(text: str) -> str:
    """Control characters of an application's text, or of a client's, steer no terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def age(seconds: float) -> str:
    """How long something has been there: "0.4s", "12s", "5m", "3h", "2d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds >= 9.95 else f"{seconds:.1f}s"


def latency(seconds: float) -> str:
    """How long something took, with two digits that count at least: "0.05ms", "1.2ms", "340ms", "2.5s"."""
    if seconds >= 0.9995:
        return age(seconds)
    milliseconds = seconds * 1000
    if milliseconds >= 9.95:
        return f"{milliseconds:.0f}ms"
    return f"{milliseconds:.1f}ms" if milliseconds >= 0.0995 else f"{milliseconds:.2f}ms"


def size(count: float | None) -> str:
    """Bytes: "512B", "20.4M", "1.5G"; "-" if nobody knows."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "K"):
        if value < 999.5:
            return f"{value:.0f}{unit}"
        value /= 1024
    for unit in ("M", "G"):
        if value < 999.95:
            return f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


def rate(per_second: float) -> str:
    """How often: "0", "0.4", "85", "12345"."""
    if per_second == 0 or per_second >= 9.95:
        return f"{per_second:.0f}"
    return f"{per_second:.1f}"


def percent(share: float) -> str:
    """A share of 0 to 1, such that little is not shown as nothing."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share * 100:.1f}%"


def aligned(rows: Sequence[Sequence[str]], left: frozenset[int] = frozenset()) -> list[str]:
    """Columns under each other: those in `left` begin together, all others (numbers) end together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
