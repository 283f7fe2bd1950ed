"""What dm-verity says of the device that a host's root lies on, asked by the kernel's own call.

sheltie reads it before a prompt, so hardly anything is imported. linux/dm-ioctl.h.
"""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms
import sys

__all__ = ["CORRUPTED", "VERIFIED", "decode", "device", "is_verity", "state"]

VERIFIED = "verified"
CORRUPTED = "corrupted"
CONTROL = "/dev/mapper/control"
PREFIX = "CRYPT-VERITY-"
"""How the uuid of a device begins that systemd or veritysetup made."""
SIZE = 4096
STATUS = 0xC138FD0C  # DM_TABLE_STATUS
NO_FLUSH = 1 << 11
LETTERS = {b"V": VERIFIED, b"C": CORRUPTED}
# struct dm_ioctl: where its members are that are of use here.
VERSION, DATA_SIZE, DATA_START, TARGETS, FLAGS, DEVICE, HEAD = 0, 12, 16, 20, 28, 40, 312
# struct dm_target_spec, which the target's own words follow.
KIND, WORDS = 24, 40


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
    import fcntl  # only where there is somebody to ask

    major, _, minor = numbers.partition(":")
    request = bytearray(SIZE)
    told = ((VERSION, 4), (DATA_SIZE, SIZE), (DATA_START, HEAD), (FLAGS, NO_FLUSH))
    try:
        for place, number in (*told, (DEVICE, os.makedev(int(major), int(minor)))):
            request[place : place + 4] = number.to_bytes(4, sys.byteorder)
        descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError, OverflowError):
        return ""
    try:
        fcntl.ioctl(descriptor, STATUS, request, True)  # noqa: FBT003  the call's own shape
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return decode(bytes(request))


def decode(answer: bytes) -> str:
    """Return what the first target, which must be verity, says of itself."""
    start, targets = (
        int.from_bytes(answer[place : place + 4], sys.byteorder) for place in (DATA_START, TARGETS)
    )
    target = answer[start:]
    if len(answer) < HEAD or not targets or len(target) < WORDS:
        return ""
    kind = target[KIND:WORDS].rstrip(b"\0")
    return LETTERS.get(target[WORDS : WORDS + 1], "") if kind == b"verity" else ""
