"""A machine's disk as an attacker or a bad day has it: its partition table, and single bytes.

GUID partition table: UEFI, chapter 5. The kernel believes the first table while its sums are right.
"""

import struct
import zlib
from pathlib import Path

SECTOR = 512
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")


def starts(disk: Path) -> dict[str, int]:
    """Return where the partitions of the first table begin, in bytes, by label."""
    with disk.open("rb") as file:
        _, entries = _read(file.read(64 << 10))
    return {_label(entry): entry[2] * SECTOR for entry in entries if entry[2]}


def relabel(disk: Path, old: str, new: str) -> None:
    """Give a partition another label."""
    with disk.open("r+b") as file:
        data = bytearray(file.read(64 << 10))
        header, entries = _read(data)
        number = [_label(entry) for entry in entries].index(old)
        first = header[10] * SECTOR
        words = (*entries[number][:5], new.encode("utf-16-le"))
        ENTRY.pack_into(data, first + number * ENTRY.size, *words)
        table = bytes(data[first : first + header[11] * ENTRY.size])
        head = [*header[:3], 0, *header[4:13], zlib.crc32(table)]
        head[3] = zlib.crc32(HEADER.pack(*head))
        HEADER.pack_into(data, SECTOR, *head)
        file.seek(0)
        file.write(data)


def flip(disk: Path, offset: int) -> None:
    """Change one bit of a byte."""
    with disk.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _read(data: bytes | bytearray) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    header = HEADER.unpack_from(data, SECTOR)
    assert header[0] == b"EFI PART"
    assert header[12] == ENTRY.size
    first = header[10] * SECTOR
    entries = [ENTRY.unpack_from(data, first + number * ENTRY.size) for number in range(header[11])]
    return header, entries


def _label(entry: tuple[int, ...]) -> str:
    return bytes(entry[5]).decode("utf-16-le").rstrip("\0")
