"""Names to ids, and privileges that are gone for good. The drops are real, in processes of their own."""

from __future__ import annotations

import grp
import json
import os
import pwd

import msgspec
import pytest

from prefork import identity
from prefork.errors import ConfigError
from prefork.identity import Identity, login_environment, resolve
from support.child import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NOBODY = pwd.getpwnam("nobody")


def as_nobody() -> str:
    return "import os; os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)"


def drop(user: str | None, group: str | None, before: str = "") -> dict[str, list[int]]:
    """What a process has after it became `user` and `group`."""
    script = f"""
import json, os, sys
from prefork.identity import resolve
identity = resolve(*json.loads(sys.argv[1]))
{before}
umask = os.umask(0o027)
identity.drop()
print(json.dumps({{
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "umask": [os.umask(0)]
}}))
"""
    result: dict[str, list[int]] = json.loads(run(script, json.dumps([user, group])))
    return result


def free_id() -> int:
    """A number that no account and no group has."""
    number = 54321
    while True:
        try:
            pwd.getpwuid(number)
        except KeyError:
            try:
                grp.getgrgid(number)
            except KeyError:
                return number
        number += 1


def test_nothing_asked_for_changes_nothing() -> None:
    found = resolve(None, None)
    assert found == Identity()
    assert found.is_current
    found.drop()


@needs_root
def test_a_user_brings_its_group_and_groups() -> None:
    found = resolve("nobody", None)
    assert found == Identity(NOBODY.pw_uid, NOBODY.pw_gid, tuple(os.getgrouplist("nobody", NOBODY.pw_gid)))
    assert not found.is_current
    assert resolve(str(NOBODY.pw_uid), None) == found


@needs_root
def test_supplementary_groups_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 7, 8] if name == "nobody" else [])
    assert resolve("nobody", "12").groups == (12, 7, 8)


@needs_root
def test_drop() -> None:
    nobody = NOBODY.pw_uid
    after = drop("nobody", None)
    assert after == {
        "uid": [nobody] * 3,
        "gid": [NOBODY.pw_gid] * 3,
        "groups": sorted(os.getgrouplist("nobody", NOBODY.pw_gid)),
        "umask": [0o027],
    }


@needs_root
def test_drop_to_another_group() -> None:
    group = grp.getgrnam("daemon")
    assert drop("nobody", "daemon")["gid"] == [group.gr_gid] * 3
    assert group.gr_gid in drop("nobody", "daemon")["groups"]


@needs_root
def test_drop_to_numbers_without_an_account() -> None:
    number = free_id()
    after = drop(str(number), str(number))
    assert (after["uid"], after["gid"], after["groups"]) == ([number] * 3, [number] * 3, [number])


@needs_root
def test_only_a_group_keeps_the_user() -> None:
    after = drop(None, "daemon")
    assert after["uid"] == [0, 0, 0]
    assert after["gid"] == [grp.getgrnam("daemon").gr_gid] * 3


@needs_root
def test_roots_own_groups_do_not_survive() -> None:
    assert 4242 not in drop("nobody", None, before="os.setgroups([0, 4242])")["groups"]


@needs_root
def test_a_saved_root_is_a_change_too() -> None:
    """setuid(2) of a process that is root only by its effective or saved id would leave a way back."""
    before = "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 0, 0)"
    assert drop("65534", "65534", before)["uid"] == [65534] * 3


@needs_root
def test_root_cannot_be_regained() -> None:
    script = """
        import os
        from prefork.identity import resolve
        resolve("nobody", None).drop()
        ways = [lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0]),
                lambda: os.setgid(0)]
        for way in ways:
            try:
                way()
            except PermissionError:
                continue
            raise SystemExit("regained")
    """
    run(script)


@needs_root
def test_a_way_back_is_noticed() -> None:
    """With the capability kept (SECBIT_NO_SETUID_FIXUP: capabilities(7)) a new user id gives up nothing."""
    script = """
        import ctypes
        from prefork.errors import BootError
        from prefork.identity import resolve
        PR_SET_SECUREBITS, NO_SETUID_FIXUP = 28, 1 << 2
        assert ctypes.CDLL(None).prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) == 0
        try:
            resolve("nobody", None).drop()
        except BootError as error:
            print(error.stage, error)
    """
    expected = (
        f"privileges became user id {NOBODY.pw_uid}, group id {NOBODY.pw_gid}, but could become root again;"
    )
    assert run(script).startswith(expected)


@needs_root
def test_what_cannot_be_dropped_is_an_error_of_the_boot() -> None:
    script = f"""
import os
from prefork.errors import BootError
from prefork.identity import resolve
identity = resolve("daemon", None)
{as_nobody()}
try:
    identity.drop()
except BootError as error:
    print(error.stage, error)
"""
    daemon = pwd.getpwnam("daemon")
    expected = f"privileges cannot become user id {daemon.pw_uid}, group id {daemon.pw_gid}: Operation not permitted\n"
    assert run(script) == expected


@needs_root
@pytest.mark.parametrize(
    ("user", "group", "printed"),
    [
        (
            "'daemon'",
            "None",
            "server.user = 'daemon': only root can switch to it, and this runs as user id 65534;",
        ),
        ("None", "'daemon'", "server.group = 'daemon': only root can switch to it"),
        ("'65534'", "'daemon'", "server.group = 'daemon': only root can switch to it"),
        ("'root'", "None", "server.user = 'root': only root can switch to it"),
        ("'65534'", "'65534'", "current"),
        ("None", "None", "current"),
    ],
)
def test_who_is_not_root_can_only_stay(user: str, group: str, printed: str) -> None:
    script = f"""
from prefork.errors import ConfigError
from prefork.identity import resolve
{as_nobody()}
try:
    identity = resolve({user}, {group})
    assert identity.is_current
    identity.drop()
    print("current")
except ConfigError as error:
    print(error)
"""
    output = run(script)
    assert output.startswith(printed)
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("user", "group", "problem"),
    [
        ("no-such-user", None, "server.user = 'no-such-user': there is no such user"),
        ("no-such-user", "root", "server.user = 'no-such-user': there is no such user"),
        (None, "no-such-group", "server.group = 'no-such-group': there is no such group"),
        (
            str(free_id()),
            None,
            f"server.user = '{free_id()}': no account has this id, so server.group must say",
        ),
        ("4294967295", "0", "server.user = '4294967295': ids go up to 4294967294"),
        (None, "4294967295", "server.group = '4294967295': ids go up to 4294967294"),
        ("9" * 30, "0", "ids go up to"),
        ("-1", None, "there is no such user"),
        ("", None, "there is no such user"),
    ],
)
def test_problems(user: str | None, group: str | None, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(user, group)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_the_environment_says_who_it_is() -> None:
    entry = pwd.getpwnam("nobody")
    assert login_environment(Identity(entry.pw_uid, entry.pw_gid)) == {
        "HOME": entry.pw_dir,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "SHELL": entry.pw_shell,
    }
    nobody_at_all = login_environment(Identity(4_000_000_000, 1))
    assert nobody_at_all == {"HOME": "/", "USER": None, "LOGNAME": None, "SHELL": None}
    assert login_environment(Identity()) == {}
    assert login_environment(Identity(os.geteuid(), os.getegid())) == {}


def test_it_travels_to_the_zygote_as_plain_data() -> None:
    made = Identity(33, 33, (33, 4))
    assert msgspec.json.decode(msgspec.json.encode(made), type=identity.Identity) == made
