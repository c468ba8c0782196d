"""The user the pool runs as.

Owns: names to ids, giving up root for good. Runs in: master (resolve), zygote (drop, before the first line of
application code). Must not know: settings, how processes are made.
"""

from __future__ import annotations

import grp
import os
import pwd

import msgspec

from prefork.errors import BootError, ConfigError


class Identity(msgspec.Struct, frozen=True):
    """User, group and supplementary groups, as numbers: `drop` looks nothing up. All None or empty: stay as you are."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()

    @property
    def is_current(self) -> bool:
        """This process has it already; its supplementary groups are then left as whoever started it chose."""
        is_uid = self.uid is None or os.getresuid() == (self.uid,) * 3
        is_gid = self.gid is None or os.getresgid() == (self.gid,) * 3
        return is_uid and is_gid

    def drop(self) -> None:
        """Become it, and make sure that there is no way back. Raises BootError (stage "privileges").

        The umask is no part of it.
        """
        if self.is_current:
            return
        try:
            # Groups first: after setresuid there is no permission left to change them.
            os.setgroups(self.groups)
            if self.gid is not None:
                os.setresgid(self.gid, self.gid, self.gid)
            if self.uid is not None:
                # Real, effective and saved: a saved root would be a way back (credentials(7)).
                os.setresuid(self.uid, self.uid, self.uid)
        except OSError as error:
            raise BootError("privileges", f"cannot become {self}: {error.strerror}") from error
        if self.uid not in (None, 0):
            self._check_no_way_back()

    def __str__(self) -> str:
        return f"user id {self.uid}, group id {self.gid}"

    def _check_no_way_back(self) -> None:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise BootError(
            "privileges", f"became {self}, but could become root again; refusing to run like this"
        )


def resolve(user: str | None, group: str | None) -> Identity:
    """What `server.user` and `server.group` name: accounts, or numbers (which need no account).

    Without a group: the user's own. Raises ConfigError: no such account, or not allowed to switch.
    """
    if user is None and group is None:
        return Identity()
    account = _current_account() if user is None else _find_account(user)
    gid = account.gid if group is None else _find_group(group)
    if gid is None:
        raise ConfigError(
            f"server.user = {user!r}: no account has this id, so server.group must say which group"
        )
    groups = (gid,) if account.name is None else tuple(os.getgrouplist(account.name, gid))
    identity = Identity(account.uid, gid, groups)
    if os.geteuid() != 0 and not identity.is_current:
        key, value = (
            ("server.group", group) if user is None or account.uid == os.geteuid() else ("server.user", user)
        )
        raise ConfigError(
            f"{key} = {value!r}: only root can switch to it, and this runs as user id {os.geteuid()}; "
            f"start as root or leave out {key}"
        )
    return identity


def login_environment(identity: Identity) -> dict[str, str | None]:
    """What the environment says of the user, if `identity` is another one than ours: root's HOME is no place for its programs.

    The variables that systemd sets for `User=` (systemd.exec(5), "Environment Variables in Spawned Processes"); None: not set.
    An id without an account has "/" for its home.
    """
    if identity.uid is None or identity.is_current:
        return {}
    try:
        entry = pwd.getpwuid(identity.uid)
    except KeyError:
        return {"HOME": "/", "USER": None, "LOGNAME": None, "SHELL": None}
    name = entry.pw_name
    return {"HOME": entry.pw_dir or "/", "USER": name, "LOGNAME": name, "SHELL": entry.pw_shell or None}


class _Account(msgspec.Struct, frozen=True):
    uid: int
    name: str | None
    gid: int | None


def _current_account() -> _Account:
    uid = os.geteuid()
    try:
        return _Account(uid, pwd.getpwuid(uid).pw_name, os.getegid())
    except KeyError:
        return _Account(uid, None, os.getegid())


def _find_account(user: str) -> _Account:
    try:
        entry = pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if _is_number(user):
            return _Account(_checked_id("server.user", user), None, None)
        raise ConfigError(f"server.user = {user!r}: there is no such user (see `getent passwd`)") from None
    return _Account(entry.pw_uid, entry.pw_name, entry.pw_gid)


def _find_group(group: str) -> int:
    if _is_number(group):
        return _checked_id("server.group", group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"server.group = {group!r}: there is no such group (see `getent group`)") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _checked_id(key: str, text: str) -> int:
    # 2**32 - 1 is "no change" to the system calls, which would mean: stay root.
    if int(text) >= 2**32 - 1:
        raise ConfigError(f"{key} = {text!r}: ids go up to {2**32 - 2}")
    return int(text)
