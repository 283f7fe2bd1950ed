"""Keep one command running: what `Restart=on-failure` does on a host that has systemd.

`python -I -m dev.respawn COMMAND…` starts the command again when it fails, after a short rest,
until TERM comes; TERM is passed on and waited for. What fails at once too often is given up.
"""

import signal
import subprocess
import sys
import time

__all__ = ["respawn"]

REST_SECONDS = 0.1
BRIEF_SECONDS = 1.0
BRIEF_RUNS_MAX = 5
"""After so many runs in a row shorter than BRIEF_SECONDS the command is given up."""


class _Ended(Exception):  # noqa: N818  a request, no error
    """TERM came."""


def respawn(argv: list[str]) -> int:
    """Run `argv` for as long as nobody ends us; return the exit status to leave with."""
    brief = 0
    process: subprocess.Popen[bytes] | None = None
    try:
        while True:
            begun = time.monotonic()
            process = subprocess.Popen(argv)
            status = process.wait()
            if status == 0:
                return 0  # it was asked to end
            brief = brief + 1 if time.monotonic() - begun < BRIEF_SECONDS else 0
            if brief >= BRIEF_RUNS_MAX:
                return status if status > 0 else 1
            time.sleep(REST_SECONDS)
    except _Ended:
        if process is not None:
            process.terminate()
            process.wait()
        return 0


def _end(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Ended


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(respawn(sys.argv[1:]))
