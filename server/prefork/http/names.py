"""Field names and the environ keys they become.

Owns: the table name -> key. Runs in: worker. Must not know values.

The table holds names as they come over the wire (canonical and lower-case spelling), so the common case is one
dictionary look-up without folding case. It learns a bounded number of further names; never values or lines: a table
that grows with traffic is fast only in a benchmark that repeats itself.
"""

from __future__ import annotations

from prefork.http.errors import ProtocolError, quoted
from prefork.http.limits import MAX_LEARNED_NAME, MAX_LEARNED_NAMES
from prefork.http.tokens import is_token

_WELL_KNOWN = """
Accept Accept-Charset Accept-Encoding Accept-Language Access-Control-Request-Headers Access-Control-Request-Method
Authorization Cache-Control CDN-Loop CF-Connecting-IP CF-IPCountry CF-Ray CF-Visitor Connection Content-Encoding
Content-Language Content-Length Content-MD5 Content-Type Cookie Date DNT ETag Expect Forwarded From Host If-Match
If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive Max-Forwards Origin Pragma Prefer Priority
Proxy-Authorization Proxy-Connection Purpose Range Referer Save-Data Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform
sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-GPC
Sec-Purpose SOAPAction TE Trailer Traceparent Tracestate Transfer-Encoding Upgrade Upgrade-Insecure-Requests
User-Agent Via Warning X-Amzn-Trace-Id X-Api-Key X-B3-Sampled X-B3-SpanId X-B3-TraceId X-Client-IP X-Correlation-ID
X-CSRF-Token X-CSRFToken X-Forwarded-By X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Prefix
X-Forwarded-Proto X-Forwarded-Server X-HTTP-Method-Override X-Real-IP X-Request-ID X-Request-Start X-Requested-With
X-Scheme X-XSRF-TOKEN
"""

_WITHOUT_PREFIX = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
"""CGI keeps these two apart (RFC 3875 section 4.1.18)."""


def _key_of(name: str) -> str:
    """The environ key of a valid name; "" for a field that applications must not see.

    A name with "_" would land on the key of the same name with "-" and let a client overwrite what a proxy set.
    `Proxy` would become HTTP_PROXY, which HTTP clients take for their own setting (CVE-2016-5385).
    """
    if "_" in name:
        return ""
    folded = name.lower()
    if folded == "proxy":
        return ""
    return _WITHOUT_PREFIX.get(folded) or "HTTP_" + name.upper().replace("-", "_")


KEYS: dict[str, str] = {
    spelling: _key_of(name) for name in _WELL_KNOWN.split() for spelling in (name, name.lower(), name.title())
}
"""Name as received -> environ key, or "" for a name that is dropped. For the hot path; others call `key_of`."""

_FULL = len(KEYS) + MAX_LEARNED_NAMES


def key_of(name: str) -> str:
    """The environ key of any name; "" if the field is dropped.

    Raises ProtocolError (400) for what is not a token: an empty name, a space before the colon (RFC 9112 section
    5.1, MUST), a folded line, which begins with white space (section 5.2).
    """
    key = KEYS.get(name)
    if key is None:
        if not is_token(name):
            raise ProtocolError(400, f"bad field name {quoted(name)}")
        key = _key_of(name)
        if len(name) <= MAX_LEARNED_NAME and len(KEYS) < _FULL:
            KEYS[name] = key
    return key
