"""Accept-Encoding: in which coding a client wants content that is there in several.

Owns: RFC 9110 sections 12.4.2 and 12.5.3. Pure. Runs in: worker. Must not know which codings there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefork.http.tokens import OWS

_member = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[Qq]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
).fullmatch

_ALIASES = {"x-gzip": "gzip"}
"""RFC 9110 section 8.4.1.3."""


def preferred_codings(accept: str | None, available: Sequence[str]) -> list[str]:
    """Those of `available` that the client likes at least as much as plain content, the best first; among equals the
    order of `available` decides. `available` does not hold "identity". Malformed members are passed over.
    """
    if not accept:
        return []
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        match = _member(part.strip(OWS))
        if match is not None:
            weights[_ALIASES.get(match[1], match[1])] = float(match[2] or 1)
    others = weights.get("*", 0.0)
    # Plain content that is not mentioned is acceptable, but nothing anybody asked for.
    plain = weights.get("identity", 0.0)
    liked = [(weights.get(coding, others), coding) for coding in available]
    liked.sort(key=lambda pair: -pair[0])
    return [coding for weight, coding in liked if weight > 0 and weight >= plain]
