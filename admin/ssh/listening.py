"""The sockets that the door listens on."""

import contextlib
import socket

from contract.address import format_address
from contract.errors import MachineError

__all__ = ["listen"]

BACKLOG = 128


def listen(addresses: list[tuple[str, int]]) -> list[socket.socket]:
    """Return a listening socket for each address ("" is every one); all of them or none.

    Raises MachineError (PORT_UNUSABLE).
    """
    with contextlib.ExitStack() as stack:
        made = []
        for host, port in addresses:
            for family, address in _families(host):
                one = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _bind(one, address, port)
                made.append(one)
        stack.pop_all()
        return made


def _bind(one: socket.socket, address: str, port: int) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind((address, port))
        one.listen(BACKLOG)
    except OSError as error:
        raise MachineError(
            f"cannot listen on {format_address(address, port)}: {error.strerror}",
            code="PORT_UNUSABLE",
        ) from error
    one.setblocking(False)  # noqa: FBT003  its only form


def _families(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if not host:
        both = [(socket.AF_INET, "0.0.0.0")]  # noqa: S104  upstream listens everywhere too
        return [*both, (socket.AF_INET6, "::")] if socket.has_ipv6 else both
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]
