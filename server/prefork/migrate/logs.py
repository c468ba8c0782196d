"""What becomes of logs, whichever server wrote them.

Owns: places and formats as lines of `[log]`. Pure. Runs in: cli. Must not know: names of options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prefork.migrate.draft import Draft, Given
from prefork.migrate.rows import line

LEVELS: Mapping[str, str] = {
    **{name: name for name in ("debug", "info", "warning", "error")},
    **dict.fromkeys(("critical", "crit", "alert", "emerg", "fatal"), "error"),
    **dict.fromkeys(("warn",), "warning"),
    **dict.fromkeys(("notice",), "info"),
    **{f"trace{number}": "debug" for number in range(1, 9)},
}


def level(given: Given, draft: Draft) -> None:
    """`log.level`. Raises ValueError."""
    name = line(given.value).lower()
    if name not in LEVELS:
        raise ValueError("is no level of a log that is known here")
    draft.put("log.level", LEVELS[name], given)


def place(key: str, given: Given, draft: Draft, dash: str) -> None:
    """`log.output` or `log.access`; "-" is `dash`."""
    text = "" if given.value is None else line(given.value)
    if text in (
        "-",
        "/dev/stdout",
        "/dev/stderr",
        "/dev/fd/1",
        "/dev/fd/2",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
    ):
        stream = dash if text == "-" else ("stdout" if text.endswith(("stdout", "1")) else "stderr")
        # The log itself has one stream; nobody sends the other to another place by accident.
        draft.put(key, "stderr" if key == "log.output" else stream, given)
    elif text == "/dev/null":
        if key == "log.access":
            draft.put(key, "off", given)
        else:
            draft.missing(given, "the server's log cannot be thrown away; it goes to standard error")
    elif text:
        found = draft.path(text)
        draft.put(key, found if "/" in found or "." in found else f"./{found}", given)


def access_format(given: Given, draft: Draft, translate: Callable[[str], tuple[str, list[str]]]) -> None:
    """`log.access_format`."""
    text, unknown = translate(line(given.value))
    if "{" not in text or text.count("{") == text.count("{{") * 2:
        draft.missing(given, 'no field of this format is known here; the format is left at "combined"')
        return
    draft.put("log.access_format", text, given)
    if unknown:
        draft.different(given, f'there is no {", ".join(dict.fromkeys(unknown))}: "-" stands there')
