"""The message catalog: what `journalctl -x` adds to a line of the log.

Owns: the explanations. Runs in: cli. Must not know: how lines get into the journal.

Format: systemd's Journal Message Catalogs. @NAME@ is replaced by the field of the line.
"""

from __future__ import annotations

from prefork.observe.message_ids import MESSAGE_IDS

EXPLANATIONS: dict[str, tuple[str, str]] = {
    "boot_failed": (
        "The application does not start",
        "The server has ended with exit code 3, because the application could not be started.\n\n"
        "Stage: @PREFORK_STAGE@\nError: @PREFORK_ERROR@\n\n"
        "`prefork check -c FILE` tries the same without serving anything, and prints the traceback.",
    ),
    "reload_failed": (
        "A reload failed, the release before it goes on serving",
        "Nothing has changed for clients: generation @PREFORK_SERVING_GEN@ serves.\n\n"
        "Stage: @PREFORK_STAGE@\nError: @PREFORK_ERROR@\n\n"
        "Correct what is wrong, or put the release before it back, and reload again.",
    ),
    "reload_done": (
        "A new release serves",
        "All workers are of generation @PREFORK_GENERATION@. `prefork rollback` brings the one before back, as long as\n"
        "workers.rollback_window lasts.",
    ),
    "settings_refused": (
        "A setting cannot change while the server runs",
        "@PREFORK_PROBLEM@\n\nThe reload as a whole was refused. `systemctl restart` applies it.",
    ),
    "settings_invalid": (
        "The settings are wrong",
        "@PREFORK_PROBLEM@\n\n`prefork check -c FILE` lists everything that is wrong with them.",
    ),
    "worker_exited": (
        "A worker has ended",
        "Worker @PREFORK_WORKER@: @PREFORK_HOW@. The master replaces it.\n\n"
        "At level info it was asked to leave; at level error it crashed, and the line names the request it was answering.",
    ),
    "request_slow": (
        "A request takes long",
        "It goes on. The stack shows what its thread is doing; [requests] slow says from when on that is worth a line,\n"
        "[requests] timeout ends such requests.",
    ),
    "request_timeout": (
        "A request was interrupted",
        "It ran for longer than [requests] timeout without giving output. Its client was told 503; nobody else noticed.",
    ),
    "zygote_exited": (
        "The process that makes workers has ended",
        "Workers go on serving. Until a new one is up, none that dies can be replaced: the master starts one by itself.",
    ),
    "queue_full": (
        "Connections are turned away",
        "More wait at an address than its queue holds. More workers or threads, or a larger server.backlog (and\n"
        "net.core.somaxconn), help; with a socket unit it is Backlog= that counts.",
    ),
    "control_unavailable": (
        "There is no control socket",
        "Commands such as `prefork status` and `systemctl reload` need one. Under systemd RuntimeDirectory= gives it a place.",
    ),
    "certificate_warning": (
        "A certificate needs attention",
        "@PREFORK_PROBLEM@\n\nFiles of [tls] are read anew by a reload; copies made by LoadCredential= only by a restart.",
    ),
    "clock_jumped": (
        "The server stood still",
        "For @PREFORK_BY_S@ seconds: the machine was suspended, or had no processor time left. Time limits were moved.",
    ),
    "upgrade_failed": (
        "prefork was not upgraded",
        "The program that was running goes on.\n\nStage: @PREFORK_STAGE@\nError: @PREFORK_ERROR@",
    ),
}
"""Event -> subject, text."""


def catalog_text() -> str:
    """All of them that have a message id, for /usr/lib/systemd/catalog/ or /etc/systemd/catalog/."""
    entries = [
        "# To /etc/systemd/catalog/prefork.catalog, then `journalctl --update-catalog`.\n"
        "# Made by `prefork systemd-unit --catalog`.\n"
    ]
    for event, (subject, text) in EXPLANATIONS.items():
        if event in MESSAGE_IDS:
            head = f"-- {MESSAGE_IDS[event]}\nSubject: {subject}\nDefined-By: prefork\nDocumentation: man:prefork(1)\n"
            entries.append(f"{head}\n{text}\n")
    return "\n".join(entries)
