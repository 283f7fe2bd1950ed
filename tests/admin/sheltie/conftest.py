"""A stand-in host with a container of the superpowered shape in it, both without a daemon."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.standin import bring_down, bring_up

CLONE = Path(__file__).resolve().parents[3]
PYTHON = str(CLONE / ".venv/bin/python")
SHELTIE = (PYTHON, "-I", "-m", "admin.sheltie")


@dataclass(frozen=True)
class Box:
    """A container (`pid`) on a host (`host`), both pids as the machine sees them.

    `state` can be written to by the host.
    """

    pid: int
    host: int
    state: Path

    def argv(self, *command: str) -> list[str]:
        """Return the argv that runs `command` in the container."""
        return ["nsenter", "-t", str(self.pid), "-a", "--", *command]

    def sheltie(self, *arguments: str) -> list[str]:
        """Return the argv that runs sheltie in the container."""
        return self.argv(*SHELTIE, *arguments)

    def run(self, argv: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run `argv` on the machine and return what it wrote."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(argv, capture_output=True, check=False, timeout=30, **options)

    def on_host(self, *command: str) -> str:
        """Return what `command` prints on the host."""
        argv = ["nsenter", "-t", str(self.host), "-a", "--", *command]
        return self.run(argv).stdout.decode().strip()

    def mountinfo(self) -> str:
        """Return the host's mounts."""
        return Path(f"/proc/{self.host}/mountinfo").read_text()


@contextmanager
def made(place: Path, *, shell: bool = True) -> Iterator[Box]:
    """Make a host and a container, and end both."""
    record, state = place / "record.json", place / "state"
    (state / "root").mkdir(parents=True)
    for name in ("bash-static", "busybox"):
        shutil.copy(Path("/bin", name), state / name)
    with ExitStack() as stack:
        stack.callback(bring_down, record)
        host = bring_up(record=record, binds=[CLONE], state=state, net=True, shell=shell)
        box = [PYTHON, "-I", str(Path(__file__).with_name("box.py")), str(state)]
        enter = [sys.executable, "-I", "-m", "dev.enter", "--record", str(record), "--"]
        process = subprocess.Popen(
            [*enter, *box], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        stack.enter_context(process)
        stack.callback(process.terminate)
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield Box(int(children.split()[0]), host.pid, state)


def skip_unless_possible() -> None:
    """Skip, loudly, where namespaces cannot be made."""
    if os.geteuid():
        pytest.skip("needs root")


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A container on an ordinary host."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("box")) as one:
        yield one


@pytest.fixture(scope="session")
def bare_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A container on a host without a shell and without coreutils."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("bare"), shell=False) as one:
        yield one
