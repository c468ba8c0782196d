"""What a zygote imports, and when: each millisecond is part of every start and reload."""

from __future__ import annotations

import json

import pytest

from support.child import child

SCRIPT = """
    import json, sys
    before = set(sys.modules)
    from prefork.zygote import main
    main._import_ours()
    ours = sorted(set(sys.modules) - before)
    import prefork.settings.model as model
    has_tables = "TABLES" in vars(model) or bool(model._tables.cache_info().currsize)
    import re
    patterns = [f"{module}.{name}" for module in ours if module.startswith("prefork.settings")
                for name, value in vars(sys.modules[module]).items() if isinstance(value, re.Pattern)]
    from prefork.settings.load import load
    from prefork.settings.overrides import Override
    from prefork.worker.files import import_for
    given = [Override(dotted, value, "test") for dotted, value in json.loads(sys.argv[1]).items()]
    settings = load(overrides=[Override("app.target", "shop:app", "test"), *given]).settings
    before_hand = set(sys.modules)
    import_for(settings)
    added = sorted(set(sys.modules) - before_hand)
    print(json.dumps({"ours": ours, "has_tables": has_tables, "patterns": patterns, "added": added}))
"""


def imported(**settings: object) -> dict[str, list[str]]:
    with child(
        SCRIPT, json.dumps({key.replace("__", "."): value for key, value in settings.items()})
    ) as process:
        output = process.communicate()[0]
    found: dict[str, list[str]] = json.loads(output)
    return found


def test_what_only_some_servers_need_is_not_imported_by_all() -> None:
    found = imported()
    assert "prefork.worker.main" in found["ours"]
    assert not {"prefork.wsgi.static", "prefork.wsgi.handover", "prefork.http.conditional", "logging"} & set(
        found["ours"]
    )
    assert not found["has_tables"], "what settings mean is for the master and the command line"
    assert found["patterns"] == [], "nor are values checked here"
    assert found["added"] == []


@pytest.mark.parametrize(
    ("settings", "module"),
    [
        ({"static__/static": {"directory": "/usr"}}, "prefork.wsgi.static"),
        (
            {"server__sendfile_header": "X-Sendfile", "server__sendfile_paths": {"/protected": "/usr"}},
            "prefork.wsgi.handover",
        ),
    ],
)
def test_what_the_settings_ask_for_is_imported_before_the_fork(
    settings: dict[str, object], module: str
) -> None:
    assert module in imported(**settings)["added"]


TITLE = """
    import json, sys
    if sys.argv[1] == "package first":
        import setproctitle
    from prefork.title import setproctitle as ours
    logging = "logging" in sys.modules
    ours("first")
    first = open("/proc/self/cmdline").read().strip("\\0 ")
    import setproctitle
    known = setproctitle.getproctitle()
    setproctitle.setproctitle("second")
    second = open("/proc/self/cmdline").read().strip("\\0 ")
    print(json.dumps([logging, first, known, second]))
"""


@pytest.mark.parametrize("order", ["package first", "package later"])
def test_the_title_is_set_without_the_package_and_beside_it(order: str) -> None:
    with child(TITLE, order) as process:
        output = process.communicate()[0]
    assert json.loads(output)[1:] == ["first", "first", "second"]
