"""waitress-serve's arguments (3.0), and what becomes of each.

Owns: that table. Pure. Runs in: cli. Must not know: how command lines are taken apart.
"""

from __future__ import annotations

from prefork.migrate.addresses import endpoint, trust
from prefork.migrate.draft import Draft, Given
from prefork.migrate.rows import (
    Row,
    Source,
    duration,
    elsewhere,
    line,
    made,
    missing,
    needless,
    number,
    size,
    table_of,
    text,
    truth,
    whole,
)
from prefork.settings.kinds.python import is_application_reference


def _flag(name: str) -> tuple[str, ...]:
    return (f"--{name}", f"--no-{name}")


def _listen(given: Given, draft: Draft) -> None:
    for word in line(given.value).split():
        host = word.rpartition(":")[0] if ":" in word and not word.endswith("]") else word
        port = whole(draft.value("port") or 8080)
        if host in ("*", ""):
            number = word.rpartition(":")[2] if ":" in word else str(port)
            for each, option in (("0.0.0.0", "ipv4"), ("[::]", "ipv6")):
                if truth(True if draft.value(option) is None else draft.value(option)):
                    draft.append("server.listen", f"{each}:{number}", given)
        else:
            draft.append("server.listen", endpoint(word, draft, port), given)


def _unix(given: Given, draft: Draft) -> None:
    address = endpoint(f"unix:{line(given.value)}", draft)
    mode = int(line(draft.value("unix-socket-perms") or "600"), 8)
    has_file = not address.startswith("unix:@")
    draft.append("server.listen", {"address": address, "mode": f"{mode:04o}"} if has_file else address, given)


def _trusted(given: Given, draft: Draft) -> None:
    trust(given.value, given, draft)
    headers = draft.last("trusted-proxy-headers")
    if headers is not None and "forwarded" in line(headers.value).lower().replace(",", " ").split():
        draft.put("proxy.headers", "forwarded", headers)
    count = draft.last("trusted-proxy-count")
    if count is not None and whole(count.value) > 1:
        draft.missing(
            count,
            "addresses are looked at from the right until one is not in proxy.trusted: name all of your proxies there",
        )


def _application(given: Given, draft: Draft) -> None:
    found = line(given.value)
    if ":" not in found:
        module, _, name = found.rpartition(".")
        found = f"{module}:{name}"
    if draft.value("call") is not None:
        found = f"{found}()"
    if not is_application_reference(found):
        raise ValueError('is not "module:name"')
    draft.put("app.target", found, given)


def _finish(draft: Draft) -> None:
    here = Given("", "", "runs in the directory it is started in", default=True)
    draft.put("app.chdir", draft.path("."), here)
    draft.put("workers.count", 1, Given("", 1, "one process", default=True))
    if not draft.has("server.listen"):
        host = draft.last("host") or Given("", "0.0.0.0", "host = 0.0.0.0", default=True)
        port = draft.last("port") or Given("", "8080", "port = 8080", default=True)
        both = Given("", "", f"{host.written}, {port.written}", default=host.default and port.default)
        address = line(host.value)
        address = f"[{address}]" if ":" in address and not address.startswith("[") else address
        draft.attempt(
            both,
            lambda: draft.append("server.listen", endpoint(f"{address}:{line(port.value)}", draft), both),
        )


_BUFFERS = "output is bounded by itself: what the client has not taken yet waits in the application's iterable, or in a file"
_LOOP = "the event loop is epoll(7)"

_ROWS: tuple[Row, ...] = table_of(
    made("application", "app.target", "MODULE:OBJECT", _application, flags=()),
    elsewhere("call", "app.target", "A factory is called: \"module:factory()\".", arity=0),
    made("listen", "server.listen", "\"*\" is every IPv4 and every IPv6 address.", _listen),
    elsewhere("host", "server.listen"),
    elsewhere("port", "server.listen"),
    elsewhere("ipv4", "server.listen", flags=_flag("ipv4"), arity=0),
    elsewhere("ipv6", "server.listen", flags=_flag("ipv6"), arity=0),
    made("unix-socket", "server.listen", "", _unix),
    elsewhere("unix-socket-perms", "server.listen, mode"),
    number("threads", "workers.threads", least=1, most=4096),
    number("backlog", "server.backlog", least=1, most=65535),
    number("connection-limit", "workers.connections", least=1, most=10**6),
    duration("channel-timeout", "requests.keepalive_timeout"),
    size("max-request-header-size", "requests.max_header_bytes", least=256, most=16 << 20),
    size("max-request-body-size", "requests.max_body"),
    size("inbuf-overflow", "requests.body_memory", most=1 << 30),
    made("trusted-proxy", "proxy.trusted", "\"*\" is everybody.", _trusted),
    elsewhere("trusted-proxy-headers", "proxy.headers"),
    elsewhere("trusted-proxy-count", ""),
    needless("clear-untrusted-proxy-headers", "what anybody else says about the client changes nothing in environ but HTTP_...",
             flags=_flag("clear-untrusted-proxy-headers"), arity=0),
    missing("log-untrusted-proxy-headers", "such headers are not told of", flags=_flag("log-untrusted-proxy-headers"), arity=0),
    missing("url-scheme", "the scheme is that of the listener, or what trusted proxies say (X-Forwarded-Proto)"),
    missing("url-prefix", "trusted proxies say it: X-Forwarded-Prefix"),
    text("ident", "server.server_header"),
    needless("recv-bytes", "reads are as long as they have to be"),
    needless("send-bytes", _BUFFERS),
    needless("outbuf-overflow", _BUFFERS),
    needless("outbuf-high-watermark", _BUFFERS),
    needless("cleanup-interval", "time limits are kept to the moment, without intervals"),
    needless("log-socket-errors", "clients that leave are no error", flags=_flag("log-socket-errors"), arity=0),
    missing("expose-tracebacks", "tracebacks are in the log; for development: `prefork --dev`", flags=_flag("expose-tracebacks"),
            arity=0),
    needless("asyncore-loop-timeout", _LOOP),
    needless("asyncore-use-poll", _LOOP, flags=_flag("asyncore-use-poll"), arity=0),
    needless("channel-request-lookahead", "a client that leaves is noticed while its request runs (prefork.connection_dropped)"),
    missing("server-name", "requests of HTTP/1.1 without Host are refused"),
    needless("sockets", "sockets of systemd are listen = \"systemd\"", flags=()),
)  # fmt: skip

WAITRESS = Source(
    "waitress",
    _ROWS,
    {
        "threads": 4,
        "backlog": 1024,
        "connection-limit": 100,
        "channel-timeout": 120,
        "max-request-header-size": 262144,
        "max-request-body-size": 1073741824,
    },
    _finish,
    lambda name: name.replace("_", "-"),
)
