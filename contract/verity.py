"""What dm-verity says of the device that a host's root lies on, asked by the kernel's own call.

Only the standard library's small parts: sheltie reads it before a prompt. linux/dm-ioctl.h.
"""

from __future__ import annotations

import fcntl
import os
import struct

__all__ = ["CORRUPTED", "VERIFIED", "decode", "device", "is_verity", "state"]

VERIFIED = "verified"
CORRUPTED = "corrupted"
CONTROL = "/dev/mapper/control"
PREFIX = "CRYPT-VERITY-"
"""How the uuid of a device begins that systemd or veritysetup made."""
_SIZE = 4096
_STATUS = 0xC138FD0C  # DM_TABLE_STATUS
_NO_FLUSH = 1 << 11
_LETTERS = {b"V": VERIFIED, b"C": CORRUPTED}
_VERSION = (4, 0, 0)
_HEAD = struct.Struct("=3I3IiIIIQ128s129s7s")
"""Version, size, where the data starts, targets, open count, flags, event, padding, device, name,
uuid."""
_TARGET = struct.Struct("=QQiI16s")


def device(mountinfo: str, point: str = "/") -> str:
    """Return MAJOR:MINOR of what is mounted there (proc_pid_mountinfo(5)), or nothing."""
    found = ""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4 and fields[4] == point:  # noqa: PLR2004  the mount point's field
            found = fields[2]  # the last mount at a place is the one seen
    return found


def is_verity(numbers: str) -> bool:
    """Whether a device is one that verity watches over."""
    try:
        with open(f"/sys/dev/block/{numbers}/dm/uuid", encoding="ascii") as file:  # noqa: PTH123  lean
            return file.read().startswith(PREFIX)
    except (OSError, ValueError):
        return False


def state(numbers: str, control: str = CONTROL) -> str:
    """Return `verified` or `corrupted`; nothing where the kernel cannot be asked."""
    major, _, minor = numbers.partition(":")
    request = bytearray(_SIZE)
    try:
        number = os.makedev(int(major), int(minor))
        told = (_SIZE, _HEAD.size, 0, 0, _NO_FLUSH, 0, 0, number, b"", b"", b"")
        _HEAD.pack_into(request, 0, *_VERSION, *told)
        descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError, OverflowError, struct.error):
        return ""
    try:
        fcntl.ioctl(descriptor, _STATUS, request, True)  # noqa: FBT003  the call's own shape
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return decode(bytes(request))


def decode(answer: bytes) -> str:
    """Return what the first target, which must be verity, says of itself."""
    if len(answer) < _HEAD.size:
        return ""
    start, count = _HEAD.unpack_from(answer)[4:6]
    if not count or start + _TARGET.size > len(answer):
        return ""
    kind = _TARGET.unpack_from(answer, start)[4].rstrip(b"\0")
    words = answer[start + _TARGET.size :].partition(b"\0")[0]
    return _LETTERS.get(words[:1], "") if kind == b"verity" else ""
