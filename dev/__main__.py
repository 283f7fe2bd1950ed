"""`python -I -m dev run|up|down|bench|images|vm …`: what the Makefile calls.

An entry point of its own, because Ctrl-C may come while the rest is still being imported.
"""

import errno
import importlib
import os
import sys

MODULES = {
    "run": "play",
    "up": "up",
    "down": "up",
    "bench": "bench",
    "images": "images",
    "host-image": "hostimage",
    "host-lock": "hostpackages",
    "host-update": "hostupdate",
    "vm": "vm",
    "vm-up": "vm",
    "vm-down": "vm",
    "vm-test": "vm_test",
}
INTERRUPTED = 130
OWN_VERBS = {"up", "down", "vm", "vm-up", "vm-down"}
"""Verbs of programs that have several."""


def main() -> int:
    """Run one of the programs; return the exit status."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in MODULES:
        print(f"dev: name one of {', '.join(MODULES)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"dev.{MODULES[verb]}")
        words = sys.argv[1:] if verb in OWN_VERBS else sys.argv[2:]
        status: int = module.main(words)
    except OSError as error:
        print(f"make {verb}: {_line(error)} [MACHINE]", file=sys.stderr)
        return 6
    except KeyboardInterrupt:
        print(f"make {verb}: interrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    return status


def _line(error: OSError) -> str:
    """Return what is wrong with the machine, and the next step where there is one to name."""
    hint = "; make room there and run it again" if error.errno == errno.ENOSPC else ""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}{hint}"


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:
        # Where the interrupt fell into a class that a decorator was making (exec of a text), Python
        # remembers it as unhandled, whoever caught it, and would end by the signal.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
