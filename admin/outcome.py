"""How a command that sheltie executes ends: one line for what is wrong, and a status."""

import sys
from collections.abc import Callable

from contract.errors import SheltieError

__all__ = ["outcome"]

INTERRUPTED = 130


def outcome(run: Callable[[], int]) -> int:
    """Run a command; return its exit status, or that of what kept it from its end."""
    try:
        status = run()
        sys.stdout.flush()
    except SheltieError as error:
        sys.stderr.write(f"sheltie: {error.line()}\n")
        return error.exit_status
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return status
