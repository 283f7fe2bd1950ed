"""What may be forwarded: user-data's word for everybody, the key's options on top. Pure.

Port forwarding reaches what the host's own network reaches, so nothing is on unless user-data says
so. Sockets in the file system and X11 are never forwarded, and nothing here could allow them.
"""

import ipaddress
from typing import Final

import msgspec

from admin.ssh.options import Options

__all__ = [
    "CLOSED",
    "HOST_MAX",
    "LISTENS_MAX",
    "LOW_PORTS",
    "OPEN_MAX",
    "TRIES_MAX",
    "Forwarding",
    "agent_refusal",
    "listen_refusal",
    "open_refusal",
]

HOST_MAX: Final = 255
PORTS: Final = range(1, 65536)
EVERYWHERE: Final = ("", "*")
"""What stands for every address: the client gets loopback all the same."""
LOW_PORTS: Final = range(1, 1024)
"""Root's alone to listen on, whatever the kernel says (sshd does the same)."""
OPEN_MAX: Final = 64
"""Forwarded connections in one SSH connection; a listener may hold 128 descriptors."""
TRIES_MAX: Final = 16
"""Of them, those that are just being opened: each is a process."""
LISTENS_MAX: Final = 16
"""Ports that are listened on for one client: each is a process."""


class Forwarding(msgspec.Struct, frozen=True):
    """What is on for everybody: connections from here, ports here, the client's agent."""

    local: bool = False
    remote: bool = False
    agent: bool = False


CLOSED: Final = Forwarding()


def open_refusal(on: Forwarding, options: Options, host: str, port: int) -> str:
    """Return why a connection to `host` and `port` is not opened for the client; "" if it is."""
    if not on.local:
        return "user-data does not allow it (sheltie.allow-tcp-forwarding)"
    if not (_is_host(host) and port in PORTS):
        return "it is no host and port"
    if not options.may_open(host, port):
        return "the key does not allow it"
    return ""


def listen_refusal(on: Forwarding, options: Options, host: str, port: int, *, root: bool) -> str:
    """Return why `host` and `port` (0: any) are not listened on for the client; "" if they are."""
    if not on.remote:
        return "user-data does not allow it (sheltie.allow-tcp-forwarding)"
    if not ((host in EVERYWHERE or _is_host(host)) and (not port or port in PORTS)):
        return "it is no host and port"
    if port in LOW_PORTS and not root:
        return "ports below 1024 are root's"
    if not options.may_listen(host, port):
        return "the key does not allow it"
    return ""


def agent_refusal(on: Forwarding, options: Options) -> str:
    """Return why the client's agent is not reached from here; "" if it is."""
    if not on.agent:
        return "user-data does not allow it (sheltie.allow-agent-forwarding)"
    return "" if options.agent_forwarding else "the key does not allow it"


def _is_host(host: str) -> bool:
    """Whether it may be a name or an address: it goes to the resolver, and to the log."""
    if not 0 < len(host) <= HOST_MAX:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return all(one.isascii() and (one.isalnum() or one in "-_.") for one in host)
    return "%" not in host or host.isprintable()
