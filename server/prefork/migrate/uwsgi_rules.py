"""Options of uWSGI that become something else than one line of the same meaning.

Owns: those rules. Pure. Runs in: cli. Must not know: how the options were written.
"""

from __future__ import annotations

import os
import re

from prefork.migrate import accessformat, logs, modules
from prefork.migrate.addresses import endpoint
from prefork.migrate.draft import LOCAL, Draft, Given
from prefork.migrate.rows import line, seconds, truth, whole
from prefork.settings.units import format_duration

UWSGI_PROTOCOL = (
    "prefork speaks HTTP there, not the uwsgi protocol: in nginx, proxy_pass http://unix:/path: (or http://host:port) in place of "  # noqa: E501
    "uwsgi_pass, with proxy_set_header Host and X-Forwarded-For, -Proto (docs/proxies.md)"
)
_GREEN_THREADS = 32


def _on(draft: Draft, option: str) -> bool:
    value = draft.value(option)
    return value is not None and truth(value)


def _listener(address: str, draft: Draft, *, tls: bool = False) -> object:
    table: dict[str, object] = {"address": address}
    if address.startswith("unix:") and not address.startswith("unix:@"):
        mode = draft.value("chmod-socket")
        if mode is not None:
            table["mode"] = f"{int(line(mode), 8):04o}" if line(mode).isdigit() else "0666"
        user, _, group = line(draft.value("chown-socket") or "").replace(" ", ":").partition(":")
        table.update({key: name for key, name in (("user", user), ("group", group)) if name})
    if tls:
        table["tls"] = True
    if _on(draft, "enable-proxy-protocol"):
        table["proxy_protocol"] = "optional"
    return table if len(table) > 1 else address


def listen(given: Given, draft: Draft) -> None:
    """HTTP on an address."""
    text = line(given.value).partition(",")[0]
    if text.startswith("="):
        draft.missing(given, "systemd's socket units share sockets (docs/systemd.md)")
        return
    address = endpoint(text, draft)
    draft.append("server.listen", _listener(address, draft), given)
    if _on(draft, "enable-proxy-protocol") and not draft.items("proxy.trusted"):
        for network in LOCAL:
            draft.append("proxy.trusted", network, given, above="Who may send a PROXY header.")


def socket(given: Given, draft: Draft) -> None:
    """HTTP in place of the uwsgi protocol."""
    protocol = line(draft.value("protocol") or "uwsgi")
    if protocol not in ("uwsgi", "http"):
        draft.missing(given, f"prefork does not speak {protocol}")
        return
    listen(given, draft)
    if protocol == "uwsgi":
        draft.different(given, UWSGI_PROTOCOL)


def https(given: Given, draft: Draft) -> None:
    """TLS on an address: "address,certificate,key[,ciphers[,client CA]]"."""
    parts = [*(part.strip() for part in line(given.value).split(",")), "", "", "", ""]
    address, certificate, key, ciphers, authority = parts[:5]
    if not certificate:
        raise ValueError('is not "address,certificate,key"')
    draft.append("server.listen", _listener(endpoint(address, draft), draft, tls=True), given)
    draft.put("tls.certificate", draft.path(certificate), given)
    if key:
        draft.put("tls.key", draft.path(key), given)
    if ciphers and ciphers != "HIGH":
        draft.put("tls.ciphers", ciphers, given)
    if authority:
        draft.put("tls.client_ca", draft.path(authority.removeprefix("!")), given)
        draft.put("tls.verify", "required" if authority.startswith("!") else "optional", given)


def abstract(given: Given, draft: Draft) -> None:
    """Abstract sockets have names with "@"."""
    if truth(given.value):
        draft.missing(given, 'write abstract sockets as "unix:@name" in server.listen')


def delta(given: Given, draft: Draft) -> None:
    """`workers.max_requests_jitter`."""
    count = whole(draft.value("workers") or 1)
    draft.put("workers.max_requests_jitter", whole(given.value) * max(count, 1), given)
    draft.different(
        given, "uWSGI adds it once for each worker before it; prefork a random number up to all of that"
    )


def lazy(given: Given, draft: Draft) -> None:
    """`app.preload`."""
    draft.put("app.preload", "never" if truth(given.value) else "auto", given)


def gevent(given: Given, draft: Draft) -> None:
    """Threads in place of greenlets."""
    if draft.value("threads") is None:
        draft.put(
            "workers.threads",
            min(max(whole(given.value), 1), _GREEN_THREADS),
            given,
            above="In place of greenlets.",
        )
    draft.missing(
        given, "there are no greenlets: requests that wait hold a thread (connections that wait hold none)"
    )


def python_path(given: Given, draft: Draft) -> None:
    """`app.path`."""
    draft.append("app.path", draft.path(line(given.value)), given)


def home(given: Given, draft: Draft) -> None:
    """`app.python`: uWSGI brings its own Python into the environment, prefork runs the environment's."""
    draft.put("app.python", draft.path(os.path.join(line(given.value), "bin/python")), given)  # noqa: PTH118
    draft.different(given, "prefork has to be installed in that environment: .../bin/pip install prefork")


def environment(given: Given, draft: Draft) -> None:
    """`app.env`."""
    name, equals, value = line(given.value).partition("=")
    if not equals:
        raise ValueError('is not "NAME=value"')
    draft.put("app.env", value, given, sub=name.strip())


def plugins(given: Given, draft: Draft) -> None:
    """Those for Python and HTTP are not needed."""
    others = [
        name
        for name in line(given.value).replace(",", " ").split()
        if not name.startswith(("python", "http", "logfile"))
    ]
    if others:
        draft.missing(given, f"there are no plugins ({', '.join(others)})")
    else:
        draft.note("needless", given, "there are no plugins: Python and HTTP are what prefork is")


def static_map(given: Given, draft: Draft) -> None:
    """A path of `[static]`."""
    prefix, equals, directory = line(given.value).partition("=")
    prefix = "/" + prefix.strip("/")
    if not equals or prefix == "/":
        raise ValueError('is not "/path=directory"')
    if given.option == "static-map2":
        directory = os.path.join(directory, prefix[1:])  # noqa: PTH118
    place = {"directory": draft.path(directory.strip())}
    if (index := draft.value("static-index")) is not None:
        place["index"] = line(index)
    draft.put("static.", place, given, sub=prefix)


def umask(given: Given, draft: Draft) -> None:
    """`server.umask`."""
    try:
        draft.put("server.umask", f"{int(line(given.value), 8) & 0o777:04o}", given)
    except ValueError:
        raise ValueError("is no octal number") from None


def stats(given: Given, draft: Draft) -> None:
    """`status.listen`."""
    draft.append("status.listen", endpoint(line(given.value), draft), given)
    draft.different(given, "it speaks HTTP: /status (JSON, docs/status.schema.json), /metrics, /healthz and a page; tools for uWSGI's "  # noqa: E501
                    "own JSON do not understand it")  # fmt: skip


def _file(text: str) -> str | None:
    """The file that a logger writes to; None for other loggers."""
    kind, colon, path = (
        text.rpartition(":") if text.startswith("file:") or " file:" in text else ("file", ":", text)
    )
    return path if colon and kind.endswith("file") else None


def log_to(given: Given, draft: Draft) -> None:
    """`log.output`; requests go to the same file."""
    text = line(given.value)
    if ":" in text and "/" not in text:
        draft.missing(given, "no log is sent by UDP: a file, standard error or the journal")
        return
    logs.place("log.output", given, draft, "stderr")
    if "daemonize" in given.written:
        draft.missing(
            given,
            "prefork stays in the foreground, for systemd and containers: `prefork systemd-unit` prints a unit",
        )


def _logger(key: str, given: Given, draft: Draft) -> None:
    text = line(given.value)
    if re.match(r"(\S+\s+)?(stdio|stdout)\b", text):
        draft.put(key, "stdout" if key == "log.access" else "stderr", given)
    elif (path := _file(text)) is not None and not text.startswith(("syslog", "rsyslog", "socket")):
        logs.place(key, Given(given.option, path, given.written, given.place), draft, "stderr")
    else:
        draft.missing(given, "logs go to standard error, a file or the journal")


def request_logger(given: Given, draft: Draft) -> None:
    """`log.access`."""
    _logger("log.access", given, draft)


def logger(given: Given, draft: Draft) -> None:
    """`log.output`."""
    _logger("log.output", given, draft)


def log_format(given: Given, draft: Draft) -> None:
    """`log.access_format`."""
    logs.access_format(given, draft, accessformat.from_uwsgi)


def forwarded(given: Given, draft: Draft) -> None:
    """`proxy.trusted` has to name them."""
    if truth(given.value):
        for network in (*LOCAL, "unix"):
            draft.append("proxy.trusted", network, given)
        draft.different(
            given, "only proxies in [proxy] trusted are believed: those of this machine, as written"
        )


def finish(draft: Draft) -> None:
    """What wants several options, and what uWSGI does without being told."""
    _count(draft)
    try:
        _target(draft)
    except ValueError as error:
        given = draft.last("module") or draft.last("wsgi-file") or draft.last("mount")
        assert given is not None
        draft.note("unread", given, str(error))
    changed = draft.last("chdir")
    here = Given("chdir", draft.world.directory, "runs in the directory it is started in", default=True)
    draft.put("app.chdir", draft.path("."), changed or here)
    _access(draft)


def _count(draft: Draft) -> None:
    workers = draft.last("workers")
    assert workers is not None
    try:
        most = min(max(whole(workers.value), 1), 4096)
        least = draft.last("cheaper")
        if _on(draft, "cheap") or (least is not None and whole(least.value)):
            low = 0 if _on(draft, "cheap") else whole(least.value if least is not None else 1)
            source = draft.last("cheap") if _on(draft, "cheap") else least
            assert source is not None
            written = f"{source.written}, {workers.written}"
            draft.put(
                "workers.count", {"min": min(low, most), "max": most}, Given("", most, written, source.place)
            )
        else:
            draft.put("workers.count", most, workers)
    except ValueError as error:
        draft.note("unread", workers, str(error))


def _target(draft: Draft) -> None:
    name = line(draft.value("callable") or "application")
    module, file = draft.last("module"), draft.last("wsgi-file")
    mounts = draft.options.get("mount", [])
    if module is not None:
        dotted, colon, own = line(module.value).partition(":")
        modules.target(dotted, own if colon else name, module, draft)
    elif file is not None:
        modules.target_of_file(line(file.value), name, file, draft)
    for given in mounts:
        prefix, _, where = line(given.value).partition("=")
        if module is None and file is None and len(mounts) == 1:
            dotted, colon, own = where.partition(":")
            if where.endswith((".py", ".wsgi")):
                modules.target_of_file(where, name, given, draft)
            else:
                modules.target(dotted, own if colon else name, given, draft)
            if prefix.strip("/"):
                draft.different(given, f"the application is at /, not at {prefix}: let the proxy in front send X-Forwarded-Prefix, or "  # noqa: E501
                                "mount it with werkzeug.middleware.dispatcher")  # fmt: skip
        else:
            draft.missing(
                given, "one server has one application: mount several with werkzeug.middleware.dispatcher"
            )


def _access(draft: Draft) -> None:
    """uWSGI logs every request, to the same place as all else."""
    words = [
        word
        for option, word in (("log-4xx", "4xx"), ("log-5xx", "5xx"), ("log-slow", "slow"))
        if _on(draft, option)
    ]
    disabled = draft.last("disable-logging")
    silent = disabled is not None and truth(disabled.value)
    if silent and words:
        for option, word in (("log-4xx", "4xx"), ("log-5xx", "5xx"), ("log-slow", "slow")):
            given = draft.last(option)
            if given is not None and truth(given.value):
                draft.append("log.access_filter", word, given)
    slow = draft.last("log-slow")
    if slow is not None and truth(slow.value):
        draft.attempt(
            slow, lambda: draft.put("log.slow_after", format_duration(seconds(slow.value) / 1000), slow)
        )
    if draft.has("log.access"):
        return
    if silent and not words:
        assert disabled is not None
        draft.put("log.access", "off", disabled)
        return
    output = draft.lines.get(("log", "output", None))
    given = Given("", "", "logs every request", default=True)
    draft.put("log.access", "stderr" if output is None else output.items[-1].value, given)
