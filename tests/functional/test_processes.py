"""The processes of a server: what they are called, who they run as, what they inherit, where the app is imported."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import processes
from support.server import Server, ServerFactory


def titles(server: Server) -> list[str]:
    return sorted(processes.command_line(process.pid) for process in processes.of_session(server.pid))


def test_every_process_says_what_it_is(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2, settings={"server": {"name": "shop"}})
    expected = [
        "prefork: master [shop]",
        "prefork: worker 1 gen 1 [shop]",
        "prefork: worker 2 gen 1 [shop]",
        "prefork: zygote gen 1 [shop]",
    ]
    assert titles(server) == expected
    server.reload()
    server.wait_for_workers(2, gen=2)
    assert [title for title in titles(server) if "gen 2" in title] == [
        "prefork: worker 1 gen 2 [shop]",
        "prefork: worker 2 gen 2 [shop]",
        "prefork: zygote gen 2 [shop]",
    ]


def write_application(folder: Path, body: str = "") -> None:
    """An application that says in which process it was imported."""
    (folder / "where.py").write_text(
        f"import os\n{body}\nIMPORTED_IN = os.getpid()\n\n\n"
        "def app(environ, start_response):\n"
        "    text = f'{IMPORTED_IN} {os.getpid()}'.encode()\n"
        "    start_response('200 OK', [('Content-Length', str(len(text)))])\n"
        "    return [text]\n"
    )


THREAD = (
    "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()"
)


@pytest.mark.parametrize(
    ("preload", "body", "shared"),
    [("auto", "", True), ("always", "", True), ("never", "", False), ("auto", THREAD, False)],
    ids=["auto", "always", "never", "auto with a thread"],
)
def test_preload_decides_where_the_application_is_imported(
    serve: ServerFactory, tmp_path: Path, preload: str, body: str, shared: bool
) -> None:
    write_application(tmp_path, body)
    server = serve("where:app", settings={"app": {"path": [str(tmp_path)], "preload": preload}})
    imported_in, answered_in = map(int, server.get("/").body.split())
    assert answered_in in server.workers()
    assert (imported_in != answered_in) is shared
    if body:
        assert "poller" in server.wait_for_event("not_preloaded")["found"]


def descriptors(pid: int) -> list[str]:
    return sorted(
        re.sub(r"\d{2,}", "N", str(entry.readlink())) for entry in Path(f"/proc/{pid}/fd").iterdir()
    )


def test_a_worker_holds_only_its_own_descriptors(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    for pid in server.workers():
        held = descriptors(pid)
        assert held.count("socket:[N]") == 2, f"one listener and the channel to the master: {held}"
        assert held.count("anon_inode:[eventpoll]") == 1, held


def test_a_generation_leaves_no_descriptor_behind_in_the_master(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    server.reload()
    server.wait_for_workers(2, gen=2)
    before = descriptors(server.pid)
    for number in (3, 4, 5):
        assert server.reload() == number
        server.wait_for_workers(2, gen=number)
    assert descriptors(server.pid) == before


def may_use_this_python(user: str) -> bool:
    """Whether the files of this Python and of prefork are open to that user; in root's home they are not."""
    try:
        return not subprocess.run(
            [sys.executable, "-c", "import prefork.demo"], user=user, check=False
        ).returncode
    except PermissionError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("who", ["user", "group"])
def test_only_the_master_stays_root(serve: ServerFactory, who: str) -> None:
    nobody = pwd.getpwnam("nobody")
    if who == "user" and not may_use_this_python("nobody"):
        pytest.skip("the files of this Python are closed to the user nobody")
    identity = {"user": "nobody"} if who == "user" else {"group": str(nobody.pw_gid)}
    settings = {"server": {**identity, "umask": "0027"}, "app": {"path": None}}
    server = serve("prefork.demo:app", settings=settings)
    assert server.get("/").status == 200
    uid = str(nobody.pw_uid) if who == "user" else "0"
    for process in processes.of_session(server.pid):
        status = Path(f"/proc/{process.pid}/status").read_text()
        ids = [set(re.findall(rf"^{name}:(.*)$", status, re.MULTILINE)[0].split()) for name in ("Uid", "Gid")]
        if process.pid == server.pid:
            assert ids == [{"0"}, {"0"}]
        else:
            assert ids == [{uid}, {str(nobody.pw_gid)}]
            assert "Umask:\t0027" in status
