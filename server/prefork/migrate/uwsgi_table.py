"""uWSGI's options (2.0), and what becomes of each.

Owns: that table. Pure. Runs in: cli. Must not know: how they were written.
"""

from __future__ import annotations

from prefork.migrate import uwsgi_families
from prefork.migrate import uwsgi_rules as rules
from prefork.migrate.rows import Source, duration, elsewhere, made, number, path, size, table_of, text

_MIB = 1 << 20

_SOCKETS = table_of(
    made("http", "server.listen", "The router is not needed: workers speak HTTP themselves.", rules.listen, names=("httprouter",)),  # noqa: E501
    made("http-socket", "server.listen", "", rules.listen, names=("http11-socket",)),
    made("https", "server.listen, tls.*", "address,certificate,key,ciphers,client CA", rules.https,
         names=("https-socket", "https2")),
    made("socket", "server.listen", rules.UWSGI_PROTOCOL, rules.socket, flags=("-s", "--socket", "--uwsgi-socket"),
         names=("uwsgi-socket",)),
    elsewhere("protocol", "", "Looked at for `socket`.", names=("socket-protocol",)),
    elsewhere("chmod-socket", "server.listen, mode", flags=("-C", "--chmod-socket", "--chmod"), names=("chmod",), arity=-1),
    elsewhere("chown-socket", "server.listen, user and group"),
    elsewhere("enable-proxy-protocol", "server.listen, proxy_protocol", "Optional; [proxy] trusted has to name the proxy.",
              names=("http-enable-proxy-protocol",), arity=0),
    number("listen", "server.backlog", least=1, most=65535, flags=("-l", "--listen")),
    made("abstract-socket", "", "Write the address as @name.", rules.abstract, flags=("-a", "--abstract-socket"), arity=0),
    duration("http-keepalive", "requests.keepalive_timeout"),
    duration("http-timeout", "requests.write_timeout", least=0.01, names=("so-send-timeout", "socket-send-timeout")),
    duration("socket-timeout", "requests.body_timeout", least=0.01, flags=("-z", "--socket-timeout")),
    duration("http-headers-timeout", "requests.header_timeout", least=0.01),
    size("buffer-size", "requests.max_header_bytes", least=256, most=16 << 20, flags=("-b", "--buffer-size")),
    number("max-vars", "requests.max_headers", least=1, most=10_000, flags=("-v", "--max-vars")),
    size("limit-post", "requests.max_body"),
    size("post-buffering", "requests.body_memory", "All bodies are read before the application is called; this is what is kept in "  # noqa: E501
         "memory.", most=1 << 30),
)  # fmt: skip

_PROCESSES = table_of(
    elsewhere("workers", "workers.count", flags=("-p", "--workers", "--processes"), names=("processes",)),
    elsewhere("cheaper", "workers.count", "{min = cheaper, max = processes}"),
    elsewhere("cheap", "workers.count", "{min = 0, ...}", arity=0),
    number("threads", "workers.threads", least=1, most=4096),
    duration("harakiri", "requests.timeout", "uWSGI kills the worker at once; prefork interrupts the request (503), and kills only "  # noqa: E501
             "if that does not help (requests.kill_after).", flags=("-t", "--harakiri")),
    number("max-requests", "workers.max_requests", flags=("-R", "--max-requests")),
    made("max-requests-delta", "workers.max_requests_jitter", "uWSGI adds it once for each worker, prefork a random part of all.",
         rules.delta),
    duration("max-worker-lifetime", "workers.max_lifetime", most=30 * 86400.0),
    size("reload-on-rss", "workers.max_memory", "Memory of the worker's own; uWSGI counts what is shared too.", unit=_MIB),
    size("evil-reload-on-rss", "workers.max_memory_hard", "Memory of the worker's own; uWSGI counts what is shared too.",
         unit=_MIB),
    duration("worker-reload-mercy", "workers.drain_timeout", names=("reload-mercy",)),
    made("lazy-apps", "app.preload", '"never"', rules.lazy, names=("lazy",), arity=0),
    made("gevent", "workers.threads", "There are no greenlets; threads take their place.", rules.gevent, names=("async",)),
)  # fmt: skip

_APPLICATION = table_of(
    elsewhere("module", "app.target", flags=("-w", "--module", "--wsgi"), names=("wsgi",)),
    elsewhere("wsgi-file", "app.target", "A file beneath the working directory becomes a module.", names=("file",)),
    elsewhere("callable", "app.target"),
    elsewhere("mount", "app.target", "One at / alone; for several write a dispatcher (werkzeug.middleware.dispatcher).",
              names=("worker-mount",)),
    elsewhere("chdir", "app.chdir", "uWSGI runs in the directory it is started in; the line says which.",
              names=("force-cwd", "chdir2")),
    made("pythonpath", "app.path", "", rules.python_path, names=("python-path", "pp")),
    made("home", "app.python", "prefork has to be installed in that environment too.", rules.home,
         flags=("-H", "--home", "--virtualenv", "--venv", "--pyhome"), names=("virtualenv", "venv", "pyhome")),
    made("env", "app.env", "", rules.environment),
    made("plugins", "", "There are none; the one for Python is not needed.", rules.plugins,
         names=("plugin", "need-plugin", "need-plugins")),
    made("static-map", "static", "", rules.static_map),
    made("static-map2", "static", "", rules.static_map),
    elsewhere("static-index", "static, index"),
)  # fmt: skip

_SERVER = table_of(
    text("uid", "server.user", names=("immediate-uid",)),
    text("gid", "server.group", names=("immediate-gid",)),
    made("umask", "server.umask", "", rules.umask),
    path("pidfile", "server.pid_file", names=("pidfile2", "safe-pidfile", "safe-pidfile2")),
    text("procname-prefix", "server.name", names=("procname-prefix-spaced", "procname", "procname-master")),
    made("stats", "status.listen", "JSON at /status has another form (docs/status.schema.json); /metrics is for Prometheus.",
         rules.stats, names=("stats-server",)),
    made("logto", "log.output, log.access", "", rules.log_to, flags=("-d", "--logto", "--logto2", "--daemonize", "--daemonize2"),
         names=("logto2", "daemonize", "daemonize2")),
    made("req-logger", "log.access", "file:PATH and stdio.", rules.request_logger, names=("logger-req",)),
    made("logger", "log.output", "file:PATH and stdio.", rules.logger),
    elsewhere("disable-logging", "log.access", "", flags=("-L", "--disable-logging"), arity=0),
    elsewhere("log-4xx", "log.access_filter", arity=0),
    elsewhere("log-5xx", "log.access_filter", arity=0),
    elsewhere("log-slow", "log.access_filter, log.slow_after"),
    made("log-format", "log.access_format", "Fields of prefork's; docs/logging.md has all.", rules.log_format,
         names=("logformat",)),
    made("log-x-forwarded-for", "", "[proxy] trusted names the proxies; REMOTE_ADDR and the log then have the client.",
         rules.forwarded, arity=0),
)  # fmt: skip

UWSGI = Source(
    "uWSGI",
    table_of(_SOCKETS, _PROCESSES, _APPLICATION, _SERVER, uwsgi_families.ROWS),
    {"workers": "1", "listen": "100", "limit-post": "0", "worker-reload-mercy": "60"},
    rules.finish,
    lambda name: name.replace("_", "-"),
)
