"""What the firmware would say to a UKI, judged before it is asked."""

import struct
import subprocess
from pathlib import Path

import pytest

from contract.errors import FailedError, RefusedError
from host.update import firmware

pytestmark = pytest.mark.timeout(120)

OWNER = bytes(16)


def signature_list(kind: bytes, *entries: bytes) -> bytes:
    """Return an EFI_SIGNATURE_LIST of entries of one length."""
    size = 16 + len(entries[0])
    body = b"".join(OWNER + entry for entry in entries)
    return kind + struct.pack("<III", 28 + len(body), 0, size) + body


class Firmware:
    """Variables in a directory, keys, and signed programs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.variables = place / "variables"
        self.variables.mkdir()
        self.program = place / "plain.efi"
        self.program.write_bytes(program())
        for name in ("trusted", "other"):
            argv = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-sha256"]
            argv += ["-days", "2", "-subj", f"/CN={name}/", "-keyout", f"{place}/{name}.key"]
            self._run(*argv, "-out", f"{place}/{name}.crt")
            der = f"{place}/{name}.der"
            self._run(
                "openssl", "x509", "-in", f"{place}/{name}.crt", "-outform", "DER", "-out", der
            )

    def set(self, name: str, data: bytes) -> None:
        """Set a variable, with its attributes before it."""
        (self.variables / name).write_bytes(bytes(4) + data)

    def secure(self, db: bytes, dbx: bytes = b"") -> None:
        """Switch Secure Boot on, with these databases."""
        self.set(f"SecureBoot-{firmware.GLOBAL}", b"\x01")
        self.set(f"db-{firmware.SECURITY}", db)
        if dbx:
            self.set(f"dbx-{firmware.SECURITY}", dbx)

    def certificate(self, name: str) -> bytes:
        """Return a certificate as databases hold it."""
        return (self.place / f"{name}.der").read_bytes()

    def signed(self, name: str) -> Path:
        """Return the program, signed."""
        target = self.place / f"{name}.efi"
        keys = ["--key", f"{self.place}/{name}.key", "--cert", f"{self.place}/{name}.crt"]
        self._run("sbsign", *keys, "--output", str(target), str(self.program))
        return target

    def _run(self, *argv: str) -> None:
        subprocess.run(argv, check=True, capture_output=True)


def program() -> bytes:
    """Return a small program for the firmware: PE32+ with one section."""
    dos = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x40)
    header = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x206)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += struct.pack(
        "<QIIHHHHHHIIII", 0, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x2000, 0x200, 0
    )
    optional += struct.pack("<HHQQQQII", 10, 0, 0, 0, 0, 0, 0, 16) + bytes(128)
    section = b".text\0\0\0" + struct.pack(
        "<IIIIIIHHI", 512, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020
    )
    return (dos + b"PE\0\0" + header + optional + section).ljust(512, b"\0") + bytes(range(256)) * 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """Give keys and programs; each test sets the variables that it wants."""
    return Firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def machine(made: Firmware) -> Firmware:
    """Give them without any variable."""
    for path in made.variables.iterdir():
        path.unlink()
    return made


async def test_without_secure_boot_all_goes(machine: Firmware) -> None:
    """Where the firmware does not check, or there is none, neither do we."""
    await firmware.check(machine.program, machine.variables)
    machine.set(f"SecureBoot-{firmware.GLOBAL}", b"\x00")
    await firmware.check(machine.program, machine.variables)
    await firmware.check(machine.program, machine.place / "none")


async def test_with_secure_boot_a_trusted_signature_is_wanted(machine: Firmware) -> None:
    """Unsigned and signed by another are refused; beside other certificates ours is found."""
    trusted = signature_list(firmware.X509, machine.certificate("trusted"))
    hashes = signature_list(firmware.SHA256, bytes(32), bytes(range(32)))
    machine.secure(hashes + trusted)
    await firmware.check(machine.signed("trusted"), machine.variables)
    for uki in (machine.program, machine.signed("other")):
        with pytest.raises(RefusedError, match="is not signed by a key that the firmware trusts"):
            await firmware.check(uki, machine.variables)


async def test_what_was_revoked_is_refused(machine: Firmware) -> None:
    """A certificate in dbx, and a program whose digest is there."""
    uki = machine.signed("trusted")
    trusted = signature_list(firmware.X509, machine.certificate("trusted"))
    machine.secure(trusted, trusted)
    with pytest.raises(RefusedError, match="a key that the firmware has revoked"):
        await firmware.check(uki, machine.variables)
    digest = firmware.authenticode(uki.read_bytes())
    machine.secure(trusted, signature_list(firmware.SHA256, bytes(32), digest))
    with pytest.raises(RefusedError, match="list of revoked programs"):
        await firmware.check(uki, machine.variables)


def test_the_digest_is_that_which_was_signed(machine: Firmware) -> None:
    """Signing does not change it, and it is what the signature itself names."""
    uki = machine.signed("trusted").read_bytes()
    digest = firmware.authenticode(uki)

    assert digest == firmware.authenticode(machine.program.read_bytes())
    assert digest in uki


@pytest.mark.parametrize("data", [b"", b"MZ", bytes(4096), b"\xff" * 4096])
def test_no_program(data: bytes) -> None:
    """What is none is said to be none."""
    with pytest.raises(FailedError):
        firmware.authenticode(data)


async def test_databases_that_are_cut(machine: Firmware) -> None:
    """A cut database trusts nobody more, and does not hang."""
    whole = signature_list(firmware.X509, machine.certificate("trusted"))
    uki = machine.signed("trusted")
    for size in (0, 15, 27, 28, len(whole) - 1):
        machine.secure(whole[:size])
        with pytest.raises(RefusedError):
            await firmware.check(uki, machine.variables)


def test_a_choice_by_hand(machine: Firmware) -> None:
    """An entry that somebody set to boot is noticed, for good and for once."""
    assert not firmware.has_choice(machine.variables)
    machine.set(f"LoaderEntryOneShot-{firmware.LOADER}", "x".encode("utf-16-le"))
    assert firmware.has_choice(machine.variables)
