"""`layered.py LAYER,LAYER COMMAND…`: a look with these layers only, which no option can ask for."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from admin.look.confine import LAYERS, Look
from admin.sheltie import command, host


def main() -> None:
    """Enter the host and execute."""
    layers = frozenset(filter(None, sys.argv[1].split(",")))
    assert layers <= LAYERS
    look = Look(secrets=False, without=LAYERS - layers)
    host.find().enter()
    look.confine(())
    command.execute(sys.argv[2:], look.environment(command.environment(os.environ)))


if __name__ == "__main__":
    main()
