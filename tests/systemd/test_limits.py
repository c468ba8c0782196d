"""A service at its limits: a master that does not stop, and what only newer versions of systemd offer."""

from __future__ import annotations

import pytest

from support.box import Box
from support.service import Service


def test_a_master_that_does_not_stop_is_ended_with_all_it_has(service: Service) -> None:
    """The unit's limit holds, for its workers too: who asks for no more time gets none."""
    # A signal that nobody minds. (A SIGSTOP would not do: SIGCONT comes with what systemd ends a service with.)
    service.install(TimeoutStopSec="1", KillSignal="SIGURG")
    service.systemctl("start")
    assert service.get().startswith("1 ")
    service.systemctl("stop")
    assert service.show("Result") == "timeout" and service.show("ActiveState") == "failed"
    assert service.box.run("pgrep", "-f", "prefork: ", check=False).stdout == ""
    # And nothing that it left is in the way of the next one.
    service.systemctl("start")
    assert service.get().startswith("1 ")


def needs(box: Box, version: int, what: str) -> None:
    if box.version < version:
        pytest.skip(
            f"{what}: systemd {version} or newer, here is {box.version} (PREFORK_TEST_SYSTEMD=DIRECTORY)"
        )


@pytest.fixture
def has_notify_reload(box: Box) -> None:
    needs(box, 253, "Type=notify-reload")


@pytest.fixture
def has_preserve(box: Box) -> None:
    needs(box, 254, "FileDescriptorStorePreserve=yes")


@pytest.mark.usefixtures("has_notify_reload")
def test_a_reload_by_signal_of_systemd_itself(service: Service) -> None:
    # Without ExecReload= systemd sends ReloadSignal=, SIGHUP, and waits for RELOADING and READY.
    service.install(Type="notify-reload", ExecReload="")
    service.systemctl("start")
    service.release(2)
    service.systemctl("reload")
    assert service.get().startswith("2 ") and service.show("ActiveState") == "active"
    # It has no word for failure, but it is not left waiting, and the reason is there.
    service.release(3, "import no_such_module_anywhere")
    service.systemctl("reload")
    assert service.get().startswith("2 ") and service.show("ActiveState") == "active"
    assert "the last reload failed (import)" in service.status


@pytest.mark.usefixtures("has_preserve")
def test_sockets_are_kept_over_a_stop(service: Service) -> None:
    service.install(FileDescriptorStorePreserve="yes")
    # systemd forgets a stopped unit that nothing wants, and its sockets; `systemctl enable` is enough.
    service.box.run("systemctl", "add-wants", "box.target", "prefork")
    service.systemctl("start")
    with service.knocking() as knocking:
        service.systemctl("stop")
        assert service.show("NFileDescriptorStore") == "1"
        service.systemctl("start")
    knocking.assert_all_answered()
    service.systemctl("stop")
    service.box.run("systemctl", "clean", "--what=fdstore", "prefork")
    assert service.show("NFileDescriptorStore") == "0"
