"""A stand-in host with something to harm on it, and a look at it from the container beside it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.admin.sheltie.conftest import PYTHON, Box, made, skip_unless_possible

HERE = Path(__file__).parent
LAYERED = str(HERE / "layered.py")
PLACE = "/tmp/victim"
HOST_PYTHON = "/usr/bin/python3"


@dataclass
class Ground:
    """A container, its host, and the victim there."""

    box: Box
    victim: "subprocess.Popen[str]"

    def where(self) -> dict[str, Any]:
        """Return where the victim's things are, and what happened to them."""
        assert self.victim.stdin is not None
        assert self.victim.stdout is not None
        self.victim.stdin.write("\n")
        self.victim.stdin.flush()
        told: dict[str, Any] = json.loads(self.victim.stdout.readline())
        return told

    def look(self, *command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run a command of the host's in a look."""
        return self.box.run(self.box.sheltie("--look", *command), **options)

    def layered(
        self, layers: str, *command: str, **options: Any
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command with some layers of a look only, their names joined by commas."""
        argv = self.box.argv(PYTHON, "-I", LAYERED, layers, *command)
        return self.box.run(argv, **options)

    def attempts(self, run: "Run", program: str, *arguments: str) -> dict[str, Any]:
        """Run a program of this folder by the host's own Python; return the JSON that it tells."""
        # From a pipe: a clone below /tmp may be too large a directory to be granted.
        source = (HERE / program).read_bytes()
        done = run(HOST_PYTHON, "-I", "-", *arguments, input=source)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        told: dict[str, Any] = json.loads(done.stdout)
        return told


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A host that may be harmed."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("ground")) as box:
        enter = ["nsenter", "-t", str(box.host), "-a", "--"]
        argv = [*enter, HOST_PYTHON, "-I", str(HERE / "victim.py"), PLACE]
        victim = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        )
        with victim:
            ground = Ground(box, victim)
            ground.where()
            yield ground
            assert victim.stdin is not None
            victim.stdin.close()
