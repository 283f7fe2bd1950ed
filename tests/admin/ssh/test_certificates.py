"""Certificates of users: whom they let in, and all the ways in which they must not."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.ssh import certificates
from admin.ssh.certificates import HOST, USER, Certificate
from admin.ssh.policy import Entry, Policy
from contract.errors import RefusedError, SheltieError
from contract.keyline import parse as parse_line
from tests.admin.ssh.ca import Authority, blob
from tests.admin.ssh.door import Door, make_key

NOW = 1_900_000_000.0
HERE = "192.0.2.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA."""
    return Authority(tmp_path)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A user's key."""
    return make_key(tmp_path, "user")[0]


def trusting(authority: Authority, user: str = "root") -> Policy:
    """Return a policy that trusts the CA's certificates for `user`."""
    return Policy(user, (), frozenset([parse_line(authority.key).blob]))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_keygens_certificates_are_read(tmp_path: Path, kind: str) -> None:
    """Every kind of key, certified by every kind of CA."""
    authority = Authority(tmp_path, kind)
    identity, line = make_key(tmp_path, "user", kind)
    certified = authority.certify(identity, "-z", "7", "-O", "no-pty", principals="root,op")
    found = certificates.parse(blob(certified))

    assert found.key.blob == parse_line(line).blob
    assert (found.name, found.serial, found.principals) == ("test", 7, ("root", "op"))
    assert found.authority.blob == parse_line(authority.key).blob
    assert not found.options.pty
    assert found.options.port_forwarding


def test_the_principal_must_be_the_user(authority: Authority, identity: Path) -> None:
    """For `trusted-user-ca-keys` the certificate names the login user."""
    mine = blob(authority.certify(identity, principals="root"))
    other = blob(authority.certify(identity, principals="somebody"))

    assert trusting(authority).admit("root", mine, HERE, NOW).certificate
    for bad, user in ((other, "root"), (mine, "somebody")):
        with pytest.raises(RefusedError):
            trusting(authority).admit(user, bad, HERE, NOW)


def test_no_principals_is_nobody(authority: Authority, identity: Path) -> None:
    """An empty list would mean everybody, root too."""
    nobody = blob(authority.certify(identity, principals=""))

    with pytest.raises(RefusedError, match="names no principals"):
        trusting(authority).admit("root", nobody, HERE, NOW)


def test_validity_is_a_span(authority: Authority, identity: Path) -> None:
    """Not before its start, not from its end on, by the caller's clock."""
    line = authority.certify(identity, "-V", "20300101000000Z:20300102000000Z")
    found = certificates.parse(blob(line))
    accepted = frozenset(["root"])

    for moment, why in ((found.after - 1, "not valid yet"), (found.before, "expired")):
        with pytest.raises(RefusedError, match=why):
            certificates.check(found, USER, accepted, moment)
    certificates.check(found, USER, accepted, found.after)
    certificates.check(found, USER, accepted, found.before - 1)


def test_a_hosts_certificate_is_no_users(authority: Authority, identity: Path) -> None:
    """The kind counts."""
    host = certificates.parse(blob(authority.certify(identity, "-h")))

    assert host.kind == HOST
    with pytest.raises(RefusedError, match="a host's"):
        certificates.check(host, USER, frozenset(["root"]), NOW)


def test_an_unknown_ca_is_named(authority: Authority, identity: Path) -> None:
    """The operator reads which CA it was."""
    line = blob(authority.certify(identity))
    with pytest.raises(RefusedError, match=re.escape(parse_line(authority.key).fingerprint)):
        Policy("root").admit("root", line, HERE, NOW)


def test_critical_options_are_enforced(authority: Authority, identity: Path) -> None:
    """A forced command and source addresses reach the verdict."""
    options = ("-O", "force-command=uptime", "-O", "source-address=192.0.2.0/24,2001:db8::/32")
    line = blob(authority.certify(identity, *options))
    admitted = trusting(authority).admit("root", line, HERE, NOW)

    assert admitted.options.command == "uptime"
    with pytest.raises(RefusedError, match="may not be used from"):
        trusting(authority).admit("root", line, "198.51.100.1", NOW)


def test_an_unknown_critical_option_refuses(authority: Authority, identity: Path) -> None:
    """What we do not enforce we do not accept."""
    line = blob(authority.certify(identity, "-O", "critical:x@example.com=1"))
    with pytest.raises(RefusedError, match="not known here"):
        certificates.parse(line)


def test_extensions_are_what_is_allowed(authority: Authority, identity: Path) -> None:
    """Without extensions: a session, no terminal, no forwards."""
    options = certificates.parse(blob(authority.certify(identity, "-O", "clear"))).options

    assert (options.pty, options.port_forwarding, options.agent_forwarding) == (False,) * 3
    assert options.touch


def test_a_key_line_of_a_ca(authority: Authority, identity: Path) -> None:
    """`cert-authority` with `principals`, and what the line takes away counts too."""
    line = blob(authority.certify(identity, principals="ops"))
    listed = Policy("root", [Entry.parse(f'cert-authority,principals="dev,ops" {authority.key}')])
    plain = Policy("root", [Entry.parse(f"cert-authority {authority.key}")])
    bound = Policy(
        "root",
        [Entry.parse(f'cert-authority,no-pty,principals="ops",command="id" {authority.key}')],
    )

    assert listed.admit("root", line, HERE, NOW).options.pty
    assert not bound.admit("root", line, HERE, NOW).options.pty
    assert bound.admit("root", line, HERE, NOW).options.command == "id"
    with pytest.raises(RefusedError, match="none of its principals"):
        plain.admit("root", line, HERE, NOW)


def test_a_plain_key_does_not_let_a_certificate_in(authority: Authority, identity: Path) -> None:
    """A CA's own line without cert-authority certifies nobody, and a CA line is no key."""
    line = blob(authority.certify(identity))
    with pytest.raises(RefusedError):
        Policy("root", [Entry.parse(authority.key)]).admit("root", line, HERE, NOW)
    own = parse_line(authority.key).blob
    with pytest.raises(RefusedError):
        Policy("root", [Entry.parse(f"cert-authority {authority.key}")]).admit(
            "root", own, HERE, NOW
        )


@pytest.mark.parametrize(
    "principals",
    [
        (b"",),
        (b"root,op",),
        (b"*",),
        (b"ro?t",),
        (b"!root",),
        (b"root\0",),
        (b"root\n",),
        (b"root ",),
        (b"\xff",),
        (b"r" * 300,),
        (b"root", b""),
        tuple(b"p%d" % number for number in range(10_000)),
    ],
)
def test_principals_that_could_be_misread_refuse(
    authority: Authority, principals: tuple[bytes, ...]
) -> None:
    """Empty, comma, wildcard, NUL, newline, too long, too many: the certificate is refused."""
    with pytest.raises(RefusedError):
        certificates.parse(authority.forge(bytes(32), principals))


def test_a_look_alike_is_somebody_else(authority: Authority) -> None:
    """A Cyrillic o is no Latin one."""
    found = certificates.parse(authority.forge(bytes(32), ["r\u043e\u043et".encode()]))

    with pytest.raises(RefusedError, match="none of its principals"):
        certificates.check(found, USER, frozenset(["root"]), NOW)


def test_a_good_forgery_is_read(authority: Authority) -> None:
    """The forger of these tests makes good certificates, too."""
    assert certificates.parse(authority.forge(bytes(32))).principals == ("root",)


def test_options_twice_or_out_of_order_refuse(authority: Authority) -> None:
    """PROTOCOL.certkeys: in the order of their names, each once."""
    unordered = {b"verify-required": b"", b"force-command": bytes(4)}
    with pytest.raises(RefusedError, match="out of order"):
        certificates.parse(authority.forge(bytes(32), critical=unordered))


def test_sha1_and_a_foreign_signature_refuse(tmp_path: Path) -> None:
    """A CA that signs with SHA-1, and one whose signature does not fit."""
    authority = Authority(tmp_path, "rsa")
    good = authority.forge(bytes(32), algorithm="rsa-sha2-512")
    sha1 = good.replace(b"\0\0\0\x0crsa-sha2-512", b"\0\0\0\x07ssh-rsa")
    cut = len(good) - good.index(b"\0\0\0\x0crsa-sha2-512")
    length = (cut - 5).to_bytes(4, "big")
    sha1 = sha1[: len(good) - cut - 4] + length + sha1[len(good) - cut :]

    assert certificates.parse(good).principals
    with pytest.raises(RefusedError, match="not its CA's"):
        certificates.parse(sha1)
    with pytest.raises(RefusedError, match="not its CA's"):
        certificates.parse(good.replace(b"forged", b"forger"))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    """A parser that meets strangers knows one way out."""
    for start in (b"", b"\0\0\0\x20ssh-ed25519-cert-v01@openssh.com"):
        with pytest.raises(RefusedError):
            certificates.parse(start + data)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_any_flipped_byte_is_seen(place: int, value: int) -> None:
    """No byte of a certificate can be changed."""
    good = GOOD[0]
    at = place % len(good)
    changed = good[:at] + bytes([value]) + good[at + 1 :]
    if changed == good:
        return
    with pytest.raises(SheltieError):
        certificates.parse(changed)


GOOD: list[bytes] = []


@pytest.fixture(autouse=True, scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One certificate for the property test."""
    GOOD.append(Authority(tmp_path_factory.mktemp("good")).forge(bytes(32)))


def test_a_moment_in_a_long_list(authority: Authority) -> None:
    """256 principals are read, and found."""
    names = [b"p%d" % number for number in range(255)]
    found: Certificate = certificates.parse(authority.forge(bytes(32), [*names, b"root"]))

    certificates.check(found, USER, frozenset(["root"]), NOW)
    with pytest.raises(RefusedError):
        certificates.check(replace(found, principals=()), USER, frozenset(["root"]), NOW)


@pytest.mark.privileged
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_a_certificate_lets_in(door: Door, tmp_path: Path, kind: str) -> None:
    """The real client with a real certificate, and the log names it."""
    authority = Authority(tmp_path, kind)
    identity, _ = make_key(tmp_path, "user", kind)
    authority.certify(identity, "-z", "42", "-O", "force-command=echo forced")
    await door.configure(authorities=[authority.key])
    done = await door.ssh("id", identity=identity)
    event = await door.wait_for("login")

    assert done.out == b"forced\n"
    assert "serial 42" in event.detail


@pytest.mark.privileged
async def test_the_key_in_a_certificate_is_no_way_in(door: Door, tmp_path: Path) -> None:
    """Without its certificate the key is unknown; with one of another CA too."""
    trusted, stranger = Authority(tmp_path), Authority(tmp_path, "ecdsa")
    identity, _ = make_key(tmp_path, "user")
    await door.configure(authorities=[trusted.key])

    assert (await door.ssh("true", identity=identity)).code == 255
    stranger.certify(identity)
    assert (await door.ssh("true", identity=identity)).code == 255
    await door.wait_for("refused", "CA is not trusted")
