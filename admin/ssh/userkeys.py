"""Signatures of user keys, verified in the monitor over bytes that it put together itself.

RFC 4252 section 7, RFC 8332 (RSA with SHA-2 only), RFC 5656, RFC 8709, OpenSSH's PROTOCOL.u2f.
"""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from admin.ssh.blobs import Reader
from contract.errors import SheltieError
from contract.keyline import parse_blob

__all__ = ["ALGORITHMS", "verify"]

ALGORITHMS: dict[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "sk-ssh-ed25519@openssh.com": ("sk-ssh-ed25519@openssh.com",),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("sk-ecdsa-sha2-nistp256@openssh.com",),
}
"""Signature algorithms accepted for each key type. `ssh-rsa`, which is SHA-1, is not one."""

_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
# PROTOCOL.u2f: the token was touched; its user was verified (PIN, fingerprint).
_USER_PRESENT = 0x01
_USER_VERIFIED = 0x04


def verify(
    blob: bytes,
    algorithm: str,
    signature: bytes,
    data: bytes,
    *,
    touch: bool = True,
    user: bool = False,
) -> bool:
    """Return whether `signature`, of exactly `algorithm`, by the key `blob` covers `data`.

    A FIDO token must say that it was touched (`touch`), that it verified its user (`user`).
    """
    try:
        kind = parse_blob(blob)
        reader = Reader(signature)
        inner = reader.text()
        if inner != algorithm or algorithm not in ALGORITHMS[kind]:
            return False
        if kind.startswith("sk-"):
            needed = touch * _USER_PRESENT | user * _USER_VERIFIED
            return _verify_token(kind, blob, reader, data, needed)
        value = reader.string()
        reader.end()
        return _verify(kind, blob, algorithm, value, data)
    except (SheltieError, InvalidSignature, ValueError):
        return False


def _verify(kind: str, blob: bytes, algorithm: str, value: bytes, data: bytes) -> bool:
    """Verify a plain signature; returns True or raises."""
    reader = Reader(blob)
    reader.string()
    if kind == "ssh-rsa":
        exponent, modulus = reader.mpint(), reader.mpint()
        digest = hashes.SHA512() if algorithm == "rsa-sha2-512" else hashes.SHA256()
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        # RFC 8332 section 3: a value shorter than the modulus lost its leading zeros.
        key.verify(value.rjust(key.key_size // 8, b"\0"), data, padding.PKCS1v15(), digest)
    elif kind == "ssh-ed25519":
        ed25519.Ed25519PublicKey.from_public_bytes(reader.string()).verify(value, data)
    else:
        _verify_ecdsa(reader.text(), reader.string(), value, data)
    return True


def _verify_ecdsa(curve: str, point: bytes, value: bytes, data: bytes) -> None:
    numbers = Reader(value)
    r, s = numbers.mpint(), numbers.mpint()
    numbers.end()
    kind, digest = _CURVES[curve]
    key = ec.EllipticCurvePublicKey.from_encoded_point(kind, point)
    key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))


def _verify_token(kind: str, blob: bytes, signature: Reader, data: bytes, needed: int) -> bool:
    """Verify a FIDO signature: over the hash of the application, flags, counter, hash of data."""
    value, flags, counter = signature.string(), signature.byte(), signature.take(4)
    signature.end()
    if flags & needed != needed:
        return False
    reader = Reader(blob)
    reader.string()
    curve = "" if kind.startswith("sk-ssh-ed25519") else reader.text()
    key, application = reader.string(), reader.string()
    signed = hashlib.sha256(application).digest() + bytes([flags]) + counter
    signed += hashlib.sha256(data).digest()
    if curve:
        _verify_ecdsa(curve, key, value, signed)
    else:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(value, signed)
    return True
