"""A subverted listener, played: everything that it could ask for and must not get."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from admin.ssh.blobs import Reader, string
from admin.ssh.hostkeys import ED25519, NAMES, HostKey, load, make
from admin.ssh.judge import TRIES_MAX, Judge
from admin.ssh.policy import Entry, Policy
from admin.ssh.protocol import Exchange, Proof
from admin.ssh.userkeys import verify
from contract.errors import RefusedError
from contract.keyline import parse

OURS = b"SSH-2.0-Sheltie"
NOW = 1_800_000_000.0


class User:
    """A user with an Ed25519 key."""

    def __init__(self) -> None:
        self.private = ed25519.Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        self.line = parse(public.decode())

    def message(self, user: str, blob: bytes | None = None) -> bytes:
        """Return the bytes that a client signs, without the session id (RFC 4252 section 7)."""
        parts = b"\x32" + string(user.encode()) + string(b"ssh-connection")
        parts += string(b"publickey") + b"\x01" + string(b"ssh-ed25519")
        return parts + string(self.line.blob if blob is None else blob)

    def proof(self, session: bytes, user: str = "op", number: int = 1) -> Proof:
        """Return an honest proof."""
        message = self.message(user)
        signature = self.private.sign(string(session) + message)
        blob = string(b"ssh-ed25519") + string(signature)
        return Proof(number, user, self.line.blob, message, blob)


@pytest.fixture
def host_key(tmp_path: Path) -> HostKey:
    """A host key of this server."""
    problems: list[str] = []
    key = make(tmp_path / "keys", ED25519, problems)
    assert problems == []
    return key


@pytest.fixture
def user() -> User:
    """The user who may log in."""
    return User()


@pytest.fixture
def judge(host_key: HostKey, user: User) -> Judge:
    """A judge that lets `user` in as `op`."""
    policy = Policy("op", [Entry(user.line)])
    return Judge([host_key], lambda: policy, lambda: NOW)


def exchange(
    key: bytes, version: bytes = OURS, rest: bytes = b"rest", other: dict[str, str] | None = None
) -> Exchange:
    """Return an exchange as a listener asks for it."""
    prefix = b"".join(map(string, (b"SSH-2.0-client", version, b"I_C", b"I_S")))
    fields = {"hash": "sha256", "algorithm": "ssh-ed25519", **(other or {})}
    return Exchange(1, fields["hash"], fields["algorithm"], key, prefix, rest)


def test_an_honest_exchange_is_hashed_and_signed(judge: Judge, host_key: HostKey) -> None:
    """The monitor hashes prefix, key and rest itself, and signs that."""
    ask = exchange(host_key.blob)
    signed = judge.exchange(ask)
    digest = hashlib.sha256(ask.prefix + string(host_key.blob) + ask.rest).digest()

    assert signed.hash == digest == judge.session_id
    assert verify(host_key.blob, "ssh-ed25519", signed.signature, digest)


def test_an_honest_login_sets_the_mark(judge: Judge, host_key: HostKey, user: User) -> None:
    """A signature over the monitor's own session id logs in."""
    session = judge.exchange(exchange(host_key.blob)).hash

    assert judge.prove(user.proof(session)).accepted
    assert judge.login is not None
    assert judge.login.admission.key == user.line


def test_a_foreign_host_key_is_not_signed_for(judge: Judge, user: User) -> None:
    """An exchange over another server's host key is refused."""
    with pytest.raises(RefusedError, match="not ours"):
        judge.exchange(exchange(user.line.blob))


def test_another_servers_version_is_refused(judge: Judge, host_key: HostKey) -> None:
    """An exchange that another server announced is refused."""
    with pytest.raises(RefusedError, match="another server"):
        judge.exchange(exchange(host_key.blob, b"SSH-2.0-OpenSSH_9.9"))


def test_a_second_exchange_before_login_is_refused(judge: Judge, host_key: HostKey) -> None:
    """Nobody changes the session id before the login."""
    judge.exchange(exchange(host_key.blob))
    with pytest.raises(RefusedError, match="second key exchange"):
        judge.exchange(exchange(host_key.blob, rest=b"other"))


def test_a_rekey_after_login_keeps_the_session_id(
    judge: Judge, host_key: HostKey, user: User
) -> None:
    """RFC 4253 section 7.2: the first exchange hash stays the session id."""
    session = judge.exchange(exchange(host_key.blob)).hash
    judge.prove(user.proof(session))
    second = judge.exchange(exchange(host_key.blob, rest=b"later")).hash

    assert judge.session_id == session != second


@pytest.mark.parametrize("change", [{"hash": "md5"}, {"hash": "sha1"}, {"algorithm": "ssh-rsa"}])
def test_weak_or_foreign_algorithms_are_refused(
    judge: Judge, host_key: HostKey, change: dict[str, str]
) -> None:
    """Neither another hash nor an algorithm that the key does not have."""
    with pytest.raises(RefusedError):
        judge.exchange(exchange(host_key.blob, other=change))


@pytest.mark.parametrize("prefix", [b"", b"\0\0\0\1", string(OURS) * 3, string(OURS) * 5])
def test_data_of_another_shape_is_not_signed(
    judge: Judge, host_key: HostKey, prefix: bytes
) -> None:
    """What does not look like a key exchange of ours is refused."""
    with pytest.raises(RefusedError):
        judge.exchange(Exchange(1, "sha256", "ssh-ed25519", host_key.blob, prefix, b""))


def test_authentication_before_the_exchange_is_refused(judge: Judge, user: User) -> None:
    """There is no session id to sign yet."""
    with pytest.raises(RefusedError, match="before the key exchange"):
        judge.begin(user.proof(b""))


def test_a_probe_is_no_proof(judge: Judge, host_key: HostKey, user: User) -> None:
    """A known key without a signature is welcome to prove itself, and sets no mark."""
    judge.exchange(exchange(host_key.blob))

    assert judge.prove(Proof(1, "op", user.line.blob)).accepted
    assert judge.login is None


def test_a_replayed_signature_is_refused(judge: Judge, host_key: HostKey, user: User) -> None:
    """A signature over another server's session id does not log in here."""
    judge.exchange(exchange(host_key.blob))

    assert not judge.prove(user.proof(b"another session")).accepted
    assert judge.login is None


def test_a_signature_for_another_user_is_refused(
    judge: Judge, host_key: HostKey, user: User
) -> None:
    """Signed for root, claimed for op: refused; and the other way round."""
    session = judge.exchange(exchange(host_key.blob)).hash
    signed = user.proof(session, "root")

    claimed = Proof(1, "op", signed.key, signed.message, signed.signature)
    assert not judge.prove(claimed).accepted
    assert not judge.prove(signed).accepted
    assert judge.login is None


def test_probing_one_key_and_signing_with_another_is_refused(
    judge: Judge, host_key: HostKey, user: User
) -> None:
    """The class of CVE-2024-45337: identity is the key that signed."""
    stranger = User()
    session = judge.exchange(exchange(host_key.blob)).hash
    judge.prove(Proof(1, "op", user.line.blob))
    signed = stranger.proof(session)
    mixed = Proof(2, "op", user.line.blob, signed.message, signed.signature)
    blob = user.message("op")
    signature = string(b"ssh-ed25519") + string(stranger.private.sign(string(session) + blob))

    assert not judge.prove(signed).accepted
    assert not judge.prove(mixed).accepted
    assert not judge.prove(Proof(3, "op", user.line.blob, blob, signature)).accepted
    assert judge.login is None


def test_an_unknown_key_is_refused_with_a_good_signature(judge: Judge, host_key: HostKey) -> None:
    """A stranger's honest proof does not log in."""
    session = judge.exchange(exchange(host_key.blob)).hash

    assert not judge.prove(User().proof(session)).accepted


def test_a_second_login_is_refused(judge: Judge, host_key: HostKey, user: User) -> None:
    """After the mark is set, authentication is over."""
    session = judge.exchange(exchange(host_key.blob)).hash
    judge.prove(user.proof(session))
    with pytest.raises(RefusedError, match="second authentication"):
        judge.prove(user.proof(session))


def test_tries_are_counted(judge: Judge, host_key: HostKey) -> None:
    """After MaxAuthTries the connection is dropped."""
    session = judge.exchange(exchange(host_key.blob)).hash
    for _ in range(TRIES_MAX):
        judge.begin(User().proof(session))
    with pytest.raises(RefusedError, match="too many"):
        judge.begin(User().proof(session))


def test_keys_that_are_replaced_count_at_once(host_key: HostKey, user: User) -> None:
    """The judge asks for the current policy at each proof."""
    policies = [Policy("op", [Entry(user.line)]), Policy("op")]
    judge = Judge([host_key], lambda: policies.pop(0), lambda: NOW)
    session = judge.exchange(exchange(host_key.blob)).hash

    assert judge.prove(Proof(1, "op", user.line.blob)).accepted
    assert not judge.prove(user.proof(session)).accepted


def test_a_damaged_host_key_is_replaced_and_said(tmp_path: Path) -> None:
    """An unusable Ed25519 host key is put aside, a new one is made, and a sentence says so."""
    path = tmp_path / "ssh_host_ed25519_key"
    path.write_text("damaged")
    path.chmod(0o600)
    keys, problems = load(tmp_path, NOW)
    make(tmp_path, ED25519, problems)

    assert keys == {}
    assert list(load(tmp_path, NOW)[0]) == [ED25519]
    assert "ssh_host_ed25519_key" in problems[0]
    assert (tmp_path / "ssh_host_ed25519_key.unusable").read_text() == "damaged"


def test_an_unwritable_directory_gives_a_key_in_memory(tmp_path: Path) -> None:
    """A host key that cannot be stored is made all the same, and said loudly."""
    (tmp_path / "file").write_text("")
    problems: list[str] = []
    keys = [make(tmp_path / "file" / "below", name, problems) for name in NAMES[:2]]

    assert [key.algorithms[0] for key in keys] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert any("could not be stored" in problem for problem in problems)


def test_the_reader_refuses_cut_and_trailing_data() -> None:
    """SSH values are taken exactly."""
    from contract.errors import UsageError

    with pytest.raises(UsageError):
        Reader(b"\0\0\0\5abc").string()
    reader = Reader(string(b"a") + b"x")
    reader.string()
    with pytest.raises(UsageError):
        reader.end()
