"""The listeners' zygote: loads the SSH library, gives up every privilege, and forks.

`python -I -m admin.ssh.listen_zygote CHANNEL UID GID`
"""

import ctypes.util
import signal
import socket
import sys

from admin.ssh.confine import drop_privileges, end_with_parent
from admin.ssh.frame import Channel
from admin.ssh.zygote import Spawn, prepare, serve


def main(argv: list[str]) -> None:
    """Serve the channel whose descriptor is the first argument."""
    descriptor, uid, gid = map(int, argv)
    end_with_parent(signal.SIGTERM)
    # The library looks for optional libraries by running compilers and ldconfig: we want none.
    ctypes.util.find_library = _no_library
    from admin.ssh import listener, rehearsal, server

    server.take_over()
    prepare(rehearsal.rehearse)
    # All is loaded by now, and no byte of a peer has come: the code may be root's alone to read.
    drop_privileges(uid, gid)
    serve(Channel(socket.socket(fileno=descriptor), Spawn), listener.work, listener.prepare)


def _no_library(name: str) -> str | None:  # noqa: ARG001  the shape of what it replaces
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
