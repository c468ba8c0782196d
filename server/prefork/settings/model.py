"""The one table of settings: every option with its type, default, bounds and meaning.

Owns: what can be set. Loading, `prefork config`, config/reference.toml and config/schema.json all follow from
it. Runs in: every process (as values). Must not know: where values come from.

Values are kept ready to use: durations as floats of seconds, sizes as ints of bytes, modes as ints, paths
absolute. None is "not set". `Settings` survives `msgspec.json`, which is how the zygote gets it.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta

from prefork.settings.control import OFF
from prefork.settings.dev import DevSettings
from prefork.settings.hooks import HookSettings
from prefork.settings.kinds.flag import Flag
from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.memory import MemoryLimit, Share
from prefork.settings.kinds.numbers import DAY_S, Duration, Mode, Size, Whole
from prefork.settings.kinds.paths import OptionalPath, PathList, PathOr
from prefork.settings.kinds.python import application_reference, class_reference
from prefork.settings.kinds.requests import warmup_target
from prefork.settings.kinds.text import Environment, OneOf, Text
from prefork.settings.kinds.workers import CountRange, WorkerCount
from prefork.settings.listen import Listen, ListenList, account
from prefork.settings.log import LogSettings
from prefork.settings.options import Option, options_of
from prefork.settings.proxy import ProxySettings
from prefork.settings.static import SendfilePaths, StaticSettings
from prefork.settings.statsd import StatsdSettings
from prefork.settings.status import StatusSettings
from prefork.settings.tls import TlsSettings

LONGEST_NAME = 64


def is_field_name(text: str) -> bool:
    """True for a token (RFC 9110 section 5.6.2)."""
    return re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text) is not None


class AppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[app]`."""

    target: Annotated[
        str,
        application_reference(),
        Meta(
            description="The WSGI application: module, colon, and the name it has there. A call with literal "
            "arguments makes it with a factory: \"shop.web:create_app('live')\".",
            examples=["shop:app"],
        ),
    ]
    path: Annotated[
        tuple[str, ...],
        PathList(),
        Meta(description="Directories put in front of Python's module search path."),
    ] = ()
    chdir: Annotated[
        str | None,
        OptionalPath(),
        Meta(
            description="Directory the application runs in, also put on the module search path. "
            "Empty: the directory the server was started in."
        ),
    ] = None
    env: Annotated[
        dict[str, str],
        Environment(),
        Meta(description="Environment variables for the application, over those of the server."),
    ] = msgspec.field(default_factory=dict)
    python: Annotated[
        str | None,
        OptionalPath(),
        Meta(
            description="Python that runs the application, such as the one of a release's virtual "
            "environment (prefork must be installed there too). Empty: the one that runs the server."
        ),
    ] = None
    preload: Annotated[
        Literal["auto", "always", "never"],
        OneOf(("auto", "always", "never")),
        Meta(
            description="Import the application once and fork the workers from there (less memory, quick to "
            'start): "auto" does so if the import leaves no threads or sockets behind, "always" refuses to '
            'start if it does, "never" lets each worker import it.'
        ),
    ] = "auto"
    warmup: Annotated[
        tuple[str, ...],
        TextList(warmup_target, '["/", "/health"]'),
        Meta(
            description="Paths that the application is asked for after its import, before any client is: it builds "
            "its caches once for all workers, and if an answer is an error of the server (5xx) or an exception, "
            "the release is not taken."
        ),
    ] = ()


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[server]`."""

    name: Annotated[
        str,
        Text(
            f"must be at most {LONGEST_NAME} printable characters",
            lambda text: len(text) <= LONGEST_NAME and text.isprintable(),
        ),
        Meta(
            description="Name of this server in process titles and log lines. "
            "Empty: the name of the settings file, or of the application's module if there is no file."
        ),
    ] = ""
    listen: Annotated[
        tuple[Listen, ...],
        ListenList(),
        Meta(
            description='Addresses to listen on: "host:port", "[IPv6 address]:port" or "unix:path"; with '
            'permissions {address = "unix:/run/shop.sock", mode = "0660", user = "shop", group = "www-data"}; '
            'with TLS {address = "0.0.0.0:443", tls = true}; behind a proxy that announces clients '
            '{address = "127.0.0.1:8000", proxy_protocol = "required"} (or "optional"). "systemd" is wherever socket units '
            'listen for us, {address = "systemd", name = "https", tls = true} those of them with this FileDescriptorName=; the '
            "default gives way to them."
        ),
    ] = (Listen("127.0.0.1:8000"),)
    backlog: Annotated[
        int,
        Whole(1, 65535),
        Meta(
            description="Connections of each address that may wait to be accepted; "
            "the kernel takes no more than net.core.somaxconn."
        ),
    ] = 2048
    user: Annotated[
        str | None,
        account(),
        Meta(
            description="User that the application runs as; only root can choose. "
            "Empty: the one who started the server."
        ),
    ] = None
    group: Annotated[
        str | None,
        account(),
        Meta(description="Group that the application runs as. Empty: that of the user."),
    ] = None
    umask: Annotated[
        int | None,
        Mode(),
        Meta(description="Permissions that files made by the application do not get. Empty: as inherited."),
    ] = None
    pid_file: Annotated[
        str | None,
        OptionalPath(),
        Meta(
            description="File for the master's process number; locked, so that a second server "
            "refuses to start. Empty: none."
        ),
    ] = None
    control: Annotated[
        str,
        PathOr(OFF),
        Meta(
            description="Socket that `prefork status`, `prefork reload` and the like talk to; for root and the user who "
            'started the server. Empty: in /run/prefork, or for other users in $XDG_RUNTIME_DIR/prefork. "off": none.'
        ),
    ] = ""
    drain_delay: Annotated[
        float,
        Duration(at_least=0.0, at_most=3600.0),
        Meta(
            description="How long a server that is told to stop (SIGTERM, `prefork stop`) or to drain goes on serving while "
            "/readyz says 503 already, so that the balancers in front send nobody here before it refuses connections. "
            "0: it stops at once."
        ),
    ] = 0.0
    request_handler: Annotated[
        str | None,
        class_reference(),
        Meta(
            description="Your own subclass of prefork.WSGIRequestHandler, as module, colon, class. "
            "Empty: the built-in one."
        ),
    ] = None
    server_header: Annotated[
        str,
        Text(
            "must be at most 200 printable ASCII characters",
            lambda text: len(text) <= 200 and text.isascii() and (text == "" or text.isprintable()),
        ),
        Meta(
            description="The Server field of responses that have none of their own. Empty: no such field. "
            "A request_handler may name another default (server_version).",
        ),
    ] = "prefork"
    sendfile_header: Annotated[
        str,
        Text(
            "must be the name of a header field, such as X-Sendfile",
            lambda text: text == "" or is_field_name(text),
        ),
        Meta(
            description="Response header by which the application names a file that the server sends in place of the body: "
            "X-Sendfile (a path) or X-Accel-Redirect (a URI, percent-encoded). Empty: such headers go to the client."
        ),
    ] = ""
    sendfile_paths: Annotated[
        dict[str, str],
        SendfilePaths(),
        Meta(
            description="What files may be named there: a list of directories, or a table from what the application writes "
            'to the directory it means, {"/protected" = "files"}. Nothing outside is sent.'
        ),
    ] = msgspec.field(default_factory=dict)


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[workers]`."""

    count: Annotated[
        int | Literal["auto"] | CountRange,
        WorkerCount(),
        Meta(
            description="Worker processes. "
            '"auto": one for each CPU that the server may use (affinity, cgroup quota). '
            "A range follows the load; with min = 0 an idle server has none, and the first connection starts one."
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Whole(1, 4096),
        Meta(description="Requests that one worker runs at the same time. 1 is the quickest for each."),
    ] = 1
    connections: Annotated[
        int,
        Whole(1, 1_000_000),
        Meta(description="Connections that one worker holds open at most, idle ones included."),
    ] = 4096
    boot_timeout: Annotated[
        float,
        Duration(),
        Meta(description="Time for the application's import, and for a worker to become ready."),
    ] = 60.0
    drain_timeout: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(description="Time a worker gets to finish its work when it is replaced or the server stops."),
    ] = 30.0
    max_requests: Annotated[
        int,
        Whole(0, 1_000_000_000),
        Meta(
            description="Requests after which a worker is replaced: the new one comes first, and one worker "
            "goes at a time. 0: no limit."
        ),
    ] = 0
    max_requests_jitter: Annotated[
        int,
        Whole(0, 1_000_000_000),
        Meta(description="Up to so many requests more, different for each worker."),
    ] = 0
    max_lifetime: Annotated[
        float,
        Duration(at_least=0.0, at_most=30 * DAY_S),
        Meta(
            description="Time after which a worker is replaced, up to a tenth earlier so that not all go together. "
            "0: no limit."
        ),
    ] = 0.0
    max_memory: Annotated[
        int | Share,
        MemoryLimit(),
        Meta(
            description="Memory of its own (shared pages do not count), beyond which a worker is replaced. A share, such as "
            '"80%", is of the memory that the server may use (cgroup limits, machine), divided by the number of workers '
            "(the most of a range); `prefork config` shows how much that is. 0: no limit."
        ),
    ] = 0
    max_memory_hard: Annotated[
        int | Share,
        MemoryLimit(),
        Meta(
            description="Memory of its own, beyond which a worker is killed at once; as for max_memory. 0: no limit."
        ),
    ] = 0
    rollback_window: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="How long after a reload the release before it is kept in memory, for `prefork rollback`. "
            "0: not at all."
        ),
    ] = 600.0


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[requests]`."""

    header_timeout: Annotated[
        float,
        Duration(),
        Meta(description="Time for a request's head to arrive, from its first byte (408 after that)."),
    ] = 10.0
    body_timeout: Annotated[
        float,
        Duration(),
        Meta(
            description="Time without any byte of a request's body arriving (408 after that). "
            "Each byte that arrives buys time back, see min_rate."
        ),
    ] = 30.0
    write_timeout: Annotated[
        float,
        Duration(),
        Meta(
            description="Time without the client taking any byte of the response (closed after that). "
            "Each byte that it takes buys time back, see min_rate."
        ),
    ] = 30.0
    min_rate: Annotated[
        int,
        Size(at_most=1 << 30),
        Meta(
            description="Slowest pace, in bytes a second, of a body and of a response: below it body_timeout and "
            "write_timeout run down, however often a byte comes. 0: any byte starts them anew."
        ),
    ] = 240
    keepalive_timeout: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="Time that a connection may wait for its next request. 0: a connection is closed after its response."
        ),
    ] = 5.0
    slow: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="Time the application may run without giving output before the request and its Python stack are "
            "logged; it goes on. 0: never."
        ),
    ] = 10.0
    timeout: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="Time the application may run without giving output before RequestTimeout is raised in it "
            "(503 if nothing was sent yet). 0: as long as it likes."
        ),
    ] = 0.0
    kill_after: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="Time after timeout at which a worker whose request cannot be interrupted is replaced: its other "
            "requests are finished, then it is killed. 0: never."
        ),
    ] = 10.0
    queue_timeout: Annotated[
        float,
        Duration(at_least=0.0),
        Meta(
            description="Longest time that a request may have waited for a free thread; after that it is turned away "
            "(503 with Retry-After). 0: however long."
        ),
    ] = 0.0
    max_request_line: Annotated[
        int,
        Size(at_least=256, at_most=1 << 20),
        Meta(description="Longest request line: method, target and version (414 above that)."),
    ] = 8 << 10
    max_header_bytes: Annotated[
        int,
        Size(at_least=256, at_most=16 << 20),
        Meta(description="All header fields of a request together (431 above that)."),
    ] = 32 << 10
    max_headers: Annotated[
        int,
        Whole(1, 10_000),
        Meta(description="Number of header fields of a request (431 above that)."),
    ] = 100
    max_body: Annotated[
        int,
        Size(),
        Meta(description="Largest request body (413 above that). 0: no limit."),
    ] = 100 << 20
    body_memory: Annotated[
        int,
        Size(at_most=1 << 30),
        Meta(
            description="How much of a request body is kept in memory in any case; longer ones as long as body_memory_shared "
            "lasts, then in a temporary file."
        ),
    ] = 256 << 10
    body_memory_shared: Annotated[
        int | Share,
        MemoryLimit(),
        Meta(
            description="How much memory a worker may use for request bodies longer than body_memory, all together. A share is "
            "of the memory that the server may use, divided by the number of workers, as for workers.max_memory. "
            "0: such bodies go to a temporary file at once."
        ),
    ] = Share(2)
    buffer_body: Annotated[
        bool,
        Flag(),
        Meta(
            description="Receive a request's body before the application is called, so that slow clients hold no thread. "
            "false: it is called after the head and reads the body as it arrives (needs workers.threads of 2 or more)."
        ),
    ] = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, one attribute a table."""

    app: Annotated[AppSettings, Meta(description="The application.")]
    server: Annotated[ServerSettings, Meta(description="The server as a whole.")] = ServerSettings()
    workers: Annotated[WorkerSettings, Meta(description="The processes that answer requests.")] = (
        WorkerSettings()
    )
    requests: Annotated[
        RequestSettings,
        Meta(description="Limits for each request and each connection; whoever breaks one is sent away."),
    ] = RequestSettings()
    tls: Annotated[
        TlsSettings, Meta(description='Certificates, for listeners with {address = "...", tls = true}.')
    ] = TlsSettings()
    proxy: Annotated[ProxySettings, Meta(description="What proxies in front say about clients.")] = (
        ProxySettings()
    )
    static: Annotated[StaticSettings, Meta(description="Files served without the application.")] = (
        StaticSettings()
    )
    status: Annotated[StatusSettings, Meta(description="Where the server tells how it is.")] = (
        StatusSettings()
    )
    log: Annotated[LogSettings, Meta(description="What is written down, and where.")] = LogSettings()
    hooks: Annotated[
        HookSettings,
        Meta(description="Functions of yours that are called when something happens, as module:function."),
    ] = HookSettings()
    statsd: Annotated[StatsdSettings, Meta(description="Numbers pushed to a statsd server.")] = (
        StatsdSettings()
    )
    dev: Annotated[DevSettings, Meta(description="Development, with `prefork --dev`.")] = DevSettings()


class Table(msgspec.Struct, frozen=True):
    """One table of the settings file."""

    name: str
    description: str
    struct: type[msgspec.Struct]
    options: Mapping[str, Option]
    whole: str = ""
    """The one option that takes all keys of the table, whatever they are called; empty: keys are options."""


_WHOLE = {"static": "places"}


@cache
def _tables() -> Mapping[str, Table]:
    hints = get_type_hints(Settings, include_extras=True)
    tables: dict[str, Table] = {}
    for name, hint in hints.items():
        struct: type[msgspec.Struct] = hint.__origin__
        meta: Meta = hint.__metadata__[0]
        tables[name] = Table(name, meta.description or "", struct, options_of(struct), _WHOLE.get(name, ""))
    return tables


if TYPE_CHECKING:
    TABLES: Mapping[str, Table]
    """The tables by name, in the order of the reference. Made when first asked for (PEP 562): zygotes do not ask."""
else:

    def __getattr__(name: str) -> Mapping[str, Table]:
        if name == "TABLES":
            return _tables()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def option(dotted: str) -> Option | None:
    """The option called "table.key"; None if there is none."""
    table, _, key = dotted.partition(".")
    return _tables()[table].options.get(key) if table in _tables() else None
