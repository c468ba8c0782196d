"""Character tables of the grammar (RFC 9110 section 5.6, RFC 3986).

Owns: which characters may stand where. Runs in: worker. Must not know what the pieces mean.
"""

from __future__ import annotations

import re

CONTROLS = bytes(byte for byte in range(32) if byte != 0x09) + b"\x7f"
"""Every control character but HTAB; CR and LF are among them.

RFC 9110 section 5.5: CR, LF and NUL in a value are dangerous and MUST be rejected or replaced; other controls MAY
be kept only where that is safe. No field we know needs one, so all are refused everywhere in a head.
"""

ALL_BYTES = bytes(range(256))
"""The table that `bytes.translate` would otherwise make in every call."""

OWS = " \t"
"""Optional white space (RFC 9110 section 5.6.3). Never `str.strip()` without this: it would also strip \\x85 and
\\xa0, which are obs-text."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

is_token = re.compile(_TOKEN).fullmatch
"""RFC 9110 section 5.6.2. Truthy for a token."""

_HOST_NAME = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_IP_LITERAL = r"\[(?:[0-9A-Fa-f:.]{1,64}|v[0-9A-Fa-f]{1,8}\.[A-Za-z0-9._~!$&'()*+,;=:-]{1,64})\]"
_PORT = r"(?::[0-9]{0,5})?"
"""RFC 3986 sets no bound on the digits; a TCP port has at most five."""

is_host = re.compile(rf"(?:[A-Za-z0-9._-]{{0,255}}|{_IP_LITERAL}|{_HOST_NAME}{{0,255}}){_PORT}").fullmatch
"""`uri-host [ ":" port ]` (RFC 9110 section 7.2, RFC 3986 section 3.2.2). The first alternative is a part of the third,
written apart because it is the common and the fast one. The empty host is in the grammar and is what a client sends
for a target without authority. 255 is the bound of names in the DNS, which RFC 3986 mentions; without one a client
could have us match a host of 32 KiB, character by character."""

is_chunk_extension = re.compile(
    rb"(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    rb"(?:[ \t]*=[ \t]*(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*'
).fullmatch
"""`chunk-ext` with the BWS a recipient must accept (RFC 9112 section 7.1.1)."""
