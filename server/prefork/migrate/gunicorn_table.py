"""gunicorn's settings (versions 19 to 27), and what becomes of each.

Owns: that table. Pure. Runs in: cli. Must not know: how they were written.
"""

from __future__ import annotations

from prefork.migrate import gunicorn_rules as rules
from prefork.migrate.gunicorn_hooks import HOOKS, hook
from prefork.migrate.rows import (
    Source,
    duration,
    elsewhere,
    made,
    missing,
    needless,
    number,
    path,
    table_of,
    text,
)

_HTTP2 = "prefork speaks HTTP/1.1; HTTP/2 is for the proxy in front"
_ASGI = "prefork runs WSGI applications only"
_DIRTY = "there are no dirty arbiters: a task queue (Celery, RQ, ...) runs what takes long"
_SYSLOG = "prefork writes to standard error, a file or the journal; under systemd everything gets to syslog through the journal"
_STRICT = "prefork refuses malformed requests (RFC 9112), there is no switch for it"
_CONTROL = "prefork has a control socket of its own"

_PROCESSES = table_of(
    made("workers", "workers.count", 'A number that depends on the CPUs becomes "auto": one for each.', rules.workers,
         flags=("-w", "--workers")),
    made("worker_class", "workers.threads", "One kind of worker: an event loop for connections, threads for requests. "
         "gevent and eventlet become threads, ASGI workers nothing.", rules.worker_class, flags=("-k", "--worker-class")),
    number("threads", "workers.threads", least=1, most=4096, flags=("--threads",)),
    made("worker_connections", "workers.connections", "Of gevent and eventlet it is the number of requests at a time.",
         rules.worker_connections, flags=("--worker-connections",)),
    number("max_requests", "workers.max_requests", flags=("--max-requests",)),
    number("max_requests_jitter", "workers.max_requests_jitter", flags=("--max-requests-jitter",)),
    made("timeout", "requests.timeout", rules.TIMEOUT, rules.timeout, flags=("-t", "--timeout")),
    duration("graceful_timeout", "workers.drain_timeout", flags=("--graceful-timeout",)),
    made("keepalive", "requests.keepalive_timeout", "gunicorn's sync workers close every connection, prefork's never need to.",
         rules.keepalive, flags=("--keep-alive",)),
    needless("http_parser", "the fast parser is used where it was compiled", flags=("--http-parser",)),
    *(missing(name, _ASGI, flags=(f"--{name.replace('_', '-')}",))
      for name in ("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "root_path")),
    missing("websocket_max_message_size", "prefork speaks no WebSockets", flags=("--websocket-max-message-size",)),
)  # fmt: skip

_SOCKETS = table_of(
    made("bind", "server.listen", "fd:// and LISTEN_FDS become \"systemd\". Files of unix sockets get gunicorn's mode: 0777 less "
         "umask.", rules.bind, flags=("-b", "--bind")),
    number("backlog", "server.backlog", least=1, most=65535, flags=("--backlog",)),
    missing("reuse_port", "all workers share one socket, which balances them by itself", flags=("--reuse-port",), arity=0),
    made("certfile", "tls.certificate", "All TCP listeners speak TLS then.", rules.certificate, flags=("--certfile",)),
    elsewhere("keyfile", "tls.key", flags=("--keyfile",)),
    elsewhere("ca_certs", "tls.client_ca", flags=("--ca-certs",)),
    elsewhere("cert_reqs", "tls.verify", flags=("--cert-reqs",)),
    elsewhere("ciphers", "tls.ciphers", flags=("--ciphers",)),
    made("ssl_version", "tls.min_version", "TLS 1.2 and newer are spoken.", rules.ssl_version, flags=("--ssl-version",)),
    needless("suppress_ragged_eofs", "clients that leave without a goodbye are no error", flags=("--suppress-ragged-eofs",)),
    needless("do_handshake_on_connect", "handshakes are made beside the requests that run",
             flags=("--do-handshake-on-connect",), arity=0),
    *(missing(name, _HTTP2, flags=(f"--{name.replace('_', '-')}",))
      for name in ("http2_cleartext", "http2_max_concurrent_streams", "http2_initial_window_size", "http2_max_frame_size",
                   "http2_max_header_list_size")),
    made("http_protocols", "", _HTTP2, rules.http_protocols, flags=("--http-protocols",)),
)  # fmt: skip

_SECURITY = table_of(
    made("limit_request_line", "requests.max_request_line", "0 (no limit) becomes the most there is, 1 MiB.",
         rules.request_line, flags=("--limit-request-line",)),
    number("limit_request_fields", "requests.max_headers", least=1, most=10_000, flags=("--limit-request-fields",)),
    made("limit_request_field_size", "requests.max_header_bytes", "gunicorn limits each field, prefork all together: this size "
         "times limit_request_fields.", rules.header_bytes, flags=("--limit-request-field_size",)),
    made("forwarded_allow_ips", "proxy.trusted", "gunicorn takes the scheme from these proxies; prefork the client's address too "
         "(REMOTE_ADDR), so ProxyFix and the like go.", rules.forwarded, flags=("--forwarded-allow-ips",)),
    made("proxy_protocol", "server.listen, proxy_protocol", "Connections from [proxy] trusted may begin with the header.",
         rules.proxy_protocol, flags=("--proxy-protocol",), arity=-1),
    elsewhere("proxy_allow_ips", "proxy.trusted", "Looked at if proxy_protocol is on.", flags=("--proxy-allow-from",)),
    missing("uwsgi_allow_ips", "prefork does not speak the uwsgi protocol", flags=("--uwsgi-allow-from",)),
    made("protocol", "", "prefork speaks HTTP only.", rules.protocol, flags=("--protocol",)),
    missing("secure_scheme_headers", "X-Forwarded-Proto is what trusted proxies tell the scheme with ([proxy] headers)"),
    missing("forwarder_headers", "only the fields of [proxy] headers are taken from proxies; SCRIPT_NAME comes from "
            "X-Forwarded-Prefix", flags=("--forwarder-headers",)),
    made("header_map", "", "Names with \"_\" are dropped, always.", rules.header_map, flags=("--header-map",)),
    *(missing(name, _STRICT, flags=(f"--{name.replace('_', '-')}",), arity=0)
      for name in ("permit_obsolete_folding", "strip_header_spaces", "permit_unconventional_http_version")),
    needless("permit_unconventional_http_method", "any method that is a token reaches the application",
             flags=("--permit-unconventional-http-method",), arity=0),
    missing("casefold_http_method", "methods are case-sensitive (RFC 9110 section 9.1)", flags=("--casefold-http-method",),
            arity=0),
)  # fmt: skip

_MECHANICS = table_of(
    made("wsgi_app", "app.target", "", rules.target, flags=()),
    elsewhere("chdir", "app.chdir", "gunicorn runs in the directory it is started in; the line says which.",
              flags=("--chdir",)),
    made("pythonpath", "app.path", "", rules.python_path, flags=("--pythonpath",)),
    made("raw_env", "app.env", "", rules.environment, flags=("-e", "--env")),
    made("preload_app", "app.preload", '"auto" preloads where that is safe, and says why where it is not.', rules.preload,
         flags=("--preload",), arity=0),
    text("user", "server.user", flags=("-u", "--user")),
    text("group", "server.group", flags=("-g", "--group")),
    made("umask", "server.umask", "", rules.umask, flags=("-m", "--umask")),
    needless("initgroups", "the user's further groups are always set", flags=("--initgroups",), arity=0),
    path("pidfile", "server.pid_file", flags=("-p", "--pid")),
    text("proc_name", "server.name", flags=("-n", "--name")),
    missing("default_proc_name", "it is gunicorn's own"),
    missing("daemon", "prefork stays in the foreground, for systemd and containers: `prefork systemd-unit` prints a unit",
            flags=("-D", "--daemon"), arity=0),
    missing("worker_tmp_dir", "there are no heartbeat files: the master sees by shared memory who is stuck",
            flags=("--worker-tmp-dir",)),
    missing("tmp_upload_dir", "long request bodies go to the temporary directory: TMPDIR in the service's environment"),
    made("sendfile", "", "wsgi.file_wrapper uses sendfile(2), always.", rules.sendfile, flags=("--no-sendfile",), arity=0),
    missing("paste", "prefork serves MODULE:APP: write a module with `app = paste.deploy.loadapp(\"config:...\")`",
            flags=("--paste", "--paster")),
    missing("raw_paste_global_conf", "see paste", flags=("--paste-global",)),
    elsewhere("config", "", "The file is read as well.", flags=("-c", "--config")),
    missing("reload", "for development: `prefork --dev MODULE:APP`", flags=("--reload",), arity=0),
    missing("reload_engine", "see reload", flags=("--reload-engine",)),
    missing("reload_extra_files", "see reload", flags=("--reload-extra-file",)),
    missing("spew", "`prefork stacks` shows where a running server is", flags=("--spew",), arity=0),
    missing("check_config", "a command: `prefork check`", flags=("--check-config",), arity=0),
    missing("print_config", "a command: `prefork config`", flags=("--print-config",), arity=0),
    path("control_socket", "server.control", "Another protocol: docs/control.md.", flags=("--control-socket",)),
    missing("control_socket_mode", f"{_CONTROL}, for root and the server's own user", flags=("--control-socket-mode",)),
    made("control_socket_disable", "server.control", "", rules.no_control, flags=("--no-control-socket",), arity=0),
    *(missing(name, _DIRTY, flags=(f"--{flag}",))
      for name, flag in (("dirty_apps", "dirty-app"), ("dirty_workers", "dirty-workers"), ("dirty_timeout", "dirty-timeout"),
                         ("dirty_threads", "dirty-threads"), ("dirty_graceful_timeout", "dirty-graceful-timeout"))),
)  # fmt: skip

_LOGGING = table_of(
    made("accesslog", "log.access", '"-" is standard output.', rules.accesslog, flags=("--access-logfile",)),
    made("access_log_format", "log.access_format", "Fields of prefork's for gunicorn's atoms; docs/logging.md has all.",
         rules.access_log_format, flags=("--access-logformat",)),
    made("errorlog", "log.output", "", rules.errorlog, flags=("--error-logfile", "--log-file")),
    made("loglevel", "log.level", "", rules.loglevel, flags=("--log-level",)),
    missing("capture_output", "what the application prints goes to the server's standard output and error, which the service "
            "manager collects", flags=("--capture-output",), arity=0),
    missing("logger_class", "[log] config hands everything to Python's logging", flags=("--logger-class",)),
    missing("logconfig", "[log] config wants the form of dictConfig (TOML, JSON), with the loggers \"prefork\" and "
            "\"prefork.access\"", flags=("--log-config",)),
    missing("logconfig_dict", "as a table [log.config] or a file: the loggers are called \"prefork\" and \"prefork.access\" there"),  # noqa: E501
    missing("logconfig_json", "[log] config takes the file, once its loggers are called \"prefork\" and \"prefork.access\"",
            flags=("--log-config-json",)),
    missing("syslog", _SYSLOG, flags=("--log-syslog",), arity=0),
    *(missing(name, _SYSLOG, flags=(f"--log-{name.replace('_', '-').replace('addr', 'to')}",))
      for name in ("syslog_addr", "syslog_prefix", "syslog_facility")),
    missing("disable_redirect_access_to_syslog", _SYSLOG, flags=("--disable-redirect-access-to-syslog",), arity=0),
    missing("enable_stdio_inheritance", "standard output and error are always inherited", flags=("-R", "--enable-stdio-inheritance"),  # noqa: E501
            arity=0),
    made("statsd_host", "statsd.address", "Other names of metrics: docs/logging.md. An IP address, not a name.", rules.statsd_host,  # noqa: E501
         flags=("--statsd-host",)),
    text("statsd_prefix", "statsd.prefix", flags=("--statsd-prefix",)),
    made("dogstatsd_tags", "statsd.tags", "", rules.statsd_tags, flags=("--dogstatsd-tags",)),
    needless("enable_backlog_metric", "the queues are in /metrics and in what statsd gets", flags=("--enable-backlog-metric",),
             arity=0),
)  # fmt: skip

_HOOKS = table_of(
    *(made(name, to, says, hook(says)) for name, to, says in HOOKS),
)

GUNICORN = Source(
    "gunicorn",
    table_of(_SOCKETS, _PROCESSES, _SECURITY, _MECHANICS, _LOGGING, _HOOKS),
    {
        "bind": "127.0.0.1:8000",
        "workers": 1,
        "timeout": 30,
        "keepalive": 2,
        "limit_request_field_size": 8190,
        "forwarded_allow_ips": "127.0.0.1,::1",
    },
    rules.finish,
)
