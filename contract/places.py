"""Where things lie: the paths that more than one room, or upstream, relies on.

Inside a host container the paths are upstream's (core-kit host-ctr `main.go`); on the host they are
ours.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's constant without its import: sheltie has no 8 ms to spare
if TYPE_CHECKING:
    from typing import Final

# Inside a host container.
API_SOCKET: Final = "/run/api.sock"
"""The host API's socket, as every stock client expects it."""
API_DIRECTORY: Final = "/run/host-api"
"""Where the daemon mounts the container's own socket directory; API_SOCKET links into it."""
PERSISTENT: Final = "/.bottlerocket/host-containers/current"
"""The only directory of a host container that survives its restart."""
USER_DATA: Final = f"{PERSISTENT}/user-data"
"""The container's user-data: the decoded bytes of its setting."""
ADMIN_AUDIT: Final = f"{PERSISTENT}/sheltie/audit"
"""Admin's own audit: its sessions, and what was done through it by name."""
HOST_ROOT: Final = "/.bottlerocket/rootfs"
"""The host's root, read-only, in a superpowered container."""
KEEPER_SOCKET: Final = "/run/sheltie/admin.sock"
"""The socket of admin's keeper, for `admin rpc`, `admin status` and sheltie."""
LEDGER_SOCKET: Final = "/run/sheltie/ledger.sock"
"""The socket of admin's ledger, for sessions and `sheltie leftovers`."""
LEDGER: Final = f"{PERSISTENT}/sheltie/ledger"
"""What sessions changed on the host, a record each."""
IMAGE_DIGEST: Final = "/run/sheltie/image-digest"
"""What the host's daemon said of the image that admin runs, kept by the first who asked."""
STATIC_SHELL: Final = "/opt/bin/bash"
"""The static shell of the admin image, at upstream's path."""
STATIC_BUSYBOX: Final = "/opt/bin/busybox"
"""A static busybox, for hosts without coreutils."""

# On the host.
STATE: Final = "/var/lib/sheltie"
"""The daemon's state directory (DESIGN: settings, images, containers, audit, keys)."""
RUN: Final = "/run/sheltie"
"""The daemon's run directory: sockets and scratch, gone at reboot."""

API_GID: Final = 274
"""Group `api`: upstream's number, which the images create too (core-kit api-sysusers.conf)."""
API_MODE: Final = 0o660
"""Mode of an API socket."""
SOCKET_PATH_MAX: Final = 107
"""Longest path of an AF_UNIX socket (unix(7): sun_path is 108 bytes with its NUL)."""
