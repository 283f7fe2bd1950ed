"""The control image without an engine: what its Dockerfile copies stands on its own feet."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev import recipe

CLONE = Path(__file__).resolve().parents[2]
FORBIDDEN = ("admin", "host", "dev", "asyncssh", "cryptography", "paramiko")
PROBE = """
import importlib, importlib.util, json, pkgutil, sys
sys.path[:0] = sys.argv[1:3]
modules = []
for room in ("contract", "control"):
    package = importlib.import_module(room)
    found = pkgutil.walk_packages(package.__path__, room + ".")
    modules += [one.name for one in found]
for name in modules:
    importlib.import_module(name)
forbidden = sys.argv[3:]
print(json.dumps({
    "imported": modules,
    "loaded": [name for name in forbidden if name in sys.modules],
    "findable": [name for name in forbidden if importlib.util.find_spec(name)],
}))
"""


@pytest.mark.parametrize("name", ["admin", "control"])
def test_each_image_copies_its_rooms_and_nothing_else(name: str) -> None:
    """A Dockerfile reads contract, its own room and its own folder of images/, wholly."""
    allowed = {"contract", name, f"images/{name}"}
    sources = recipe.copied((CLONE / f"Dockerfile.{name}").read_text())
    for source in sources:
        assert any(source == one or source.startswith(f"{one}/") for one in allowed), source
    assert allowed <= set(sources)


@pytest.mark.parametrize("name", ["admin", "control"])
def test_context_lets_everything_in_that_is_copied(name: str) -> None:
    """The .dockerignore names each copied tree as an exception, and nothing of other rooms."""
    lines = (CLONE / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    for source in recipe.copied((CLONE / f"Dockerfile.{name}").read_text()):
        assert any(source == one or source.startswith(f"{one}/") for one in let_in), source


def test_no_registry_is_named() -> None:
    """A base image without a host's name: each machine's engine knows where it gets it."""
    for name in ("admin", "control"):
        text = (CLONE / f"Dockerfile.{name}").read_text()
        assert "ARG BASE=debian:trixie-slim" in text
        assert not re.search(r"^FROM (?!\$\{BASE\}|scratch)", text, re.MULTILINE)


def test_what_control_copies_imports_alone(tmp_path: Path) -> None:
    """Each module of control and contract imports with only the copied trees and the pins."""
    trees, pins = tmp_path / "trees", tmp_path / "pins"
    recipe.gather(CLONE, CLONE / "Dockerfile.control", trees)
    _link_pins(CLONE / "images/control/requirements.txt", pins)
    argv = [sys.executable, "-I", "-S", "-c", PROBE, str(trees), str(pins), *FORBIDDEN]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "contract.userdata" in answer["imported"]
    assert any(name.startswith("control.") for name in answer["imported"])
    assert answer["loaded"] == []
    assert answer["findable"] == []


def _link_pins(requirements: Path, pins: Path) -> None:
    """Link the pinned distributions of the environment into a directory of their own."""
    pins.mkdir()
    for line in requirements.read_text().splitlines():
        found = re.match(r"^([A-Za-z0-9._-]+)==(?!.*sys_platform == 'win32')", line)
        if not found:
            continue
        distribution = importlib.metadata.distribution(found[1])
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
        for top in tops:
            if not (pins / top).exists():
                (pins / top).symlink_to(Path(str(distribution.locate_file(top))))
