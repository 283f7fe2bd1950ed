"""Whether a new image is well: run by sheltie-health.service, once, while its boots are counted.

The daemon answers, control runs where it is wanted, and every program in STATE/health.d ends with
status 0. Otherwise the unit fails, the host reboots, and the loader gives way to the image before.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from contract.apiclient.client import HostApi
from contract.errors import FailedError, SheltieError
from contract.places import RUN, STATE
from host import release
from host.update import notes
from host.update.places import Places

__all__ = ["CHECKS", "check", "main"]

CHECKS: Final = "health.d"
"""Operators' own checks: programs of the data partition, in the order of their names."""
CONTROL: Final = "control"
SECONDS: Final = 420.0
"""For daemon and control: an emulated or a loaded host takes its time."""
CHECK_SECONDS: Final = 120.0
_STEP_SECONDS: Final = 0.5
_WORDS_MAX: Final = 300


def main(words: Sequence[str] = ()) -> int:
    """Check; note why not, for the image that then runs; return the exit status."""
    state = Path(words[0]) if words else Path(STATE)
    socket = words[1] if len(words) > 1 else f"{RUN}/api/host/api.sock"
    try:
        check(HostApi(socket), state / CHECKS, SECONDS)
    except SheltieError as error:
        version = release.read()["version_id"]
        sys.stderr.write(f"version {version} is not well: {error.message}\n")
        notes.put(Places(state / "updates").notes, version, error.message)
        return error.exit_status
    return 0


def check(api: HostApi, checks: Path, seconds: float) -> None:
    """Raise FailedError (UNHEALTHY) with the first thing that is not well after `seconds`."""
    _await(api, seconds)
    try:
        programs = sorted(path for path in checks.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwell(f"{checks} cannot be read: {error.strerror}") from error
    for program in programs:
        _run(program)


def _await(api: HostApi, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while why := _lacking(api):
        if time.monotonic() > deadline:
            raise _unwell(why)
        time.sleep(_STEP_SECONDS)


def _lacking(api: HostApi) -> str:
    """Return what of daemon and control is not up; nothing when all is."""
    try:
        containers: list[dict[str, Any]] = api.read("/sheltie/v1/status")["containers"]
    except SheltieError as error:
        return f"the daemon does not answer: {error.message}"
    control = next((one for one in containers if one["name"] == CONTROL), None)
    if control is None:
        return "the settings do not name control yet"
    if not control["enabled"] or control["state"] == "running":
        return ""
    return f"control is {control['state']}: {control.get('reason') or 'no reason given'}"


def _run(program: Path) -> None:
    try:
        done = subprocess.run(
            [str(program)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unwell(f"{program.name} did not end in {CHECK_SECONDS:.0f} s") from error
    except OSError as error:
        raise _unwell(f"{program.name} cannot be run: {error.strerror}") from error
    if done.returncode:
        words = done.stdout.decode("utf-8", "replace").split()
        said = " ".join(words)[-_WORDS_MAX:]
        raise _unwell(f"{program.name}: {said or f'exit status {done.returncode}'}")


def _unwell(why: str) -> FailedError:
    return FailedError(why, code="UNHEALTHY")


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
