"""The host keys: loaded or made in the monitor, never anywhere else.

They lie where upstream's admin container keeps them, so that a host keeps its identity when the
image is exchanged. Beside `NAME` may lie `NAME-cert.pub`, a host certificate, and `NAME.next`, a
key that is announced and proven to clients before it takes its place. Signatures: RFC 4253 section
6.6, RFC 8332 (RSA), RFC 5656, RFC 8709.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from admin.ssh import certificates
from admin.ssh.blobs import mpint, string
from admin.ssh.protocol import OfferedKey
from contract.durable import ensure_directory, read_file, write_file
from contract.errors import SheltieError, UsageError

__all__ = ["ECDSA", "ED25519", "NAMES", "RSA", "HostKey", "load", "make"]

KEY_MAX = 64 * 1024
ED25519, ECDSA, RSA = NAMES = ("ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key")
RSA_BITS = 3072
"""What ssh-keygen makes."""
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class HostKey:
    """A private key with its public blob and the signature algorithms that it offers.

    `certificate` is a host certificate for it. A key that is `next` is announced, not yet offered.
    """

    private: Private
    blob: bytes
    algorithms: tuple[str, ...]
    text: str
    certificate: bytes = b""
    next: bool = False

    def __repr__(self) -> str:
        return f"HostKey({self.algorithms[0]})"

    @property
    def offered(self) -> tuple[bytes, ...]:
        """The blobs that a key exchange may name: the certificate and the plain key."""
        if self.next:
            return ()
        return (self.certificate, self.blob) if self.certificate else (self.blob,)

    def offers(self, names: Sequence[str]) -> list[OfferedKey]:
        """Return what to offer, of the host key algorithms `names` only."""
        made = []
        for blob in self.offered:
            tail = certificates.SUFFIX if blob == self.certificate else ""
            pairs = [(f"{one}{tail}", one) for one in self.algorithms]
            pairs = [(name, one) for name, one in pairs if name in names]
            if pairs:
                algorithms, signatures = map(list, zip(*pairs, strict=True))
                made.append(OfferedKey(blob, algorithms, signatures))
        return made

    def sign(self, algorithm: str, data: bytes) -> bytes:
        """Return the signature blob over `data`. Raises UsageError for a foreign algorithm."""
        if algorithm not in self.algorithms:
            raise UsageError(f"this host key does not sign {algorithm}", code="ALGORITHM")
        private = self.private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            signature = private.sign(data)
        elif isinstance(private, rsa.RSAPrivateKey):
            digest = hashes.SHA512() if algorithm == "rsa-sha2-512" else hashes.SHA256()
            signature = private.sign(data, padding.PKCS1v15(), digest)
        else:
            method = ec.ECDSA(_CURVE_HASHES[private.curve.name])
            r, s = decode_dss_signature(private.sign(data, method))
            signature = mpint(r) + mpint(s)
        return string(algorithm.encode()) + string(signature)


def load(directory: Path, now: float) -> tuple[dict[str, HostKey], list[str]]:
    """Return the usable host keys of `directory` by name, and a sentence for each that is not.

    `now` judges host certificates, in seconds since 1970.
    """
    keys: dict[str, HostKey] = {}
    problems: list[str] = []
    for name in (*NAMES, *(f"{name}.next" for name in NAMES)):
        try:
            key = _load(directory / name)
        except FileNotFoundError:
            continue
        except (OSError, SheltieError) as error:
            problems.append(f"host key {name} is unusable: {error}")
            continue
        if name.endswith(".next"):
            keys[name] = replace(key, next=True)
        else:
            keys[name] = _certified(key, directory / f"{name}-cert.pub", now, problems)
    return keys, problems


def make(directory: Path, name: str, problems: list[str]) -> HostKey:
    """Make the host key `name` and store it, durably and readable by root only.

    When it cannot be stored it lives in memory, and a sentence says so: the door must open on a
    full disk too. An unusable key in its place is put aside.
    """
    private = _generate(name)
    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    key = _wrap(private)
    path = directory / name
    try:
        if path.exists():
            path.replace(path.with_name(f"{path.name}.unusable"))
        ensure_directory(path.parent)
        write_file(path, data)
        write_file(path.with_name(f"{path.name}.pub"), f"{key.text}\n".encode(), mode=0o644)
    except (OSError, SheltieError) as error:
        problems.append(
            f"the host key {name} could not be stored, so it lives in memory and is new at each"
            f" start, which clients take for an attack: {error}"
        )
    return key


def _generate(name: str) -> Private:
    if name == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    if name == ECDSA:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def _load(path: Path) -> HostKey:
    data = read_file(path, KEY_MAX)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    try:
        private = serialization.load_ssh_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error), code="HOST_KEY_BAD") from error
    if not isinstance(private, Private):
        raise UsageError("this type is not supported", code="HOST_KEY_BAD")
    return _wrap(private)


def _certified(key: HostKey, path: Path, now: float, problems: list[str]) -> HostKey:
    """Return the key with the host certificate at `path`, if there is one and it is good."""
    try:
        words = read_file(path, KEY_MAX).split()
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
        certificate = certificates.parse(blob)
        certificates.check(certificate, certificates.HOST, frozenset(), now)
        if certificate.key.blob != key.blob:
            raise UsageError("it is for another key", code="HOST_KEY_BAD")
    except FileNotFoundError:
        return key
    except (OSError, ValueError, SheltieError) as error:
        problems.append(f"host certificate {path.name} is not used: {error}")
        return key
    return replace(key, certificate=blob)


def _wrap(private: Private) -> HostKey:
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    kind, encoded = public.decode().split()[:2]
    algorithms = ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
    return HostKey(private, base64.b64decode(encoded), algorithms, f"{kind} {encoded}")
