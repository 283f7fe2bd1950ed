"""Who is killed when the host's memory ends: neither the daemon nor the door.

Every process hands its score down (proc_pid_oom_score_adj(5)), so what the daemon starts gets the
usual one.
"""

import contextlib
from pathlib import Path
from typing import Final

__all__ = ["PROTECTED", "USUAL", "protect", "release", "spare"]

PROTECTED: Final = -999
"""The last to be killed but for what may not be killed at all."""
USUAL: Final = 0


def protect() -> str:
    """Protect this process; return "" or the sentence that says why that was not possible."""
    try:
        _score("self").write_text(str(PROTECTED))
    except OSError:  # it takes CAP_SYS_RESOURCE
        return (
            "neither the daemon nor admin is spared when memory ends: "
            "root here lacks CAP_SYS_RESOURCE"
        )
    return ""


def spare(pid: int) -> None:
    """Protect another process. Raises OSError."""
    _score(str(pid)).write_text(str(PROTECTED))


def release(pid: int) -> None:
    """Give a process that a protected one has just started the usual score."""
    # It may have ended, and one that was never protected has another score for a reason.
    with contextlib.suppress(OSError):
        if int(_score("self").read_bytes()) == PROTECTED:
            _score(str(pid)).write_text(str(USUAL))


def _score(pid: str) -> Path:
    return Path("/proc", pid, "oom_score_adj")
