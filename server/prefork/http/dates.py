"""HTTP dates, as clients send them and as servers do.

Owns: the three forms of RFC 9110 section 5.6.7. Runs in: worker. Must not know what time it is, but for the century of a
two-digit year, which the caller brings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache

_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_EPOCH = date(1970, 1, 1).toordinal()
_SHORT_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

_FORMS = (
    rf"{_SHORT_DAY}, (?P<day>[0-9]{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
    rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
    rf"{_SHORT_DAY} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
)
"""IMF-fixdate, and the obsolete forms of RFC 850 and asctime() that a recipient MUST accept as well."""


@cache
def _forms() -> tuple[Callable[[str], re.Match[str] | None], ...]:
    # Not at import: half a millisecond, and who sends no files reads no dates.
    return tuple(re.compile(form).fullmatch for form in _FORMS)


def parse_date(text: str, now_year: int = 2000) -> int | None:
    """Seconds since the epoch, or None for what is no HTTP date (RFC 9110: then the field is ignored).

    A two-digit year more than 50 years after `now_year` is of the century before (MUST).
    """
    match = next((found for form in _forms() if (found := form(text))), None)
    if match is None or match["month"] not in _MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += now_year // 100 * 100
        if year > now_year + 50:
            year -= 100
    try:
        days = date(year, _MONTHS[match["month"]], int(match["day"])).toordinal() - _EPOCH
    except ValueError:  # no such day
        return None
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        return None
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def format_date(moment: Sequence[int]) -> str:
    """An IMF-fixdate: `moment` is what `time.gmtime` gives."""
    year, month, day, hour, minute, second, weekday = moment[:7]
    name = _MONTH_NAMES[month - 1]
    return f"{_DAY_NAMES[weekday]}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
