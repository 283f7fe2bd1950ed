"""FIDO keys: what the token says it saw of its user, and what a key line asks for."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from admin.ssh.blobs import mpint, string
from admin.ssh.hostkeys import ED25519, HostKey, make
from admin.ssh.judge import Judge
from admin.ssh.policy import Entry, Policy
from admin.ssh.protocol import Proof
from contract.keyline import KeyLine
from tests.admin.ssh.ca import Authority, blob
from tests.admin.ssh.test_judge import NOW, exchange

TOUCHED, VERIFIED = 1, 4
ED, EC = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"


@dataclass
class Token:
    """A token in software (OpenSSH's PROTOCOL.u2f), with the flags that we want."""

    kind: str = ED
    application: bytes = b"ssh:"
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        if self.kind == ED:
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def line(self) -> KeyLine:
        """The public key."""
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            middle = string(raw)
        else:
            point = public.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
            middle = string(b"nistp256") + string(point)
        blob = string(self.kind.encode()) + middle + string(self.application)
        return KeyLine(self.kind, blob)

    def sign(self, data: bytes, flags: int) -> bytes:
        """Return a signature blob whose token claims these flags."""
        end = bytes([flags]) + (7).to_bytes(4, "big")
        signed = hashlib.sha256(self.application).digest() + end + hashlib.sha256(data).digest()
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            value = self.private.sign(signed)
        else:
            r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
            value = mpint(r) + mpint(s)
        return string(self.kind.encode()) + string(value) + end


@pytest.fixture
def host_key(tmp_path: Path) -> HostKey:
    """A host key."""
    return make(tmp_path, ED25519, [])


def accepted(host_key: HostKey, token: Token, options: str, flags: int) -> bool:
    """Whether a login with this token gets in by a line with these options."""
    line = f"{options} {token.line.text}".strip()
    judge = Judge([host_key], lambda: Policy("op", [Entry.parse(line)]), lambda: NOW)
    return proven(judge, host_key, token, token.line.blob, token.kind, flags)


def proven(
    judge: Judge, host_key: HostKey, token: Token, blob: bytes, algorithm: str, flags: int
) -> bool:
    """Exchange keys, prove the token's key as `blob`, and return the verdict."""
    session = judge.exchange(exchange(host_key.blob)).hash
    message = b"\x32" + string(b"op") + string(b"ssh-connection") + string(b"publickey") + b"\1"
    message += string(algorithm.encode()) + string(blob)
    signature = token.sign(string(session) + message, flags)
    return judge.prove(Proof(1, "op", blob, message, signature)).accepted


@pytest.mark.parametrize("kind", [ED, EC])
@pytest.mark.parametrize(
    ("options", "flags", "expected"),
    [
        ("", TOUCHED, True),
        ("", TOUCHED | VERIFIED, True),
        ("", 0, False),
        ("", VERIFIED, False),
        ("no-touch-required", 0, True),
        ("verify-required", TOUCHED, False),
        ("verify-required", TOUCHED | VERIFIED, True),
        ("verify-required,no-touch-required", VERIFIED, True),
        ("verify-required,no-touch-required", 0, False),
        ("no-touch-required,touch-required", 0, False),
    ],
)
def test_what_the_token_saw_counts(
    host_key: HostKey, kind: str, options: str, flags: int, *, expected: bool
) -> None:
    """A touch unless the line waives it, a verified user where the line asks for one."""
    assert accepted(host_key, Token(kind), options, flags) is expected


def test_flags_cannot_be_changed_afterwards(host_key: HostKey) -> None:
    """They are signed."""
    token = Token()
    policy = Policy("op", [Entry(token.line)])
    judge = Judge([host_key], lambda: policy, lambda: NOW)
    session = judge.exchange(exchange(host_key.blob)).hash
    message = b"\x32" + string(b"op") + string(b"ssh-connection") + string(b"publickey") + b"\1"
    message += string(token.kind.encode()) + string(token.line.blob)
    signature = token.sign(string(session) + message, 0)
    forged = signature[:-5] + bytes([TOUCHED]) + signature[-4:]

    assert not judge.prove(Proof(1, "op", token.line.blob, message, forged)).accepted


@pytest.mark.parametrize(("option", "flags"), [("no-touch-required", 0), ("", TOUCHED)])
def test_a_certified_token(host_key: HostKey, tmp_path: Path, option: str, flags: int) -> None:
    """A certificate of a FIDO key: what it waives is waived, and only that."""
    authority, token = Authority(tmp_path), Token()
    public = tmp_path / "token.pub"
    public.write_text(token.line.text + " token\n")
    options = ("-O", option) if option else ()
    certificate = authority.certify(tmp_path / "token", *options, principals="op")
    trusted = frozenset([blob(authority.key)])
    for given in (0, TOUCHED):
        judge = Judge([host_key], lambda: Policy("op", (), trusted), lambda: NOW)
        got = proven(
            judge, host_key, token, blob(certificate), "sk-ssh-ed25519-cert-v01@openssh.com", given
        )
        assert got is (given >= flags)
