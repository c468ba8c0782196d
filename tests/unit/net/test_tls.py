"""Contexts made of bytes: which certificate is shown to whom, and what is said about those that cannot be used."""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest

from prefork.net.certificates import UnusableError, examine, time_problem
from prefork.net.material import Credential, Material
from prefork.net.tls import server_context
from support.certificates import Authority, Pair, lock


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def credential(pair: Pair, *names: str) -> Credential:
    return Credential(pair.certificate.read_bytes(), pair.key.read_bytes(), names)


def shown(server: ssl.SSLContext, authority: Authority, name: str | None) -> str:
    """The common name of the certificate that a client sees who asks for `name`."""
    client = ssl.create_default_context(cafile=str(authority.root.certificate))
    client.check_hostname = False
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(one, two, server_hostname=name)
    server_side = server.wrap_bio(two, one, server_side=True)
    for side in (client_side, server_side) * 3:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    certificate = client_side.getpeercert()
    assert certificate
    return {key: value for part in certificate["subject"] for key, value in part}["commonName"]  # type: ignore[misc]


def test_each_host_name_has_its_certificate(authority: Authority) -> None:
    first, second, third = (authority.sign(name, f"{name}.example") for name in ("first", "second", "third"))
    context = server_context(
        Material(
            credentials=(
                credential(first, "first.example"),
                credential(second, "second.example", "*.second.example"),
                credential(third, "third.example", "second.example", "a.second.example"),
            )
        )
    )
    expected = {
        None: "first",
        "first.example": "first",
        "nobody.example": "first",
        "second.example": "second",
        "SECOND.example": "second",
        "b.second.example": "second",
        "a.second.example": "third",
        "a.b.second.example": "first",
        "third.example": "third",
        "x.third.example": "first",
        "example": "first",
    }
    assert {name: shown(context, authority, name) for name in expected} == expected


def test_what_a_certificate_says(authority: Authority) -> None:
    facts = examine(credential(authority.sign("both", "Both.Example", "*.both.example", "127.0.0.1")))
    assert facts.names == ("both.example", "*.both.example")
    assert time_problem(facts, time.time()) is None
    assert "expires on" in str(time_problem(facts, facts.not_after_s - 86400))
    assert "expired on" in str(time_problem(facts, facts.not_after_s + 1))
    assert "not valid before" in str(time_problem(facts, facts.not_before_s - 1))


def test_its_time_does_not_matter_for_reading_it(authority: Authority) -> None:
    facts = examine(credential(authority.sign("old", "old.example", days=-1)))
    assert facts.names == ("old.example",)
    assert str(time_problem(facts, time.time())).startswith("expired on 2")


def test_certificate_and_key_may_share_a_file(authority: Authority) -> None:
    pair = authority.sign("one", "one.example")
    both = pair.key.read_bytes() + pair.certificate.read_bytes() + authority.root.certificate.read_bytes()
    assert examine(Credential(both, both)).names == ("one.example",)


def test_what_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    pair, other = authority.sign("mine", "mine.example"), authority.sign("other", "other.example")
    certificate, key = pair.certificate.read_bytes(), pair.key.read_bytes()
    locked = lock(pair.key, "secret", tmp_path / "locked.key").read_bytes()
    cases = {
        (certificate, other.key.read_bytes()): ("does not belong to the certificate", True),
        (certificate, locked): ("is protected by a password", True),
        (certificate, certificate): ("holds no private key in PEM form", True),
        (certificate, b""): ("holds no private key in PEM form", True),
        (key, key): ("holds no certificate in PEM form", False),
        (b"\xff\xfe", key): ("holds no certificate in PEM form", False),
        (certificate.replace(b"M", b"N"), key): ("cannot be used", False),
    }
    for (one, two), (said, blames_key) in cases.items():
        with pytest.raises(UnusableError, match=said) as caught:
            examine(Credential(one, two))
        assert caught.value.blames_key is blames_key


def test_nothing_of_it_is_left_open(authority: Authority) -> None:
    pair = credential(authority.sign("open", "open.example"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    server_context(Material(credentials=(pair, pair)))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
