"""A program run within bounds: a fixed argv, no shell, a clean environment, so long and so much."""

import os
import select
import shutil
import subprocess
import time

from admin.sheltie.command import PATH
from contract.errors import FailedError, MachineError

__all__ = ["find", "lines", "run"]

SECONDS = 20
OUTPUT_MAX = 16 << 20
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/", "SYSTEMD_COLORS": "0"}


def find(*names: str) -> str:
    """Return the path of the first of these programs, or nothing."""
    return next((path for name in names if (path := shutil.which(name, path=PATH))), "")


def run(argv: list[str], *, seconds: int = SECONDS, may_be_cut: bool = False) -> bytes:
    """Return what `argv` prints. Raises FailedError, MachineError.

    With `may_be_cut` the end of its time is no error, and what it said until then is returned.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
    except OSError as error:
        raise MachineError(f"{argv[0]}: {error.strerror}", code="REPORT_PROGRAM") from error
    with process:
        try:
            said, complained, cut = _read(process, time.monotonic() + seconds)
        finally:
            process.kill()
        status = process.wait()
    if cut and not may_be_cut:
        raise FailedError(f"{argv[0]} {cut}", code="REPORT_BOUND")
    if status and not cut:
        words = complained.decode(errors="replace").strip().splitlines() or [f"status {status}"]
        raise FailedError(f"{argv[0]}: {words[-1]}", code="REPORT_PROGRAM")
    return said


def lines(output: bytes) -> list[str]:
    """Return a program's output by lines, whatever bytes are in it."""
    return output.decode(errors="replace").splitlines()


def _read(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytes, bytes, str]:
    """Read both streams; return them, and which bound was met."""
    assert process.stdout is not None  # noqa: S101  for the type checker
    assert process.stderr is not None  # noqa: S101  likewise
    found = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    out, err = found.values()
    open_ = set(found)
    cut = ""
    while open_ and not cut:
        left = deadline - time.monotonic()
        ready = select.select(open_, [], [], max(left, 0))[0]
        if not ready:
            cut = "did not end in time"
        for descriptor in ready:
            data = os.read(descriptor, 65536)
            found[descriptor] += data
            if not data:
                open_.discard(descriptor)
        if len(out) + len(err) > OUTPUT_MAX:
            cut = f"said more than {OUTPUT_MAX >> 20} MB"
    return bytes(out), bytes(err), cut
