"""gunicorn.conf.py: read, never run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from prefork.errors import ConfigError
from prefork.migrate.pyconfig import depends_on_cpus, python_settings

OPTIONS = {"bind", "workers", "threads", "timeout", "raw_env", "accesslog", "reload", "post_fork", "keyfile"}


def read(text: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    given, notes = python_settings(text, "/srv/shop/gunicorn.conf.py", "/srv/shop", OPTIONS.__contains__)
    return {each.option: each.value for each in given}, [(note.place, note.text) for note in notes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("timeout = 60 * 5 + 2 ** 0 if False else 30", 30),
        ("timeout = -(-3)", 3),
        ("_a = 4\ntimeout = _a * 2", 8),
        ("timeout = 10\ntimeout += 5", 15),
        ("import os\ntimeout = int(os.environ.get('T', '90'))", 90),
        ("from os import getenv as e\ntimeout = int(e('T') or 7)", 7),
        ("import os\ntimeout = max(10, int(os.getenv('T', 3)))", 10),
        ("timeout: int = 9", 9),
        ("a, timeout = 1, 2", 2),
        ("timeout = {'live': 5}['live']", 5),
        ("timeout = {'live': 5}.get('x', 6)", 6),
        ("D = '/run'\ntimeout = f'{D}/x'", "/run/x"),
        ("timeout = '%s:%d' % ('a', 1)", "a:1"),
        ("timeout = '{}:{}'.format('a', 1)", "a:1"),
        ("timeout = ','.join(['a', 'b'])", "a,b"),
        ("import os.path\ntimeout = os.path.join(os.path.dirname(__file__), 'x')", "/srv/shop/x"),
        ("from pathlib import Path\ntimeout = str(Path(__file__).resolve().parent.parent / 'x')", "/srv/x"),
        ("import os\ntimeout = os.getcwd() + '/x'", "/srv/shop/x"),
        ("timeout = None", None),
        ("timeout = not 1", False),
        ("if 1 < 2 <= 3:\n    timeout = 1\nelse:\n    timeout = 2", 1),
    ],
)
def test_what_can_be_known_without_running(text: str, value: object) -> None:
    assert read(text) == ({"timeout": value}, [])


def test_lists_grow() -> None:
    found, notes = read(
        "raw_env = ['A=1']\nraw_env.append('B=2')\nraw_env += ['C=3']\nraw_env.extend(['D=4'])\n"
    )
    assert (found, notes) == ({"raw_env": ["A=1", "B=2", "C=3", "D=4"]}, [])


@pytest.mark.parametrize(
    "text",
    [
        "import multiprocessing\nworkers = multiprocessing.cpu_count() * 2 + 1",
        "from multiprocessing import cpu_count as n\nworkers = min(n() * 2 + 1, 8)",
        "import os\nworkers = (os.cpu_count() or 1) * 2",
        "import os\nworkers = len(os.sched_getaffinity(0))",
    ],
)
def test_numbers_that_depend_on_cpus(text: str) -> None:
    found, notes = read(text)
    assert notes == []
    assert depends_on_cpus(found["workers"])


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("import os\nkeyfile = os.environ['KEY']", "line 2", "environment variable KEY"),
        ("\n\nworkers = count()", "line 3", '"count", which is not known'),
        ("import shop\nworkers = shop.settings.WORKERS", "line 2", "would have to be imported"),
        ("from shop import workers", "line 1", "another module"),
        ("from shop.base import *", "line 1", "migrate that file too"),
        ("try:\n    import x\n    workers = 3\nexcept ImportError:\n    workers = 2", "line 3", "inside try"),
        ("for i in range(3):\n    workers = i", "line 2", "would have to be run"),
        (
            "import socket\nif socket.gethostname() == 'a':\n    workers = 8",
            "line 3",
            "depends on `if socket.gethostname() == 'a'`",
        ),
        ("workers = 1 / 0", "line 1", "ZeroDivisionError"),
        ("bind = 'x' * 10 ** 10", "line 1", ""),
        ("workers = 9 ** 9 ** 9", "line 1", ""),
        ("bind = '{:>999999999}'.format('x')", "line 1", ""),
        ("workers = [i for i in range(3)]", "line 1", "not a constant"),
        ("workers = (lambda: 3)()", "line 1", ""),
        ("workers = 'a'.__class__", "line 1", ""),
        ("workers = '{0.__class__}'.format(1)", "line 1", ""),
        ("workers = " + "-" * 5000 + "1", "", ""),
    ],
)
def test_what_cannot_be_known_is_told_with_its_line(text: str, place: str, words: str) -> None:
    try:
        found, notes = read(text)
    except ConfigError as error:
        assert "is not Python" in str(error)
        return
    assert found == {}
    assert len(notes) == 1, notes
    assert notes[0][0] == place or not place
    assert words in notes[0][1]


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    lines = [
        f"import os\nos.system('touch {trap}')",
        f"open({str(trap)!r}, 'w')",
        f"workers = __import__('os').system('touch {trap}')",
        f"exec({f'open({str(trap)!r}, 1)'!r})",
        f"trap = {str(trap)!r}\nbind = f'{{open(trap, 1)}}'",
        f"raw_env = [str(open({str(trap)!r}, 'w'))]",
        f"import subprocess\ntimeout = len(subprocess.check_output(['touch', {str(trap)!r}]))",
    ]
    before = dict(os.environ)
    for line in [*lines, "\n".join(lines)]:
        read(line)
    assert not trap.exists()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("text", "place"),
    [("workers =\n", "line 1"), ("a = 1\n  b = 2", "line 2"), ("x = '\0'", "is not Python")],
)
def test_mistakes_have_a_place(text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        read(text)


def test_hooks_are_found() -> None:
    found, notes = read("def post_fork(server, worker):\n    import os\n    workers = 9\n")
    assert list(found) == ["post_fork"]
    assert notes == []
