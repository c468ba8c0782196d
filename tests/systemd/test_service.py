"""prefork as a service of a real systemd: what `systemctl` says is what happens, and nobody is refused."""

from __future__ import annotations

import json
import os

import pytest

from prefork.observe.message_ids import MESSAGE_IDS
from prefork.variables import FROM_SYSTEMD
from support.box import PREFORK
from support.deadline import SLOWNESS, Deadline, eventually
from support.measured import Measured
from support.service import UNITS, Service

ROUNDS = int(os.environ.get("PREFORK_SYSTEMD_ROUNDS", "2"))
"""Restarts and reloads under load; `make systemd-test` has 20 of each."""


def test_it_is_up_when_systemctl_says_so_and_gone_when_it_says_so(service: Service) -> None:
    # Ordered after the service, and the first thing it does is ask it.
    reader = "[Unit]\nRequires=prefork.service\nAfter=prefork.service\n[Service]\nType=oneshot\n"
    service.box.write(
        f"{UNITS}/reader.service", f"{reader}ExecStart=/usr/bin/curl -sf http://127.0.0.1:8000/\n"
    )
    service.systemctl("daemon-reload")
    service.systemctl("start", "reader.service")
    assert service.status.startswith("generation 1 serves: 2 workers")
    release, uid, _ = service.get().split()
    assert release == "1"
    assert int(uid) >= 61184, "DynamicUser= takes from there (systemd.exec(5))"
    assert not set(FROM_SYSTEMD) & set(service.get("/environ").split())
    # Root's own commands find it.
    status = json.loads(service.prefork("status", "--json").stdout)
    assert status["pid"] == int(service.pid) and status["state"] == "serving"
    journal = [json.loads(line) for line in service.journal("-o", "json").splitlines()]
    (ready,) = [entry for entry in journal if entry.get("MESSAGE_ID") == MESSAGE_IDS["ready"]]
    assert ready["PREFORK_EVENT"] == "ready" and ready["PREFORK_WORKERS"] == "2" and ready["PRIORITY"] == "6"
    service.systemctl("stop")
    assert service.show("Result") == "success" and service.show("ExecMainStatus") == "0"
    assert service.get(check=False) == ""
    assert service.box.run("pgrep", "-f", "prefork: ", check=False).stdout == ""


def test_a_broken_application_fails_the_start(service: Service) -> None:
    service.install(Restart="no")
    service.release(1, "import no_such_module_anywhere")
    assert service.systemctl("start", check=False).returncode != 0
    assert service.show("ExecMainStatus") == "3"
    assert (
        "the application does not start (import)" in service.status
        and "no_such_module_anywhere" in service.status
    )


def test_wrong_settings_are_not_tried_again(service: Service) -> None:
    service.configure(workers={"count": 0})
    assert service.systemctl("start", check=False).returncode != 0
    assert service.show("ExecMainStatus") == "78" and service.show("NRestarts") == "0"
    assert service.status.startswith("did not start: ") and "[workers] count = 0" in service.status


def test_an_address_in_use_is_named_with_its_number_and_waited_for(service: Service) -> None:
    service.install(RestartSec="100ms")
    with service.holding(8000):
        service.systemctl("start", check=False)
        # One look for both: the next attempt begins with neither.
        told = ("StatusErrno=98", "cannot listen on 127.0.0.1:8000: the address is in use")
        look = ("systemctl", "show", "prefork", "-p", "StatusText", "-p", "StatusErrno")
        eventually(lambda: all(each in service.box.run(*look).stdout for each in told), "the reason")
    service.box.wait_for("prefork", "ActiveState", "active")
    assert service.get().startswith("1 ")


def test_a_reload_tells_how_it_went(service: Service) -> None:
    service.systemctl("start")
    pid = service.pid
    service.release(2)
    service.systemctl("reload")
    assert service.get().startswith("2 ") and service.status.startswith("generation 2 serves")
    service.release(3, "import no_such_module_anywhere")
    failed = service.systemctl("reload", check=False)
    assert failed.returncode != 0
    assert service.show("ActiveState") == "active" and service.get().startswith("2 ")
    assert "the last reload failed (import)" in service.status and "no_such_module_anywhere" in service.status
    assert "no_such_module_anywhere" in service.systemctl("status", check=False).stdout
    service.configure(workers={"count": "none"})
    assert service.systemctl("reload", check=False).returncode != 0
    assert "[workers] count" in service.status
    # What is right again heals it; a plain signal does the same, and systemd sees it begin and end.
    service.configure()
    service.release(4)
    service.kill(pid, "HUP")
    service.box.wait_for("prefork", "SubState", "running")
    service.prefork("reload", "--wait")
    assert service.get().startswith("4 ") and "failed" not in service.status
    assert service.pid == pid and service.show("NRestarts") == "0"


def test_nobody_is_refused_by_restarts_reloads_and_crashes(service: Service, measured: Measured) -> None:
    """Sockets that prefork bound itself: TCP, and a file beside the control socket."""
    path = "/run/prefork/site.sock"
    service.configure(server={"listen": ["127.0.0.1:8000", {"address": f"unix:{path}", "mode": "0666"}]})
    service.systemctl("start")
    assert service.show("NFileDescriptorStore") == "2"
    with service.knocking() as tcp, service.knocking(path) as unix:
        for _ in range(ROUNDS):
            service.systemctl("restart")
        for _ in range(ROUNDS):
            service.systemctl("reload")
        # A broken deploy: the command fails, the reason is there, and nobody else notices.
        service.release(2, "import no_such_module_anywhere")
        assert service.systemctl("reload", check=False).returncode != 0
        assert "no_such_module_anywhere" in service.systemctl("status").stdout
    for name, each in (("TCP", tcp), ("unix", unix)):
        each.assert_all_answered(ROUNDS)
        measured(
            f"{ROUNDS} restarts, {ROUNDS} reloads and a broken deploy, kept {name} socket: {each.result}"
        )
    assert "kept by systemd" in service.journal()
    service.release(1)
    # A crash costs the requests that run, and no connection.
    with service.knocking() as tcp:
        pid = service.pid
        service.kill(pid, "KILL")
        service.box.wait_for("prefork", "NRestarts", "1")
        service.box.wait_for("prefork", "ActiveState", "active")
        assert service.get().startswith("1 ") and service.pid != pid
    assert tcp.result["refused"] == 0
    measured(f"kill -9 of the master, kept socket: {tcp.result}")
    assert service.show("NFileDescriptorStore") == "2"
    service.systemctl("stop")
    assert service.show("NFileDescriptorStore") == "0"


def test_a_worker_that_is_killed_is_the_masters_business(service: Service) -> None:
    service.systemctl("start")
    pid = service.get().split()[2]
    service.kill(pid, "KILL")
    deadline = Deadline()
    while pid in (workers := service.worker_pids()) or len(workers) != 2:
        assert not deadline.passed, workers
        deadline.pause()
    assert service.show("NRestarts") == "0" and service.show("ActiveState") == "active"


def test_a_listener_that_is_given_up_is_not_kept(service: Service) -> None:
    service.configure(server={"listen": ["127.0.0.1:8000", "0.0.0.0:8001"]})
    service.systemctl("start")
    assert service.show("NFileDescriptorStore") == "2"
    service.configure()
    service.systemctl("reload")
    service.box.wait_for("prefork", "NFileDescriptorStore", "1")
    # An address that covers the one that is kept: systemd has to let go before it can be had.
    service.configure(server={"listen": ["0.0.0.0:8000"]})
    service.systemctl("restart")
    assert service.show("NFileDescriptorStore") == "1" and service.get().startswith("1 ")
    assert "0.0.0.0:8000" in service.prefork("status").stdout


def test_a_master_that_hangs_is_found(service: Service) -> None:
    watchdog_s = round(3 * SLOWNESS)
    service.install(WatchdogSec=watchdog_s, TimeoutAbortSec="1")
    service.systemctl("start")
    pid, begin = service.pid, int(service.show("WatchdogTimestampMonotonic"))
    # It lives for longer than that, by the signs of life that its loop gives.
    deadline = Deadline()
    while int(service.show("WatchdogTimestampMonotonic")) < begin + watchdog_s * 1e6:
        assert service.pid == pid and not deadline.passed
        deadline.pause()
    service.kill(pid, "STOP")
    service.box.wait_for("prefork", "NRestarts", "1")
    service.box.wait_for("prefork", "ActiveState", "active")
    assert service.pid != pid and service.get().startswith("1 ")
    assert "watchdog" in service.journal().lower()
    # What systemd ends it with leaves its stack in the journal.
    service.kill(service.pid, "ABRT")
    service.box.wait_for("prefork", "NRestarts", "2")
    assert "supervisor.py" in service.journal()


def test_orders_in_the_middle_of_others(service: Service) -> None:
    slow = "import time; time.sleep(60)"
    service.release(1, slow)
    service.box.run("systemctl", "start", "--no-block", "prefork")
    service.box.wait_for("prefork", "StatusText", "starting: the application is imported")
    service.systemctl("stop")
    assert service.show("Result") == "success" and service.show("ActiveState") == "inactive"
    service.release(1)
    service.systemctl("start")
    service.release(2, slow)
    service.box.run("systemctl", "reload", "--no-block", "prefork")
    service.box.wait_for("prefork", "ActiveState", "reloading")
    assert service.get().startswith("1 ")
    service.release(3)
    service.systemctl("restart")
    assert service.show("ActiveState") == "active" and service.get().startswith("3 ")


def test_slow_boots_reloads_and_stops_get_their_time(service: Service) -> None:
    limit_s = round(3 * SLOWNESS)
    slow = f"import time; time.sleep({limit_s + 1})"
    service.install(TimeoutStartSec=limit_s, TimeoutStopSec="1", Restart="no")
    service.release(1, slow)
    service.systemctl("start")
    assert service.get().startswith("1 ")
    service.release(2, slow)
    service.systemctl("reload")
    assert service.get().startswith("2 ")
    asking = service.box.start("curl", "-sf", "http://127.0.0.1:8000/slow")
    while not any(
        worker["busy"] for worker in json.loads(service.prefork("status", "--json").stdout)["workers"]
    ):
        assert asking.poll() is None, "it is answered already"
    service.systemctl("stop")
    assert asking.communicate()[0].startswith("2 ")
    assert service.show("Result") == "success"


def test_an_upgrade_keeps_what_systemd_knows(service: Service) -> None:
    service.install(WatchdogSec="4")
    service.systemctl("start")
    pid = service.pid
    with service.knocking() as knocking:
        service.prefork("upgrade")
        service.systemctl("reload")
    knocking.assert_all_answered()
    assert (
        service.pid == pid
        and service.show("NRestarts") == "0"
        and service.show("NFileDescriptorStore") == "1"
    )
    assert service.status.startswith("generation 3 serves")
    with service.knocking() as knocking:
        service.systemctl("restart")
    knocking.assert_all_answered()


# -- socket units ------------------------------------------------------------------------------------------------------


def test_socket_units(service: Service, measured: Measured) -> None:
    """Port 80 without any right to it, a unix socket for a group, and nobody refused whatever happens behind it."""
    group = {"address": "unix:/run/site.sock", "mode": "0660", "group": "www-data"}
    service.configure(server={"listen": ["127.0.0.1:80", group]})
    service.install("--socket")
    service.configure(server={"listen": "systemd"})
    service.install()
    service.systemctl("start", "prefork.socket")
    assert service.box.run("stat", "-c", "%a %G", "/run/site.sock").stdout == "660 www-data\n"
    # The first connection starts the service.
    assert service.get(where="127.0.0.1:80").startswith("1 ")
    assert service.show("NFileDescriptorStore") == "0", "these are systemd's own"
    with service.knocking("127.0.0.1:80") as tcp, service.knocking("/run/site.sock") as unix:
        for _ in range(ROUNDS):
            service.systemctl("restart")
        for _ in range(ROUNDS):
            service.systemctl("reload")
        service.prefork("upgrade")
    for name, each in (("TCP", tcp), ("unix", unix)):
        each.assert_all_answered(ROUNDS)
        measured(f"{ROUNDS} restarts, {ROUNDS} reloads and an upgrade, {name} socket unit: {each.result}")
    with service.knocking("127.0.0.1:80") as tcp:
        restarts = service.show("NRestarts")
        service.kill(service.pid, "KILL")
        service.box.wait_for("prefork", "NRestarts", str(int(restarts) + 1))
        service.box.wait_for("prefork", "ActiveState", "active")
    assert tcp.result["refused"] == 0
    measured(f"kill -9 of the master, socket unit: {tcp.result}")
    # A reload that forgets one of them would leave it to nobody.
    service.configure(server={"listen": ["127.0.0.1:80"]})
    assert service.systemctl("reload", check=False).returncode != 0
    assert "unix:/run/site.sock" in service.status and "has no entry for it" in service.status
    service.systemctl("stop")
    assert service.box.run("test", "-S", "/run/site.sock").returncode == 0, "never removed by us"


def test_sockets_by_name(service: Service) -> None:
    service.configure(server={"listen": ["127.0.0.1:8080", {"address": "127.0.0.1:8443", "name": "admin"}]})
    service.install("--socket")
    service.install("--socket", "admin")
    listen = [{"address": "systemd", "name": "admin"}, {"address": "127.0.0.1:9999", "name": "http"}]
    service.configure(server={"listen": listen})
    service.systemctl("start", "prefork.socket")
    service.systemctl("start", "prefork-admin.socket")
    service.systemctl("start")
    assert service.get(where="127.0.0.1:8080").startswith("1 ") and service.get(
        where="127.0.0.1:8443"
    ).startswith("1 ")
    assert service.get(where="127.0.0.1:9999", check=False) == ""


def test_instances(service: Service) -> None:
    for name, port in (("one", 8101), ("two", 8102)):
        log = {"access": f"/var/log/prefork-{name}/access.log"}
        service.configure(name, server={"listen": [f"127.0.0.1:{port}"]}, log=log)
    service.box.run(PREFORK, "systemd-unit", "--instance", "-o", UNITS)
    service.systemctl("daemon-reload")
    service.systemctl("start", "prefork@one")
    service.systemctl("start", "prefork@two")
    first, second = (service.get(where=f"127.0.0.1:{port}").split()[1] for port in (8101, 8102))
    assert first != second, "each has a user of its own"
    logged = service.box.run(
        "tail", "-n", "+1", *(f"/var/log/prefork-{name}/access.log" for name in ("one", "two"))
    )
    assert logged.stdout.count('"GET / HTTP/1.1" 200') == 2, "and a directory for log files"
    service.systemctl("reload", "prefork@two")
    assert service.box.show("prefork@two", "StatusText").startswith("generation 2 ")
    assert service.box.show("prefork@one", "StatusText").startswith("generation 1 ")
    assert "generation 1" in service.box.run(PREFORK, "status", "-c", "/etc/prefork/one.toml").stdout
    service.systemctl("stop", "system-prefork.slice")
    assert (
        service.get(where="127.0.0.1:8101", check=False)
        == service.get(where="127.0.0.1:8102", check=False)
        == ""
    )


@pytest.mark.parametrize("target", ["flask_app:app", "django_app:app"])
def test_frameworks_in_the_strictest_sandbox(service: Service, target: str) -> None:
    pytest.importorskip(target.partition("_")[0])
    service.configure(app={"target": target, "chdir": "/srv/apps"}, server={"listen": "systemd"})
    service.install("--socket")
    for name in ("hardened", "offline"):
        text = service.box.run(PREFORK, "systemd-unit", f"--{name}").stdout
        service.box.write(f"{UNITS}/prefork.service.d/{name}.conf", text)
    service.install()
    service.systemctl("start", "prefork.socket")
    service.systemctl("start")
    assert service.get()
    service.systemctl("reload")
    assert service.get()
