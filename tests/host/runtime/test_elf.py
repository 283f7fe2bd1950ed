"""Which programs run in any root, told from their files."""

import struct
import sys
from pathlib import Path

import pytest

from host.runtime.elf import runs_alone


def program(path: Path, kind: int, *, mode: int = 0o755, bits: int = 2, order: int = 1) -> Path:
    """Write an ELF header and one program header of a kind."""
    mark = "<" if order == 1 else ">"
    ident = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9)
    if bits == 2:
        head = struct.pack(f"{mark}HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        path.write_bytes(ident + head + struct.pack(f"{mark}I", kind) + bytes(52))
    else:
        head = struct.pack(f"{mark}HHIIIIIHHHHHH", 2, 3, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        path.write_bytes(ident + head + struct.pack(f"{mark}I", kind) + bytes(28))
    path.chmod(mode)
    return path


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("order", [1, 2])
def test_with_and_without_an_interpreter(tmp_path: Path, bits: int, order: int) -> None:
    """PT_LOAD alone runs anywhere, PT_INTERP needs the host's linker."""
    assert runs_alone(program(tmp_path / "static", 1, bits=bits, order=order))
    assert not runs_alone(program(tmp_path / "dynamic", 3, bits=bits, order=order))


def test_real_programs() -> None:
    """Debian's static busybox, and Python, which is dynamic."""
    assert runs_alone(Path("/bin/busybox"))
    assert not runs_alone(Path(sys.executable).resolve())


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"#!/usr/bin/python3 -I\n", b"\x7fELF" + b"\xff" * 200, b"\x7fELF\x02\x01"],
)
def test_what_is_no_program(tmp_path: Path, data: bytes) -> None:
    """A script of ours, a broken header, an empty file."""
    path = tmp_path / "file"
    path.write_bytes(data)
    path.chmod(0o755)

    assert not runs_alone(path)


def test_what_cannot_be_run_or_is_not_there(tmp_path: Path) -> None:
    """No execute bit, a directory, a missing file."""
    assert not runs_alone(program(tmp_path / "plain", 1, mode=0o644))
    assert not runs_alone(tmp_path)
    assert not runs_alone(tmp_path / "gone")
