"""Stacks as faulthandler writes them, and what `prefork stacks` makes of them."""

from __future__ import annotations

import faulthandler
import tempfile
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.cli.stacks import heading, lines, read
from prefork.cli.threads import Thread, threads_of
from prefork.ipc.control import Stack

from .canned import running

OWN = "/usr/lib/python3/site-packages/prefork"
PYTHON = "/usr/lib/python3.11"

TEXT = f"""\
Thread 0x00007f01 [prefork-1] (most recent call first):
  File "/srv/shop/bäsket.py", line 30 in add
  File "/srv/shop/app.py", line 8 in app
  File "{OWN}/wsgi/handler.py", line 56 in run_wsgi
  File "{OWN}/worker/executors.py", line 175 in _work
  File "{PYTHON}/threading.py", line 982 in run
  File "{PYTHON}/threading.py", line 1002 in _bootstrap

Thread 0x00007f02 (most recent call first):
  File "{OWN}/worker/executors.py", line 173 in _work
  File "{PYTHON}/threading.py", line 982 in run

Thread 0x00007f03 (most recent call first):
  File "/srv/shop/metrics.py", line 5 in push
  File "{PYTHON}/threading.py", line 982 in run

Thread 0x00007f04 (most recent call first):
  File "{OWN}/wsgi/input.py", line 9 in read
  File "/srv/shop/app.py", line 9 in upload
  File "{OWN}/worker/executors.py", line 175 in _work

Thread 0x00007f05 (most recent call first):
  <no Python frame>

Current thread 0x00007f06 (most recent call first):
  File "{OWN}/worker/loop.py", line 104 in run
  File "{OWN}/worker/main.py", line 151 in _serve
  File "<string>", line 15 in <module>

Extension modules: _speedups (total: 1)
"""

RUNNING = [
    running("POST /basket HTTP/1.1", 3.0, ident=0x7F01, thread=1),
    running("PUT /upload HTTP/1.1", 9.0, ident=0x7F04, thread=3),
    running("GET /gone HTTP/1.1", 0.0, ident=0x7F02, thread=2),
]


def by_ident(found: list[Thread]) -> dict[int, Thread]:
    return {thread.ident: thread for thread in found}


def test_each_thread_has_a_role_and_its_request() -> None:
    found = by_ident(threads_of(TEXT, RUNNING))
    assert {ident: (each.role, each.idle) for ident, each in found.items()} == {
        0x7F01: ("pool", False),
        0x7F02: ("pool", True),
        0x7F03: ("other", False),
        0x7F04: ("pool", False),
        0x7F05: ("other", False),
        0x7F06: ("loop", True),
    }
    assert found[0x7F01].name == "prefork-1"
    assert found[0x7F01].request == RUNNING[0]
    assert found[0x7F02].request is None, "it waits, so the request was over or not begun"
    assert found[0x7F05].frames[0].function == "<no Python frame>"


def test_the_longest_request_comes_first_and_who_waits_last() -> None:
    assert [each.ident for each in threads_of(TEXT, RUNNING)] == [
        *(0x7F04, 0x7F01, 0x7F03, 0x7F05),
        *(0x7F02, 0x7F06),
    ]


def test_what_a_person_reads() -> None:
    stack = Stack(worker=1, pid=7, generation=2, text=TEXT, running=RUNNING)
    assert list(lines(read(stack))) == [
        "thread 3, 9.0s: PUT /upload HTTP/1.1, from 192.0.2.7",
        f'    File "{OWN}/wsgi/input.py", line 9 in read',
        '    File "/srv/shop/app.py", line 9 in upload',
        "    ... called by prefork (1 frames)",
        "thread 1, 3.0s: POST /basket HTTP/1.1, from 192.0.2.7",
        '    File "/srv/shop/bäsket.py", line 30 in add',
        '    File "/srv/shop/app.py", line 8 in app',
        "    ... called by prefork (4 frames)",
        "another thread (0x7f03), not prefork's",
        '    File "/srv/shop/metrics.py", line 5 in push',
        "    ... called by prefork (1 frames)",
        "another thread (0x7f05), not prefork's",
        "    <no Python frame>",
        "1 thread waits for a request",
        "the loop waits for clients",
    ]
    everything = "\n".join(lines(read(stack), everything=True))
    for line in TEXT.splitlines():
        if line.startswith("  "):
            assert f"  {line}" in everything


def test_inline_the_loop_runs_the_application() -> None:
    text = TEXT.replace(
        f'most recent call first):\n  File "{OWN}/worker/loop.py"',
        f'most recent call first):\n  File "/srv/a.py", line 1 in app\n  File "{OWN}/worker/loop.py"',
    )
    found = by_ident(threads_of(text, [running(ident=0x7F06)]))[0x7F06]
    assert (found.role, found.idle) == ("loop", False)
    assert found.request is not None


def test_no_text_is_a_reason() -> None:
    assert list(lines(read(Stack(worker=1, pid=7, generation=1, error="no answer")))) == ["no answer"]


def test_texts_of_an_application_are_harmless() -> None:
    request = running("GET /\x1b]0;x\x07 HTTP/1.1", client="\x1b[1m")
    thread = Thread(ident=1, role="pool", idle=False, request=request, frames=[])
    assert "\x1b" not in heading(thread)
    assert "\x07" not in heading(thread)


def stack_of_this_process() -> str:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode()


def test_it_reads_what_this_interpreter_writes() -> None:
    """Whatever its version: the headings differ."""
    entered, leave = threading.Event(), threading.Event()

    def elsewhere() -> None:
        entered.set()
        leave.wait()

    other = threading.Thread(target=elsewhere)
    other.start()
    try:
        entered.wait()
        found = by_ident(threads_of(stack_of_this_process()))
    finally:
        leave.set()
        other.join()
    assert other.ident is not None
    assert "elsewhere" in [frame.function for frame in found[other.ident].frames]
    mine = found[threading.get_ident()].frames
    assert mine[0].function == "stack_of_this_process"
    assert mine[0].file == __file__
    assert mine[0].line > 0


@given(
    st.text(alphabet=st.sampled_from('Thread 0x7f (most recent call first):\n  File "a", line 1 in b???<>'))
)
def test_any_text_is_read_somehow(text: str) -> None:
    for thread in threads_of("Thread 0x1 (most recent call first):\n" + text, [running(ident=1)]):
        assert heading(thread)


def test_stacks_of_an_older_server_have_no_requests() -> None:
    old = b'{"worker":1,"pid":2,"generation":3,"text":"","error":"x"}'
    assert msgspec.json.decode(old, type=Stack).running == []


@pytest.mark.parametrize("line", ["  File x", '  File "a\\"b", line 7 in <lambda>', "    "])
def test_odd_lines_are_kept(line: str) -> None:
    (thread,) = threads_of(f"Thread 0x1 (most recent call first):\n{line}\n")
    assert len(thread.frames) == 1
