"""The host's console: it says what this host is, and leads into control. Nobody logs in.

Enter opens control's shell (as its unprivileged user), through the runtime and not the API: it
opens also while the daemon is ill. Where control does not run, the console says why.
"""

import os
import sys
from pathlib import Path
from typing import Final

from contract.errors import SheltieError
from contract.places import RUN, STATE
from contract.status import SystemStatus
from host import ask, release
from host.runtime import exec_attached
from host.system import image

__all__ = ["greeting", "main"]

USER: Final = "ssm-user"
SHELL: Final = ("bash", "-l")
_CLEAR: Final = "\x1b[0m\r\n"


def main() -> int:
    """Greet, wait for Enter, run control's shell, and end: systemd starts us anew."""
    sys.stdout.write(_CLEAR + greeting(image.read()) + "\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        return 0  # nobody is there
    try:
        return exec_attached(Path(STATE), Path(RUN), "control", SHELL, tty=True, user=USER)
    except SheltieError as error:
        sys.stdout.write(f"{error.line()}\n{_why()}\n")
        return error.exit_status


def greeting(found: SystemStatus | None) -> str:
    """Return what the console says of this host."""
    slot = f"image {found.slot}, root hash {found.root_hash}\n" if found else ""
    return (
        f"{release.read()['pretty_name']} on {os.uname().nodename}\n{slot}"
        "Nobody logs in here. Enter opens a shell in the control container."
    )


def _why() -> str:
    """Return what the daemon says of control, in one line."""
    try:
        status = ask.status(Path(RUN) / "api/host/api.sock")
    except SheltieError as error:
        return error.line()
    for container in status.containers:
        if container.name == "control":
            return f"control is {container.state}: {container.reason or 'no reason given'}"
    return "the settings name no container control"


if __name__ == "__main__":
    sys.exit(main())
