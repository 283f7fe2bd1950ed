"""Bytes through admin's SSH server and through sshd: by exec, by SFTP, and to one who never reads.

Each transfer is checked by its digest, outside of its time.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from contract.errors import FailedError
from dev.beside import Row, row, timed
from dev.deaf import BEGINS_SECONDS
from dev.servers import Server
from dev.site import PYTHON

__all__ = ["by_exec", "by_sftp", "to_the_deaf"]

BULK = 128 << 20
ROUNDS = 5
SECONDS = 60
DEAF_SECONDS = 6.0


def by_exec(servers: Sequence[Server], place: Path) -> list[Row]:
    """Measure `cat` both ways."""
    source, there, back = _files(place)
    down: list[list[float]] = [[], []]
    up: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for one, gets, puts in zip(servers, down, up, strict=True):
            argv = one.ssh(f"cat {source}")
            gets.append(_speed(one, argv, source, back, standard_output=back))
            argv = one.ssh(f"cat > {there}")
            puts.append(_speed(one, argv, source, there, standard_input=source))
    return [
        row("download by exec", "MB/s", down, ">= 0.9 x"),
        row("upload by exec", "MB/s", up, ">= 1.1 x"),
    ]


def by_sftp(servers: Sequence[Server], place: Path) -> list[Row]:
    """Measure OpenSSH's sftp both ways: its start and the login are in the time."""
    source, there, back = _files(place)
    down: list[list[float]] = [[], []]
    up: list[list[float]] = [[], []]
    batch = place / "batch"
    for _ in range(ROUNDS):
        for one, gets, puts in zip(servers, down, up, strict=True):
            for words, landed, speeds in (
                (f"get {source} {back}", back, gets),
                (f"put {source} {there}", there, puts),
            ):
                batch.write_text(f"{words}\n")
                speeds.append(_speed(one, one.sftp(batch), source, landed))
    return [row("download by SFTP", "MB/s", down), row("upload by SFTP", "MB/s", up)]


def _files(place: Path) -> tuple[Path, Path, Path]:
    source = place / "source"
    if not source.exists():
        source.write_bytes(os.urandom(1 << 20) * (BULK >> 20))
    return source, place / "there", place / "back"


def _speed(
    one: Server,
    argv: list[str],
    source: Path,
    landed: Path,
    *,
    standard_input: Path = Path(os.devnull),
    standard_output: Path = Path(os.devnull),
) -> float:
    """Run a transfer and return its MB/s. Raises FailedError where bytes are missing."""
    with standard_input.open("rb") as into, standard_output.open("wb") as out:
        seconds = timed(
            lambda: subprocess.run(
                argv, stdin=into, stdout=out, check=True, timeout=SECONDS
            ).check_returncode()
        )
    if _digest(landed) != _digest(source):
        raise FailedError(f"{one.name} lost bytes: {argv[-1]}", code="BENCH_FAILED")
    landed.unlink()
    return BULK / seconds / 1e6


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_the_deaf(servers: Sequence[Server], place: Path) -> Row:
    """Measure by how much a server grows while a client with an open window never reads."""
    grown = []
    for one in servers:
        argv = [PYTHON, "-I", "-m", "dev.deaf", str(one.port), "root", str(place / "id")]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as client:
            try:
                assert client.stdout is not None  # noqa: S101  a pipe
                if client.stdout.readline() != b"deaf\n":
                    raise FailedError(f"{one.name}: no session", code="BENCH_FAILED")
                before = one.look()["memory"]
                time.sleep(BEGINS_SECONDS + DEAF_SECONDS)
                grown.append([(one.look()["memory"] - before) / 1024])
            finally:
                client.kill()
    name = f"growth by a client that never reads, in {DEAF_SECONDS:g} s"
    return row(name, "MB", grown, "< 1 MB")
