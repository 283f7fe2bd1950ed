"""What the firmware would say to a UKI: under Secure Boot it starts signed ones only.

A UKI that it refuses stops the machine in the firmware, with no fall-back: so it is judged before.
Certificates of db and dbx count, and dbx's digests of whole programs; digests in db do not, which
errs on the safe side.
"""

import asyncio
import base64
import contextlib
import hashlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contract.durable import write_file
from contract.errors import FailedError, RefusedError
from host.runtime import programs

__all__ = ["check", "has_choice", "is_secure"]

VARIABLES: Final = Path("/sys/firmware/efi/efivars")
GLOBAL: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY: Final = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
LOADER: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
X509: Final = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
SHA256: Final = bytes.fromhex("2616c4c14c509240aca941f936934328")
"""GUIDs of lists of certificates and of digests (UEFI 2.10, section 32.4.1)."""
PE32_PLUS: Final = 0x20B
SECONDS: Final = 60.0
_ATTRIBUTES: Final = 4


def is_secure(variables: Path = VARIABLES) -> bool:
    """Whether the firmware checks signatures."""
    return _variable(variables, f"SecureBoot-{GLOBAL}")[-1:] == b"\x01"


async def check(uki: Path, variables: Path = VARIABLES) -> None:
    """Judge a UKI as the firmware would. Raises RefusedError (UPDATE_SECURE_BOOT), FailedError."""
    if not is_secure(variables):
        return
    allowed = [data for kind, data in _entries(variables, "db") if kind == X509]
    denied = list(_entries(variables, "dbx"))
    if (SHA256, await asyncio.to_thread(_of_file, uki)) in denied:
        raise _refused(uki, "is in the firmware's list of revoked programs")
    for certificate in (data for kind, data in denied if kind == X509):
        if await _signed(uki, certificate):
            raise _refused(uki, "is signed by a key that the firmware has revoked")
    for certificate in allowed:
        if await _signed(uki, certificate):
            return
    raise _refused(uki, "is not signed by a key that the firmware trusts")


def has_choice(variables: Path = VARIABLES) -> bool:
    """Whether an entry is set by hand to boot always, or once: it would go before a new image."""
    return any(
        _variable(variables, f"{name}-{LOADER}")
        for name in ("LoaderEntryDefault", "LoaderEntryOneShot")
    )


def authenticode(image: bytes) -> bytes:
    """Return the SHA-256 of a PE program without its checksum and its signatures.

    Raises FailedError (UPDATE_NO_PROGRAM) for what is none (Authenticode PE format, "Calculating").
    """
    try:
        (pe,) = struct.unpack_from("<I", image, 0x3C)
        if image[pe : pe + 4] != b"PE\0\0":
            raise _no_program()
        optional = pe + 24
        (magic,) = struct.unpack_from("<H", image, optional)
        directory = optional + (144 if magic == PE32_PLUS else 128)
        start, size = struct.unpack_from("<II", image, directory)
    except struct.error as error:
        raise _no_program() from error
    checksum = optional + 64
    end = start if size else len(image)
    seen = hashlib.sha256(image[:checksum])
    seen.update(image[checksum + 4 : directory])
    seen.update(image[directory + 8 : end])
    if not size and len(image) % 8:
        seen.update(bytes(8 - len(image) % 8))
    return seen.digest()


def _of_file(uki: Path) -> bytes:
    return authenticode(uki.read_bytes())


def _no_program() -> FailedError:
    return FailedError("the UKI is no program for the firmware", code="UPDATE_NO_PROGRAM")


async def _signed(uki: Path, certificate: bytes) -> bool:
    encoded = base64.encodebytes(certificate)
    pem = b"-----BEGIN CERTIFICATE-----\n" + encoded + b"-----END CERTIFICATE-----\n"
    with tempfile.TemporaryDirectory(prefix="sheltie-db-") as place:
        file = Path(place, "certificate.pem")
        write_file(file, pem)
        argv = [programs.find("sbverify"), "--cert", str(file), str(uki)]
        done = await programs.run(argv, seconds=SECONDS)
    return not done.status


def _entries(variables: Path, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, data) of a signature database; what is cut ends it."""
    data = _variable(variables, f"{name}-{SECURITY}")
    at = 0
    with contextlib.suppress(struct.error):
        while at < len(data):
            kind = data[at : at + 16]
            whole, header, each = struct.unpack_from("<III", data, at + 16)
            if whole < 28 + header or each < 16:  # noqa: PLR2004  EFI_SIGNATURE_LIST's own sizes
                return
            for place in range(at + 28 + header, at + whole - each + 1, each):
                yield kind, data[place + 16 : place + each]
            at += whole


def _variable(variables: Path, name: str) -> bytes:
    try:
        return (variables / name).read_bytes()[_ATTRIBUTES:]
    except OSError:
        return b""


def _refused(uki: Path, why: str) -> RefusedError:
    return RefusedError(
        f"{uki.name} {why}: Secure Boot would refuse it, and the machine stand still",
        hint="sign the image with a key of the firmware's db",
        code="UPDATE_SECURE_BOOT",
    )
