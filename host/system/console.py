"""The host's console: it says what this host is, and leads into control. Nobody logs in.

Enter opens control's shell (as its unprivileged user), through the runtime and not the API: it
opens also while the daemon is ill. Where control does not run, the console says why.

While admin attends the console, which a lock on the device tells, it is admin's: we keep silent and
wait. While control's shell is open the lock is ours, and admin waits.
"""

import fcntl
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
LOOK_SECONDS: Final = 1.0
"""How often we look whether admin wants the console."""
_CLEAR: Final = "\x1b[0m\r\n"


def main() -> int:
    """Greet, wait for Enter, run control's shell, and end: systemd starts us anew."""
    while True:
        with _ours():
            pass  # admin is gone from it, if it was there
        sys.stdout.write(_CLEAR + greeting(image.read()) + "\n")
        sys.stdout.flush()
        if not _asked():
            continue
        if not sys.stdin.readline():
            return 0  # nobody is there
        with _ours():
            try:
                return exec_attached(Path(STATE), Path(RUN), "control", SHELL, tty=True, user=USER)
            except SheltieError as error:
                sys.stdout.write(f"{error.line()}\n{_why()}\n")
                return error.exit_status


def _asked() -> bool:
    """Wait for a line; False when admin attends the console meanwhile."""
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        if _taken():
            return False
    return not _taken()


@contextmanager
def _ours() -> Iterator[None]:
    """Wait until nobody else attends the console, and attend it."""
    lock = _device()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _taken() -> bool:
    lock = _device()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _device() -> int:
    # Opened anew: a lock belongs to what was opened, and control's shell inherits our terminal.
    return os.open(os.ttyname(0), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)


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
