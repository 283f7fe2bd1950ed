"""`make vm-test`: one virtual machine, the tests of the image, then the main job's own, unchanged.

What is said of the stand-in and of the machine around it (tests/e2e/test_ground, test_machine) has
no meaning there and is left out by name.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import SheltieError
from dev import hostimage, vm
from dev.site import CLONE, PYTHON, Site
from dev.steps import Steps
from dev.up import ending
from dev.workshop import need_root

__all__ = ["main"]

E2E = ("control", "daemon", "entry", "keys", "untouched")
BULK_MEGABYTES = "5"
"""Of data through a session: the processor is emulated."""
PATIENCE = "5"
"""How much longer every wait is, for the same reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Boot, test, end; return the exit status of the first tests that failed."""
    parser = argparse.ArgumentParser(prog="make vm-test", description=__doc__)
    parser.add_argument("--site", type=Path, default=CLONE / ".sheltie/vm-test")
    parser.add_argument("words", nargs="*", help="words for pytest, after --")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    site = Site(options.site.resolve())
    place = site.root / "vm"
    try:
        need_root()
        site.make()
        vm.stop(place, site)
        steps = Steps()
        with steps.step("the host's image") as note:
            image = hostimage.build(note.update)
            note.text = image.about["roothash"]
        with ending(site):
            try:
                vm.up(place, site, steps, image)
                return _tests(site, options.words)
            finally:
                vm.stop(place, site)
    except SheltieError as error:
        print(f"make vm-test: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make vm-test: interrupted; nothing is left running", file=sys.stderr)
        return 130


def _tests(site: Site, words: Sequence[str]) -> int:
    up = str(site.root / "vm.json")
    pytest = [PYTHON, "-I", "-m", "pytest", "-p", "no:randomly", *words]
    e2e = [f"tests/e2e/test_{name}.py" for name in E2E]
    runs: list[tuple[list[str], dict[str, str]]] = [
        (["-m", "vm", "tests/vm"], {"SHELTIE_VM": up}),
        (e2e, {"SHELTIE_UP": up, "SHELTIE_BULK_MB": BULK_MEGABYTES}),
    ]
    status = 0
    for arguments, settings in runs:
        argv, environment = (
            [*pytest, *arguments],
            {**os.environ, "SHELTIE_PATIENCE": PATIENCE, **settings},
        )
        done = subprocess.run(argv, cwd=CLONE, env=environment, check=False)
        status = status or done.returncode
    return status
