"""Whether a program runs by itself, in any root: told from its file, not by running it (elf(5))."""

import os
import stat
import struct
from pathlib import Path
from typing import Final

__all__ = ["runs_alone"]

_IDENT: Final = b"\x7fELF"
_HEADER_MAX: Final = 64
_SEGMENTS_MAX: Final = 64
_PT_INTERP: Final = 3
_TYPE_BYTES: Final = 4
# Class (32 or 64 bits): e_phoff's place and form, that of e_phentsize and e_phnum.
_LAYOUT: Final = {1: (28, "I", 42), 2: (32, "Q", 54)}
_ORDER: Final = {1: "<", 2: ">"}


def runs_alone(path: Path) -> bool:
    """Return whether `path` is an executable ELF file without an interpreter.

    A script needs its interpreter and a dynamic program its linker and libraries, which are the
    host's and not the container's.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or not about.st_mode & 0o111:
                return False
            header = file.read(_HEADER_MAX)
            if header[:4] != _IDENT:
                return False
            at, form, sizes = _LAYOUT[header[4]]
            order = _ORDER[header[5]]
            (offset,) = struct.unpack_from(order + form, header, at)
            size, count = struct.unpack_from(f"{order}HH", header, sizes)
            if not _TYPE_BYTES <= size <= _HEADER_MAX or not 0 < count <= _SEGMENTS_MAX:
                return False
            file.seek(offset)
            table = file.read(size * count)
            kinds = [struct.unpack_from(f"{order}I", table, size * one)[0] for one in range(count)]
    except (OSError, IndexError, KeyError, OverflowError, ValueError, struct.error):
        return False
    return _PT_INTERP not in kinds
