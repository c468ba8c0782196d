"""mod_wsgi-express' options (4.9 and 5), and what becomes of each.

Owns: that table. Pure. Runs in: cli. Must not know: how command lines are taken apart.
"""

from __future__ import annotations

from prefork.migrate import accessformat, logs, modules
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
    path,
    size,
    table_of,
    text,
    whole,
)

_APACHE = "there is no Apache: a proxy in front (nginx, Apache) can do that"
_AUTH = "the application or the proxy in front decides who may come"
_DEBUG = "for development: `prefork --dev MODULE:APP`"


def _pair(given: Given) -> tuple[str, str]:
    if not isinstance(given.value, list) or len(given.value) != 2:
        raise ValueError("wants two arguments")
    return str(given.value[0]), str(given.value[1])


def _application(given: Given, draft: Draft) -> None:
    kind = line(draft.value("application-type") or "script")
    name = line(draft.value("callable-object") or "application")
    found = line(given.value)
    if kind == "module":
        module, colon, own = found.partition(":")
        modules.target(module, own if colon else name, given, draft)
    elif kind == "script":
        modules.target_of_file(found, name, given, draft)
    else:
        draft.missing(given, f"prefork serves WSGI applications, not --application-type {kind}")


def _environment(given: Given, draft: Draft) -> None:
    name, value = _pair(given)
    draft.put("app.env", value, given, sub=name)
    draft.different(given, "it is in os.environ; mod_wsgi puts it into environ of each request")


def _alias(given: Given, draft: Draft) -> None:
    prefix, directory = _pair(given)
    if "." in prefix.rpartition("/")[2] or not prefix.strip("/"):
        draft.missing(given, "[static] has directories, not single files")
        return
    draft.put("static.", {"directory": draft.path(directory)}, given, sub="/" + prefix.strip("/"))


def _log_level(given: Given, draft: Draft) -> None:
    logs.level(Given(given.option, line(given.value).partition(" ")[0].rpartition(":")[2], given.written, given.place,
                     given.default), draft)  # fmt: skip


def _directory(given: Given, draft: Draft) -> None:
    if draft.value("log-to-terminal") is None:
        name = line(draft.value("error-log-name") or "error_log")
        draft.put("log.output", draft.path(f"{line(given.value)}/{name}"), given)


def _access_log(given: Given, draft: Draft) -> None:
    directory = draft.value("log-directory")
    name = line(draft.value("access-log-name") or "access_log")
    terminal = directory is None or draft.value("log-to-terminal") is not None
    draft.put("log.access", "stdout" if terminal else draft.path(f"{line(directory)}/{name}"), given)


def _format(given: Given, draft: Draft) -> None:
    logs.access_format(given, draft, accessformat.from_apache)


def _trusted(given: Given, draft: Draft) -> None:
    trust(given.value, given, draft)


def _root(given: Given, draft: Draft) -> None:
    draft.missing(given, "files at / of the site, with the application behind them, are for the proxy in front; [static] has "
                  "paths of URLs of their own")  # fmt: skip


def _mount(given: Given, draft: Draft) -> None:
    if line(given.value).strip("/"):
        draft.missing(given, "the application is at /: let the proxy in front send X-Forwarded-Prefix, or mount it with "
                      "werkzeug.middleware.dispatcher")  # fmt: skip


def _max_clients(given: Given, draft: Draft) -> None:
    workers = max(whole(draft.value("processes") or 1), 1)
    draft.put(
        "workers.connections", max(-(-whole(given.value) // workers), 1), given, above="For each worker."
    )


def _listen(draft: Draft) -> None:
    host, port, secure = draft.last("host"), draft.last("port"), draft.last("https-port")
    address = line(host.value) if host is not None else "0.0.0.0"
    plain = port or Given("", "8000", "port 8000", default=True)
    written = f"{host.written}, {plain.written}" if host is not None else plain.written
    given = Given("", "", written, default=plain.default and host is None)
    draft.attempt(
        given, lambda: draft.append("server.listen", endpoint(f"{address}:{line(plain.value)}", draft), given)
    )
    stem = draft.last("ssl-certificate")
    certificate = draft.last("ssl-certificate-file") or stem
    if secure is None or certificate is None:
        return
    draft.attempt(
        secure,
        lambda: draft.append(
            "server.listen",
            {"address": endpoint(f"{address}:{line(secure.value)}", draft), "tls": True},
            secure,
        ),
    )
    key = draft.last("ssl-certificate-key-file")
    if stem is not None:
        draft.put("tls.certificate", draft.path(f"{line(stem.value)}.crt"), stem)
        draft.put("tls.key", draft.path(f"{line(stem.value)}.key"), stem)
    else:
        draft.put("tls.certificate", draft.path(line(certificate.value)), certificate)
    if key is not None:
        draft.put("tls.key", draft.path(line(key.value)), key)
    authority, verify = draft.last("ssl-ca-certificate-file"), draft.last("ssl-verify-client")
    if authority is not None:
        draft.put("tls.client_ca", draft.path(line(authority.value)), authority)
        wanted = "optional" if verify is not None and "optional" in line(verify.value) else "required"
        draft.put("tls.verify", wanted, verify or authority)


def _finish(draft: Draft) -> None:
    _listen(draft)
    changed = draft.last("working-directory")
    here = Given("", "", "runs in the directory it is started in", default=True)
    directory = draft.path(line(changed.value)) if changed is not None else draft.path(".")
    draft.put("app.chdir", directory, changed or here)


_ROWS: tuple[Row, ...] = table_of(
    made("application", "app.target", "A script beneath the working directory becomes a module.", _application, flags=()),
    made("entry-point", "app.target", "", _application),
    elsewhere("application-type", "app.target", "script and module."),
    elsewhere("callable-object", "app.target"),
    elsewhere("host", "server.listen"),
    elsewhere("port", "server.listen"),
    elsewhere("https-port", "server.listen, tls.*", names=("ssl-port",)),
    *(elsewhere(f"ssl-{name}", to) for name, to in (("certificate", "tls.certificate"), ("certificate-file", "tls.certificate"),
      ("certificate-key-file", "tls.key"), ("ca-certificate-file", "tls.client_ca"), ("verify-client", "tls.verify"))),
    missing("ssl-certificate-chain-file", "put the chain behind the certificate, in the same file"),
    needless("ssl-environment", "environ has SSL_PROTOCOL, SSL_CIPHER and SSL_CLIENT_CERT", arity=0),
    number("processes", "workers.count", least=1, most=4096),
    number("threads", "workers.threads", least=1, most=4096),
    made("max-clients", "workers.connections", "For each worker, instead of all together.", _max_clients),
    number("maximum-requests", "workers.max_requests"),
    duration("restart-interval", "workers.max_lifetime", most=30 * 86400.0),
    duration("startup-timeout", "workers.boot_timeout", least=0.01),
    duration("graceful-timeout", "workers.drain_timeout"),
    missing("shutdown-timeout", "workers.drain_timeout is for every way to leave"),
    missing("eviction-timeout", "workers.drain_timeout is for every way to leave"),
    duration("request-timeout", "requests.timeout", "mod_wsgi takes the mean of all threads and ends the process; prefork interrupts "  # noqa: E501
             "the one request (503)."),
    duration("queue-timeout", "requests.queue_timeout"),
    duration("socket-timeout", "requests.write_timeout", least=0.01),
    duration("header-timeout", "requests.header_timeout", least=0.01),
    duration("body-timeout", "requests.body_timeout", least=0.01),
    size("body-min-rate", "requests.min_rate", most=1 << 30),
    *(missing(name, "requests.header_timeout and body_timeout with min_rate are all there is")
      for name in ("header-max-timeout", "header-min-rate", "body-max-timeout")),
    duration("keep-alive-timeout", "requests.keepalive_timeout"),
    size("limit-request-body", "requests.max_body"),
    number("server-backlog", "server.backlog", least=1, most=65535),
    *(needless(name, "there is one process between client and application, not two")
      for name in ("daemon-backlog", "connect-timeout", "send-buffer-size", "receive-buffer-size", "header-buffer-size",
                   "response-buffer-size", "response-socket-timeout", "map-head-to-get", "initial-workers",
                   "minimum-spare-workers", "maximum-spare-workers", "daemon-name")),
    needless("embedded-mode", "workers are processes of their own", arity=0),
    needless("chunked-request", "chunked bodies are taken", arity=0),
    needless("isatty", "prefork stays in the foreground", arity=0),
    missing("deadlock-timeout", "requests.timeout and kill_after find stuck requests, also while C code holds the GIL"),
    *(missing(name, "workers.count = {min = 0, max = N} has none while nobody comes", arity=1)
      for name in ("inactivity-timeout", "ignore-activity")),
    missing("cpu-time-limit", "the unit's LimitCPU= is for the whole service"),
    text("user", "server.user"),
    text("group", "server.group"),
    path("pid-file", "server.pid_file"),
    text("process-name", "server.name"),
    elsewhere("working-directory", "app.chdir"),
    made("python-path", "app.path", "", lambda given, draft: draft.append("app.path", draft.path(line(given.value)), given)),
    made("setenv", "app.env", "In os.environ, not in environ of each request.", _environment, arity=2),
    missing("passenv", "the environment of the server is that of the application"),
    missing("envvars-script", "[app] env, or the unit's EnvironmentFile="),
    missing("locale", "[app] env: LANG, LC_ALL", names=("lang",)),
    made("url-alias", "static", "Directories.", _alias, arity=2),
    made("document-root", "", "Files at / of the site are for the proxy in front.", _root),
    made("mount-point", "", "The application is at /.", _mount),
    made("trust-proxy", "proxy.trusted", "", _trusted),
    needless("trust-proxy-header", "X-Forwarded-For, -Proto, -Host, -Port and -Prefix of trusted proxies are taken"),
    made("log-level", "log.level", "", _log_level),
    elsewhere("log-to-terminal", "log.output", arity=0),
    made("log-directory", "log.output", "", _directory),
    elsewhere("error-log-name", "log.output"),
    elsewhere("access-log-name", "log.access"),
    made("access-log", "log.access", "", _access_log, arity=0),
    made("access-log-format", "log.access_format", "Fields of prefork's for Apache's.", _format),
    missing("error-log-format", "[log] format: logfmt, json or the journal's"),
    *(missing(name, "logrotate moves files, SIGUSR1 opens them anew", arity=arity)
      for name, arity in (("rotate-logs", 0), ("max-log-size", 1), ("rotatelogs-executable", 1), ("startup-log", 0),
                          ("startup-log-name", 1))),
    missing("reload-on-changes", _DEBUG, arity=0),
    *(missing(name, _DEBUG, arity=0)
      for name in ("debug-mode", "enable-debugger", "debugger-startup", "enable-coverage", "enable-profiler", "enable-recorder",
                   "enable-gdb", "verbose-debugging")),
    *(missing(name, _DEBUG) for name in ("coverage-directory", "profiler-directory", "recorder-directory", "gdb-executable")),
    *(missing(name, _AUTH) for name in ("host-access-script", "auth-user-script", "auth-type", "auth-group-script", "auth-group")),  # noqa: E501
    *(missing(name, _APACHE, arity=0)
      for name in ("http2", "https-only", "allow-localhost", "directory-listing", "error-override", "compress-responses",
                   "with-php5", "with-cgi", "enable-docs", "enable-sendfile")),
    *(missing(name, _APACHE)
      for name in ("hsts-policy", "server-name", "server-alias", "directory-index", "include-file", "rewrite-rules", "server-root",  # noqa: E501
                   "server-mpm", "httpd-executable", "modules-directory", "mime-types", "python-eggs")),
    *(missing(name, _APACHE, arity=2)
      for name in ("error-document", "proxy-mount-point", "proxy-url-alias", "proxy-virtual-host", "add-handler")),
    *(missing(name, "a service of its own in systemd", arity=2)
      for name in ("service-script", "service-user", "service-group", "service-log-file")),
    missing("server-status", "[status] listen has a page, /metrics and /status", arity=0),
    missing("server-metrics", "[status] listen has a page, /metrics and /status", arity=0),
    *(missing(name, "New Relic's agent: newrelic-admin, or initialize() in the application", arity=arity)
      for name, arity in (("with-newrelic", 0), ("with-newrelic-agent", 0), ("with-newrelic-platform", 0),
                          ("newrelic-config-file", 1), ("newrelic-environment", 1))),
    missing("setup-only", "a command: `prefork check`", arity=0),
    missing("destroy-interpreter", "workers end as processes", names=("no-destroy-interpreter",)),
)  # fmt: skip

MOD_WSGI = Source(
    "mod_wsgi",
    _ROWS,
    {
        "processes": 1,
        "threads": 5,
        "limit-request-body": 10485760,
        "request-timeout": 60,
        "startup-timeout": 15,
        "graceful-timeout": 15,
        "queue-timeout": 45,
        "header-timeout": 15,
        "body-timeout": 15,
        "keep-alive-timeout": 0,
        "server-backlog": 500,
    },
    _finish,
)
