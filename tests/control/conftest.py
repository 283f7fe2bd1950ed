"""A fake host of each kind, and control's command line on it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.fakehost import FakeHost, running

CLONE = Path(__file__).resolve().parents[2]
CALL = (
    "import sys; sys.argv[0] = sys.argv.pop(1); from control.__main__ import main; sys.exit(main())"
)


@dataclass(frozen=True)
class Control:
    """Control's programs, as a process each, on one host."""

    host: FakeHost
    state: Path

    def argv(self, name: str, *words: str) -> list[str]:
        """Return the argv of `name` (a script's name, or `control` and a command in `words`)."""
        interpreter = [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path[:0] = {[str(CLONE)]}; {CALL}",
        ]
        where = ["--socket-path", self.host.path, "--state", str(self.state)]
        first = words[:1] if name == "control" else ()
        return [*interpreter, f"/usr/bin/{name}", *first, *where, *words[len(first) :]]

    def run(
        self, name: str, *words: str, stdin: str = "", timeout: float = 30
    ) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        return subprocess.run(
            self.argv(name, *words),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def json(self, name: str, *words: str) -> Any:
        """Run it with --json and return what it printed."""
        done = self.run(name, *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(params=["ours", "stock"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """Control on a host of each kind."""
    with running(stock=request.param == "stock") as host:
        yield Control(host, tmp_path)


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Control]:
    """Control on a host of ours."""
    with running(stock=False) as host:
        yield Control(host, tmp_path)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Control]:
    """Control on a stock host."""
    with running(stock=True) as host:
        yield Control(host, tmp_path)
