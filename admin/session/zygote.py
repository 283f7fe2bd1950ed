"""The sessions' zygote: root, what a session needs preloaded, no key in its memory.

`python -I -m admin.session.zygote CHANNEL`
"""

import os
import signal
import socket
import sys

from admin.session import rehearsal
from admin.session.work import work
from admin.ssh.confine import end_with_parent
from admin.ssh.frame import Channel
from admin.ssh.zygote import Spawn, prepare, serve


def main(argv: list[str]) -> None:
    """Serve the channel whose descriptor is the first argument."""
    end_with_parent(signal.SIGTERM)
    os.umask(0o077)
    prepare(rehearsal.rehearse)
    serve(Channel(socket.socket(fileno=int(argv[0])), Spawn), work)


if __name__ == "__main__":
    main(sys.argv[1:])
