"""A program run within bounds: a fixed argv, no shell, a clean environment, so long and so much."""

import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass

from admin.sheltie.command import PATH
from contract.errors import FailedError, MachineError

__all__ = ["Done", "complete", "find", "lines", "run"]

SECONDS = 20
OUTPUT_MAX = 16 << 20
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/", "SYSTEMD_COLORS": "0"}


@dataclass(frozen=True)
class Done:
    """How a program ended, what it said on both streams, and which bound it met, if any."""

    status: int
    said: bytes
    complained: bytes
    cut: str = ""

    def last_words(self) -> str:
        """Return its last line, of complaints first."""
        for text in (self.complained, self.said):
            words = text.decode(errors="replace").strip().splitlines()
            if words:
                return words[-1]
        return f"status {self.status}"


def find(*names: str) -> str:
    """Return the path of the first of these programs, or nothing."""
    return next((path for name in names if (path := shutil.which(name, path=PATH))), "")


def run(argv: list[str], *, seconds: int = SECONDS, may_be_cut: bool = False) -> bytes:
    """Return what `argv` prints. Raises FailedError, MachineError.

    With `may_be_cut` the end of its time is no error, and what it said until then is returned.
    """
    done = complete(argv, seconds=seconds)
    if done.cut and not may_be_cut:
        raise FailedError(f"{argv[0]} {done.cut}", code="REPORT_BOUND")
    if done.status and not done.cut:
        raise FailedError(f"{argv[0]}: {done.last_words()}", code="REPORT_PROGRAM")
    return done.said


def complete(argv: list[str], *, seconds: int = SECONDS) -> Done:
    """Run `argv` to its end, or to its bound's. Raises MachineError (REPORT_PROGRAM)."""
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
        return Done(process.wait(), said, complained, cut)


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
