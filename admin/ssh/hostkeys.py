"""The host keys: loaded or made in the monitor, never anywhere else.

They lie where upstream's admin container keeps them, so that a host keeps its identity when the
image is exchanged. Signatures: RFC 4253 section 6.6, RFC 8332 (RSA), RFC 5656, RFC 8709.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from admin.ssh.blobs import mpint, string
from contract.durable import ensure_directory, read_file, write_file
from contract.errors import SheltieError, UsageError

__all__ = ["HostKey", "load_or_make"]

KEY_MAX = 64 * 1024
NAMES = ("ssh_host_ed25519_key", "ssh_host_ecdsa_key", "ssh_host_rsa_key")
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class HostKey:
    """A private key with its public blob and the signature algorithms that it offers."""

    private: Private
    blob: bytes
    algorithms: tuple[str, ...]
    text: str

    def __repr__(self) -> str:
        return f"HostKey({self.algorithms[0]})"

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


def load_or_make(directory: Path) -> tuple[list[HostKey], list[str]]:
    """Return the host keys of `directory` and a sentence for each that is unusable.

    An Ed25519 key is made where none is usable. When it cannot be stored it lives in memory, and a
    sentence says so: the door must open on a full disk too.
    """
    keys, problems = [], []
    for name in NAMES:
        try:
            keys.append(_load(directory / name))
        except FileNotFoundError:
            continue
        except (OSError, SheltieError) as error:
            problems.append(f"host key {name} is unusable: {error}")
    if not any("ssh-ed25519" in key.algorithms for key in keys):
        keys.insert(0, _make(directory / NAMES[0], problems))
    return keys, problems


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


def _make(path: Path, problems: list[str]) -> HostKey:
    private = ed25519.Ed25519PrivateKey.generate()
    data = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    key = _wrap(private)
    try:
        if path.exists():
            path.replace(path.with_name(f"{path.name}.unusable"))
        ensure_directory(path.parent)
        write_file(path, data)
        write_file(path.with_name(f"{path.name}.pub"), f"{key.text}\n".encode(), mode=0o644)
    except (OSError, SheltieError) as error:
        problems.append(f"the host key could not be stored, so it is new at each start: {error}")
    return key


def _wrap(private: Private) -> HostKey:
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    text = public.decode()
    kind, encoded = text.split()[:2]
    algorithms = ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
    from base64 import b64decode

    return HostKey(private, b64decode(encoded), algorithms, f"{kind} {encoded}")
