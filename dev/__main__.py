"""`python -I -m dev run|up|down|bench|images …`: what the Makefile calls.

An entry point of its own, because Ctrl-C may come while the rest is still being imported.
"""

import importlib
import sys

MODULES = {"run": "play", "up": "up", "down": "up", "bench": "bench", "images": "images"}


def main() -> int:
    """Run one of the programs; return the exit status."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in MODULES:
        print(f"dev: name one of {', '.join(MODULES)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"dev.{MODULES[verb]}")
        words = sys.argv[1:] if verb in {"up", "down"} else sys.argv[2:]
        status: int = module.main(words)
    except KeyboardInterrupt:
        print(f"make {verb}: interrupted; nothing is left running", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
