"""`make vm-test`: the tests of the host's image, and the main job's own, unchanged.

One machine is booted with the main job's settings; tests that need one with other settings boot
their own beside it, one after the other. What is said of the stand-in and of the machine around it
(tests/e2e/test_ground, test_machine, test_callers) has no meaning there and is left out by name.
With SHELTIE_SOAK=1 also what takes long under emulation and shows what other tests show; with
--short what every change has to pass: the first boot, what is in the image, and how one comes in.
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

SHORT = ("arrival", "boot", "files")
E2E = ("entry", "control", "daemon", "untouched")
LONG = ("keys",)
"""Each of these opens and shuts the door several times, half a minute each."""
BULK_MEGABYTES = "5"
"""Of data through a session: the processor is emulated."""
ENDING_SECONDS = 60
PATIENCE = "5"
"""How much longer every wait is, for the same reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Boot, test, end; return the exit status of the first tests that failed."""
    parser = argparse.ArgumentParser(prog="make vm-test", description=__doc__)
    parser.add_argument("--site", type=Path, default=CLONE / ".sheltie/vm-test")
    parser.add_argument("--short", action="store_true", help="what every change has to pass")
    parser.add_argument("words", nargs="*", help="words for pytest, after --")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    site = Site(options.site.resolve())
    place = site.root / "vm"
    steps = Steps()
    try:
        need_root()
        site.make()
        vm.stop(place, site)
        with steps.step("the host's image") as note:
            image = hostimage.build(note.update)
            note.text = image.about["roothash"]
        with ending(site):
            try:
                vm.up(place, site, steps, image)
                return _tests(str(site.root / "vm.json"), options.words, short=options.short)
            finally:
                vm.stop(place, site)
                steps.say(f"make vm-test: {steps.total:.0f} s")
    except SheltieError as error:
        print(f"make vm-test: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make vm-test: interrupted; nothing is left running", file=sys.stderr)
        return 130


def _tests(up: str, words: Sequence[str], *, short: bool) -> int:
    soak = bool(os.environ.get("SHELTIE_SOAK"))
    e2e = [f"tests/e2e/test_{name}.py" for name in ((*E2E, *LONG) if soak else E2E)]
    chosen = [f"tests/vm/test_{name}.py" for name in SHORT] if short else ["tests/vm", *e2e]
    argv = [PYTHON, "-I", "-m", "pytest", "-p", "no:randomly", "--durations=15"]
    argv += ["-m", "vm or e2e" if soak else "(vm or e2e) and not soak"]
    settings = {
        "SHELTIE_VM": up,
        "SHELTIE_UP": up,
        "SHELTIE_BULK_MB": BULK_MEGABYTES,
        "SHELTIE_PATIENCE": PATIENCE,
    }
    environment = {**os.environ, **settings}
    with subprocess.Popen([*argv, *chosen, *words], cwd=CLONE, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait(ENDING_SECONDS)  # it was told too, and ends the machines that it booted
            raise
