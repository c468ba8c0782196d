"""uWSGI's options that need no setting here, or that there is nothing for: most of its thousand.

Owns: the reason for each, or for each family of them. Pure. Runs in: cli. Must not know: those that become settings.
"""

from __future__ import annotations

from prefork.migrate.rows import Row, missing, needless, table_of

_NEEDLESS: dict[str, tuple[str, ...]] = {
    "there is always a master": ("master:-M", "no-orphans", "die-on-term", "exit-on-reload", "auto-procname", "single-interpreter:-i",  # noqa: E501
                                 "need-app", "vacuum", "no-default-app", "master-as-root"),
    "threads and the GIL work as in any Python": ("enable-threads:-T", "py-call-osafterfork", "py-call-uwsgi-fork-hooks",
                                                  "no-threads-wait"),
    "all workers wait at one socket without a herd": ("thunder-lock", "map-socket", "lock-engine", "locks", "ftok",
                                                      "persistent-ipcsem"),
    "requests that take long are logged with their stack": ("harakiri-verbose", "py-tracebacker", "no-harakiri-arh",
                                                            "harakiri-no-arh", "no-harakiri-after-req-hook"),
    "files and responses are sent beside the requests that run": ("offload-threads", "offload-thread", "disable-sendfile",
                                                                  "file-serve-mode", "fileserve-mode"),
    "style.css.gz (.br, .zst) beside style.css is sent to those who take it": ("static-gzip-all", "static-gzip-suffix",
                                                                                "static-gzip-ext"),
    "HTTP/1.1 is spoken in full: chunked bodies, Expect, ranges": ("http-chunked-input", "http-auto-chunked", "http-manage-expect",  # noqa: E501
                                                                    "honour-range", "http-raw-body", "wsgi-strict",
                                                                    "wsgi-env-behaviour", "wsgi-env-behavior"),
    "clients that leave are no error": ("ignore-sigpipe", "ignore-write-errors", "disable-write-exception", "write-errors-tolerance",  # noqa: E501
                                        "write-errors-exception-only"),
    "connections have TCP_NODELAY, and programs that are started get none of them": ("tcp-nodelay", "close-on-exec",
                                                                                      "close-on-exec2"),
    "settings are always checked": ("strict", "show-config", "print", "iprint", "cap", "log-master", "log-micros", "log-date",
                                    "logdate", "log-reopen", "memory-report:-m", "threaded-logger", "log-sendfile", "log-zero",
                                    "log-ioerror", "log-big", "stats-http", "stats-min", "stats-minified", "stats-no-cores",
                                    "stats-no-metrics", "enable-metrics", "log-prefix", "log-format-strftime",
                                    "logformat-strftime", "honour-stdin", "reaper:-r", "skip-atexit", "skip-atexit-teardown",
                                    "skip-zero", "http-quiet", "manage-script-name", "check-interval", "drop-after-init",
                                    "drop-after-apps", "mem-collector-freq"),
}  # fmt: skip
"""Reason -> options; ":-M" is the letter of the command line. All of them take nothing or one argument."""

_FLAGS_WITH_ARGUMENT = frozenset(
    "lock-engine locks ftok map-socket offload-threads offload-thread file-serve-mode fileserve-mode static-gzip-suffix "
    "static-gzip-ext wsgi-env-behaviour wsgi-env-behavior write-errors-tolerance print iprint cap log-date logdate log-prefix "
    "log-big check-interval mem-collector-freq".split()
)

_SYSTEMD = "the service manager does that: systemd.exec(5), `prefork systemd-unit`"
_PROXY = "it is for the proxy in front (nginx, HAProxy)"
_ROUTES = "the application or the proxy in front decides about requests: a WSGI middleware"
_TASKS = "tasks are for a queue of tasks (Celery, RQ) or a timer of systemd"
_MIDDLEWARE = "a WSGI middleware does that"

_MISSING: dict[str, tuple[str, ...]] = {
    "`systemctl reload`, `prefork reload --wait` or SIGHUP reloads; a path unit of systemd can watch a file": (
        "touch-*", "fs-*", "reload-on-fd", "brutal-reload-on-fd", "lazy-touch"),
    "for development: `prefork --dev MODULE:APP`": ("py-auto*", "python-auto*"),
    "address space says little about memory: workers.max_memory counts what a worker has of its own": (
        "reload-on-as", "evil-reload-on-as"),
    "a count that follows the load is set as workers.count = {min, max}; how, is not set": ("cheaper-*", "idle", "die-on-idle"),
    "workers that leave do so one at a time, the replacement first; lifetimes vary by a tenth": (
        "max-worker-lifetime-delta", "min-worker-lifetime", "mule-reload-mercy"),
    "prefork raises an exception in the request, then kills (requests.kill_after)": ("harakiri-*", "backtrace-depth"),
    "there is no such protocol here: HTTP only": ("fastcgi-*", "scgi-*", "raw-*", "puwsgi-*", "udp", "modifier*", "http-modifier*",  # noqa: E501
                                                  "http-socket-modifier*", "multicast*", "zerg*", "zmq*", "ping*"),
    "systemd's socket units share sockets (docs/systemd.md)": ("shared-socket", "undeferred-shared-socket", "upgrade"),
    "no emperor: one service for each application (`prefork systemd-unit --template`)": ("emperor*", "vassal*", "early-emperor",
                                                                                       "imperial-*", "heartbeat"),
    _PROXY: ("fastrouter*", "rawrouter*", "sslrouter*", "http-*", "https-*", "subscri*", "unsubscribe*", "start-unsubscribed",
             "st", "weight", "auto-weight", "legion*", "forkptyrouter*", "stud-*", "hsts*", "ssl-*", "sni*"),
    _ROUTES: ("route*", "final-route*", "error-route*", "response-route*", "router*", "error-page-*", "vhost*", "check-cache"),
    _TASKS: ("spooler*", "mule*", "farm*", "cron*", "unique-cron", "timer", "rbtimer", "signal*", "rpc*", "legion-cron",
             "attach-*", "smart-attach-*", "daemons-*"),
    "there is no cache in the server: memcached, Redis": ("cache*", "add-cache-item", "load-file-in-cache*", "queue*",
                                                          "sharedarea:-A", "py-sharedarea"),
    _MIDDLEWARE: ("add-header", "rem-header", "del-header", "collect-header", "response-header-collect", "pull-header",
                  "catch-exceptions", "reload-on-exception*", "exception-handler", "http-auto-gzip", "upload-progress",
                  "after-request-*", "ignore-script-name", "reload-os-env"),
    "[static] has a table for each path of URLs": ("check-static*", "static-check", "static-skip-ext", "static-safe",
                                                   "static-cache-*", "static-gzip*", "mime*"),
    "[static] cache_control says how long": ("static-expires*",),
    "the time spent on connections is limited by [requests]; the rest is the kernel's (sysctl)": (
        "so-*", "socket-*", "tcp-*", "freebind", "reuse-port", "no-defer-accept", "shutdown-sockets", "no-fd-passing", "safe-fd",
        "fd-safe"),
    _SYSTEMD: ("chroot", "pivot*", "unshare*", "setns*", "jailed", "refork*", "re-fork*", "namespace*", "ns*", "cgroup*",
               "mount-*", "umount*", "limit-*", "max-fd", "prio", "cpu-affinity", "never-swap", "ksm", "rlimit*", "capability",
               "add-gid", "no-initgroups", "wait-*", "flock*", "envdir", "early-envdir", "unenv", "binary-*", "privileged-*",
               "unprivileged-*", "check-mount*", "mount-check", "mountpoint-check", "notify-socket", "uidmap", "gidmap"),
    "[hooks] has functions of yours: on_zygote_ready, after_fork, before_stop": (
        "hook-*", "exec-*", "call-*", "import", "pyimport", "py-import", "python-import", "shared-import", "shared-py*", "post-pymodule-alias",  # noqa: E501
        "pymodule-alias", "master-hook*"),
    "logs go to standard error, a file (opened anew at SIGUSR1, for logrotate) or the journal": (
        "log-*", "logfile-*", "logger-*", "loggers-*", "rsyslog-*", "log-syslog", "not-log-alarm", "not-alarm-log"),
    "/metrics, statsd and the journal tell what alarms are made of": ("alarm*", "backlog-alarm", "lq-alarm", "listen-queue-alarm",
                                                                      "segfault-alarm", "metric*", "stats-*", "carbon*",
                                                                      "rrdtool*", "nagios", "snmp*"),
    "prefork runs WSGI applications of Python": (
        "paste*", "ini-paste*", "pecan", "web3", "pump", "wsgi-lite", "eval", "pyrun", "py", "python", "pyshell*", "python-raw",
        "python-worker-override", "symcall*", "worker-exec*", "asyncio*", "ugreen*", "greenlet*", "tornado*", "loop", "loop-list", "loops-list", "cgi*",  # noqa: E501
        "perl*", "psgi*", "rack*", "ruby*", "rb*", "lua*", "php*", "rails*", "ssi*", "go*", "mono*", "v8*", "jvm*", "glusterfs*",
        "rados*", "gridfs*", "gevent-*", "websocket*", "chunked-input-*", "sse*", "dlopen", "plugins-*", "plugin-*", "autoload",
        "xslt*", "geoip*", "curl*", "ldap*", "sqlite*", "fiber*", "coroae*", "corerouter*", "tuntap*", "pty*", "airbrake*"),
    "control is by signals and `prefork` commands (docs/control.md)": ("master-fifo", "stop", "reload", "pause", "suspend", "resume",  # noqa: E501
                                                                       "connect-and-read", "extract", "force-gateway", "clock*"),
    "prefork runs in the virtual environment's own Python (app.python)": ("py-*", "no-site", "pyargv", "optimize:-O",
                                                                          "python-version", "test:-J"),
    "it says how uWSGI itself is built or runs": (
        "thread-stack*", "threads-stack*", "thread-stacksize", "threads-stacksize", "max-apps", "cgi-mode:-c", "profiler",
        "pcre-jit", "procname-append", "post-buffering-bufsize", "body-read-warning", "forkbomb-delay", "propagate-touch",
        "response-headers-limit", "start-response-*", "wsgi-*", "use-abort", "allowed-modifiers", "remap-modifier", "mode",
        "binsh", "file-write", "dump-options", "exit", "cflags", "dot-h", "config-py", "build-plugin", "version", "help:-h",
        "usage", "print-sym*", "no-server", "command-mode", "declare-option*", "resolve", "get", "fallback-config",
        "inject-*", "blacklist", "end-blacklist", "whitelist", "end-whitelist", "yaml-*", "regexp-*", "crypto*", "aix*",
        "tmp*", "sapi*"),
}  # fmt: skip
"""Reason -> options."""

_INHERITED = ("ini", "xml:-x", "yaml:-y", "yml", "json:-j", "js", "config", "inherit", "include", "xmlconfig", "set:-S",
              "set-placeholder", "set-ph", "for*", "if-*", "ifenv", "ifexists", "ifplugin", "ifdir", "endfor", "end-for", "endif",
              "end-if")  # fmt: skip


def _flags(spelled: str) -> tuple[str, tuple[str, ...]]:
    name, _, letter = spelled.partition(":")
    return name, (f"--{name}", letter) if letter else ()


def _needless() -> list[Row]:
    rows = []
    for why, names in _NEEDLESS.items():
        for spelled in names:
            name, flags = _flags(spelled)
            rows.append(needless(name, why, flags=flags, arity=1 if name in _FLAGS_WITH_ARGUMENT else -1))
    return rows


def _missing() -> list[Row]:
    rows = []
    for why, names in _MISSING.items():
        for spelled in names:
            name, flags = _flags(spelled)
            rows.append(missing(name, why, flags=flags, arity=-1))
    # The longest family first: "http-modifier*" before "http-*".
    return sorted(rows, key=lambda row: -len(row.option))


def _logic() -> list[Row]:
    rows = []
    for spelled in _INHERITED:
        name, flags = _flags(spelled)
        rows.append(
            Row(name, "", "Followed when the file is read.", lambda given, draft: None, flags=flags, arity=-1)
        )
    return rows


ROWS = table_of(_needless(), _logic(), _missing())
