"""What the kernel answers of a device under verity, and bytes that it never would."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import verity

MOUNTS = """\
22 27 0:6 / /dev rw - devtmpfs dev rw
27 1 253:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro
30 27 253:4 / /usr ro - ext4 /dev/x ro
31 27 254:6 / /var rw - ext4 /dev/vda6 rw
"""
START = 312


def answer(words: bytes, kind: bytes = b"verity", count: int = 1, start: int = START) -> bytes:
    """Return what DM_TABLE_STATUS gives: a head (linux/dm-ioctl.h), a target, its own words."""
    head = struct.pack("=3I3IiIIIQ", 4, 48, 0, 4096, start, count, 1, 0, 0, 0, 253 << 8)
    target = struct.pack("=QQiI16s", 0, 599256, 0, 0, kind)
    return (head.ljust(START, b"\0") + target + words + b"\0").ljust(4096, b"\0")


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (answer(b"V"), "verified"),
        (answer(b"C"), "corrupted"),
        (answer(b"V -"), "verified"),  # newer kernels say more behind it
        (answer(b"X"), ""),
        (answer(b"V", kind=b"linear"), ""),
        (answer(b"V", count=0), ""),
        (answer(b"V", start=4090), ""),
        (b"", ""),
    ],
)
def test_the_letter_of_a_verity_target(given_: bytes, found: str) -> None:
    """V and C are read of a verity target, and of nothing else."""
    assert verity.decode(given_) == found


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1))
def test_no_bytes_break_the_decoder(data: bytes, start: int) -> None:
    """Whatever comes, it is one of three words."""
    for one in (data, answer(data, start=start)):
        assert verity.decode(one) in {"verified", "corrupted", ""}


def test_the_device_of_a_mount() -> None:
    """The last mount at a place counts; a place without one has none."""
    assert verity.device(MOUNTS) == "253:0"
    assert verity.device(MOUNTS, "/usr") == "253:4"
    assert verity.device(MOUNTS + "40 1 253:9 / / ro - erofs /dev/y ro\n") == "253:9"
    assert verity.device(MOUNTS, "/home") == verity.device("junk\n") == ""


def test_a_device_that_is_none(tmp_path: Path) -> None:
    """What is not there, or no device-mapper device, is not verified and is no error."""
    (tmp_path / "control").touch()

    assert not verity.is_verity("1:3")
    assert not verity.is_verity("")
    assert verity.state("1:3", str(tmp_path / "none")) == ""
    assert verity.state("1:3", str(tmp_path / "control")) == ""
    assert verity.state("junk") == ""
    assert verity.state("-1:99999999999999999999", str(tmp_path / "control")) == ""
