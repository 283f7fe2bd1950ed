"""The listeners' zygote: gives up every privilege, loads the SSH library, and forks.

`python -I -m admin.ssh.listen_zygote CHANNEL UID GID`
"""

import gc
import signal
import socket
import sys

from admin.ssh.confine import drop_privileges, end_with_parent
from admin.ssh.frame import Channel
from admin.ssh.zygote import Spawn, serve


def main(argv: list[str]) -> None:
    """Serve the channel whose descriptor is the first argument."""
    descriptor, uid, gid = map(int, argv)
    end_with_parent(signal.SIGTERM)
    drop_privileges(uid, gid)
    from admin.ssh import listener

    gc.collect()
    gc.freeze()  # what is loaded is shared with the children: no collector may touch its pages
    serve(Channel(socket.socket(fileno=descriptor), Spawn), listener.work)


if __name__ == "__main__":
    main(sys.argv[1:])
