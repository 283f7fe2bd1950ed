"""Running containers by an OCI runtime: their shapes, their life under conmon, and execs in them.

`exec_attached` serves `hostd exec`, which works while no daemon does.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["exec_attached"]


def exec_attached(
    state: Path, run: Path, name: str, argv: Sequence[str], *, tty: bool, user: str | None
) -> int:
    """Run `argv` in container `name` on our own streams; return its exit status.

    Raises NotFoundError (CONTAINER_NOT_RUNNING, NO_USER), MachineError, FailedError.
    """
    from host.runtime.attached import run as run_attached

    return run_attached(state, run, name, argv, tty=tty, user=user)
