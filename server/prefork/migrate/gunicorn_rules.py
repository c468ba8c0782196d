"""Options of gunicorn that become something else than one line of the same meaning.

Owns: those rules. Pure. Runs in: cli. Must not know: how the options were written.
"""

from __future__ import annotations

from prefork.migrate import accessformat, logs
from prefork.migrate.addresses import endpoint, trust
from prefork.migrate.draft import Draft, Given
from prefork.migrate.pyvalues import Cpus
from prefork.migrate.rows import line, seconds, truth, whole, words
from prefork.settings.kinds.python import is_application_reference
from prefork.settings.units import format_duration, format_size

TIMEOUT = (
    "gunicorn kills a worker whose heartbeat stopped (a thread of gthread never stops it); prefork interrupts the one "
    "request after this time (503), and kills the worker only if that does not help (requests.kill_after)."
)
_GREEN = ("gevent", "eventlet", "tornado", "meinheld", "gthread_green")
_GREEN_THREADS = 32


def target(given: Given, draft: Draft) -> None:
    """`app.target`; a module alone means its `application`."""
    if given.value is None:
        return
    found = line(given.value)
    found = found if ":" in found else f"{found}:application"
    if not is_application_reference(found):
        raise ValueError('is not "module:name", nor a factory with literal arguments')
    draft.put("app.target", found, given)


def workers(given: Given, draft: Draft) -> None:
    """`workers.count`."""
    if isinstance(given.value, Cpus):
        draft.put("workers.count", "auto", given)
        draft.different(given, '"auto" is one worker for each CPU that the server may use (affinity, cgroup); gunicorn\'s formulas '  # noqa: E501
                        "count twice that, for workers that wait: give them threads instead")  # fmt: skip
        return
    count = whole(given.value)
    draft.put("workers.count", min(max(count, 1), 4096), given)
    if count < 1:
        draft.different(given, "a server has at least one worker")


def worker_class(given: Given, draft: Draft) -> None:
    """There is one kind of worker."""
    name = line(given.value).lower() if isinstance(given.value, str) else type(given.value).__name__
    if name in ("sync", "gthread") or name.endswith(("sync.syncworker", "gthread.threadworker")):
        if name != "sync":
            draft.note("needless", given, "workers.threads is all that decides it")
    elif any(green in name for green in _GREEN):
        if draft.value("threads") in (None, "1", 1):
            draft.put(
                "workers.threads",
                _GREEN_THREADS,
                given,
                above=f"In place of {name}'s greenlets: try what you need.",
            )
        draft.missing(given, "there are no greenlets: requests that wait hold a thread (connections that wait hold none). "
                      f"workers.threads = {_GREEN_THREADS} is a start; without monkey-patching, drivers in C are fine again")  # fmt: skip  # noqa: E501
    elif any(word in name for word in ("uvicorn", "asgi", "hypercorn", "aiohttp", "daphne")):
        draft.missing(
            given,
            "prefork runs WSGI applications only: an ASGI application (FastAPI, Starlette) stays with its server",
        )
    else:
        draft.missing(
            given, "prefork takes no worker classes; server.request_handler is the point of extension"
        )


def worker_connections(given: Given, draft: Draft) -> None:
    """`workers.connections`."""
    draft.put("workers.connections", min(max(whole(given.value), 1), 10**6), given)


def timeout(given: Given, draft: Draft) -> None:
    """`requests.timeout`."""
    draft.put("requests.timeout", format_duration(min(seconds(given.value), 86400.0)), given)
    draft.different(given, TIMEOUT)


def keepalive(given: Given, draft: Draft) -> None:
    """`requests.keepalive_timeout`."""
    draft.put("requests.keepalive_timeout", format_duration(min(seconds(given.value), 86400.0)), given)


def bind(given: Given, draft: Draft) -> None:
    """`server.listen`, all of it."""
    tls = draft.value("certfile") is not None
    mode = f"{0o777 & ~_mask(draft.value('umask')):04o}"
    proxied = _takes_proxy_protocol(draft)
    for word in words(given.value):
        address = endpoint(word, draft)
        table: dict[str, object] = {"address": address}
        if address.startswith("unix:") and not address.startswith("unix:@"):
            table["mode"] = mode
            table.update(
                {
                    key: str(draft.value(key))
                    for key in ("user", "group")
                    if draft.value(key) not in (None, "")
                }
            )
        if tls:
            table["tls"] = True
        if proxied:
            table["proxy_protocol"] = "optional"
        draft.append("server.listen", table if len(table) > 1 else address, given)


def _mask(value: object) -> int:
    if value is None:
        return 0
    return int(value, 8 if str(value).startswith("0") else 10) if isinstance(value, str) else whole(value)


def umask(given: Given, draft: Draft) -> None:
    """`server.umask`."""
    draft.put("server.umask", f"{_mask(given.value) & 0o777:04o}", given)


def request_line(given: Given, draft: Draft) -> None:
    """`requests.max_request_line`."""
    value = whole(given.value) or 1 << 20
    draft.put("requests.max_request_line", format_size(min(max(value, 256), 1 << 20)), given)


def header_bytes(given: Given, draft: Draft) -> None:
    """`requests.max_header_bytes`."""
    fields = draft.value("limit_request_fields")
    total = (whole(given.value) or 8190) * min(max(whole(fields if fields is not None else 100), 1), 32768)
    draft.put("requests.max_header_bytes", format_size(min(max(total, 256), 16 << 20)), given,
              above="All fields together; gunicorn limits each, and their number.")  # fmt: skip


def _unix(draft: Draft) -> bool:
    found = draft.last("bind")
    return found is not None and any(str(word).startswith(("unix:", "/")) for word in words(found.value))


def forwarded(given: Given, draft: Draft) -> None:
    """`proxy.trusted`. Peers on unix sockets are always believed by gunicorn."""
    trust(given.value, given, draft, local_unix=_unix(draft),
          above="Their word about the client's address is taken as well: REMOTE_ADDR is the client's.")  # fmt: skip
    draft.different(given, "these proxies are believed about the client's address too (REMOTE_ADDR), not about the scheme alone: "
                    "remove ProxyFix and the like from the application")  # fmt: skip


def _takes_proxy_protocol(draft: Draft) -> bool:
    value = draft.value("proxy_protocol")
    return value is not None and truth(value)


def proxy_protocol(given: Given, draft: Draft) -> None:
    """The other half is in `bind`."""
    if _takes_proxy_protocol(draft):
        allowed = draft.last("proxy_allow_ips") or Given(
            "proxy_allow_ips", "127.0.0.1,::1", given.written, given.place
        )
        trust(allowed.value, allowed, draft, local_unix=_unix(draft))
        draft.different(
            given,
            'only peers in [proxy] trusted may send the header; write proxy_protocol = "required" if all do',
        )


def http_protocols(given: Given, draft: Draft) -> None:
    """HTTP/1.1 is there."""
    if "h2" in words(given.value) or "h3" in words(given.value):
        draft.missing(given, "prefork speaks HTTP/1.1; HTTP/2 is for the proxy in front")


def protocol(given: Given, draft: Draft) -> None:
    """HTTP is there."""
    if line(given.value) != "http":
        draft.missing(given, "prefork speaks HTTP only: in nginx, proxy_pass in place of uwsgi_pass")


def header_map(given: Given, draft: Draft) -> None:
    """Only "drop" is there."""
    if line(given.value) != "drop":
        draft.missing(given, 'names with "_" are dropped: they would be taken for those with "-"')


def ssl_version(given: Given, draft: Draft) -> None:
    """`tls.min_version`."""
    if "3" in str(given.value).removeprefix("TLSv1_3") or "TLSv1_3" in str(given.value):
        draft.put("tls.min_version", "1.3", given)
    else:
        draft.note("needless", given, "TLS 1.2 and newer are spoken (tls.min_version)")


def certificate(given: Given, draft: Draft) -> None:
    """All of `[tls]`."""
    if given.value is None:
        return
    draft.put("tls.certificate", draft.path(line(given.value)), given)
    key, ca, ciphers = draft.last("keyfile"), draft.last("ca_certs"), draft.last("ciphers")
    if key is not None and key.value:
        draft.put("tls.key", draft.path(line(key.value)), key)
    if ciphers is not None and ciphers.value:
        draft.put("tls.ciphers", line(ciphers.value), ciphers)
    required = draft.last("cert_reqs")
    level = whole(required.value) if required is not None else 0
    if ca is None or not ca.value:
        if required is not None and level:
            draft.missing(
                required, "asks for certificates of clients, but ca_certs names nobody to verify them with"
            )
        return
    if required is None or not level:
        draft.different(
            ca, "clients were not asked for a certificate (cert_reqs), so it was for nothing: left out"
        )
        return
    draft.put("tls.client_ca", draft.path(line(ca.value)), ca)
    draft.put("tls.verify", "required" if level > 1 else "optional", required)


def python_path(given: Given, draft: Draft) -> None:
    """`app.path`."""
    for word in words(given.value) if given.value is not None else ():
        draft.append("app.path", draft.path(word), given)


def environment(given: Given, draft: Draft) -> None:
    """`app.env`. A value may have commas."""
    texts = [given.value] if isinstance(given.value, str) else given.value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise ValueError('is not a list of texts "NAME=value"')
    for each in texts:
        name, _, value = each.partition("=")
        draft.put("app.env", value, given, sub=name)


def preload(given: Given, draft: Draft) -> None:
    """`app.preload`."""
    draft.put("app.preload", "auto" if truth(given.value) else "never", given)


def sendfile(given: Given, draft: Draft) -> None:
    """It is always used."""
    if given.value is not None and not truth(given.value):
        draft.missing(
            given, "sendfile(2) is used for wsgi.file_wrapper and static files, where the socket allows it"
        )


def no_control(given: Given, draft: Draft) -> None:
    """`server.control`."""
    if truth(given.value):
        draft.put("server.control", "off", given)


def accesslog(given: Given, draft: Draft) -> None:
    """`log.access`."""
    logs.place("log.access", given, draft, "stdout")


def errorlog(given: Given, draft: Draft) -> None:
    """`log.output`."""
    logs.place("log.output", given, draft, "stderr")


def loglevel(given: Given, draft: Draft) -> None:
    """`log.level`."""
    logs.level(given, draft)


def access_log_format(given: Given, draft: Draft) -> None:
    """`log.access_format`."""
    logs.access_format(given, draft, accessformat.from_gunicorn)


def statsd_host(given: Given, draft: Draft) -> None:
    """`statsd.address`."""
    if given.value is None:
        return
    if isinstance(given.value, list) and len(given.value) != 2:
        raise ValueError('is neither "host:port" nor a pair of them')
    text = str(given.value[0]) + f":{given.value[1]}" if isinstance(given.value, list) else line(given.value)
    address = endpoint(text, draft, 8125)
    host = address.rpartition(":")[0]
    if (
        not address.startswith("unix:")
        and any(character.isalpha() for character in host)
        and host != "localhost"
    ):
        draft.missing(given, "statsd.address wants an IP address: the master waits for no name server")
        return
    draft.put("statsd.address", address.replace("localhost:", "127.0.0.1:"), given)
    draft.different(given, "the metrics have other names: docs/logging.md")


def statsd_tags(given: Given, draft: Draft) -> None:
    """`statsd.tags`."""
    for word in words(given.value):
        name, _, value = word.partition(":")
        draft.put("statsd.tags", value, given, sub=name)


def finish(draft: Draft) -> None:
    """What gunicorn does without being told, and what wants several options."""
    changed = draft.last("chdir")
    directory = Given("chdir", draft.world.directory, "runs in the directory it is started in", default=True)
    draft.put("app.chdir", draft.path("."), changed or directory)
    unlimited = Given("", 0, "no limit", default=True)
    draft.put("requests.max_body", 0, unlimited)
