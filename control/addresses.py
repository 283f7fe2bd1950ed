"""The host's own addresses: control shares its network namespace. Never a name, never DNS."""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ["own_addresses", "reachable"]

_SIOCGIFCONF: Final = 0x8912  # netdevice(7)
_IFREQ: Final = struct.Struct("16s16s8x")  # struct ifreq with a sockaddr_in, 64-bit kernels
_INTERFACES_MAX: Final = 256
_SCOPE_GLOBAL: Final = "00"  # /proc/net/if_inet6, fourth column
_IF_INET6: Final = Path("/proc/net/if_inet6")
# RFC 5737 and RFC 3849: for documentation, so nothing can answer; connect sends no packet anyhow.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def reachable(
    listen: Iterable[tuple[str, int]], own: Iterable[str] | None = None
) -> list[tuple[str, int]]:
    """Return where the listening addresses can be reached, the likeliest first.

    A wildcard stands for the host's own addresses of its family, loopback only where there is no
    other. `own` is own_addresses() unless given.
    """
    found: dict[tuple[str, int], None] = {}
    known = list(own) if own is not None else None
    for host, port in listen:
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104  compared, not bound
        if not address.is_unspecified:
            found[str(address), port] = None
            continue
        known = own_addresses() if known is None else known
        family = [text for text in known if ipaddress.ip_address(text).version == address.version]
        far = [text for text in family if not ipaddress.ip_address(text).is_loopback]
        for text in far or family:
            found[text, port] = None
    return sorted(found, key=lambda place: ":" in place[0])


def own_addresses() -> list[str]:
    """Return this network namespace's addresses: those that lead elsewhere first."""
    found = dict.fromkeys([*_leading_elsewhere(), *_ipv4(), *_ipv6()])
    return sorted(found, key=lambda text: ipaddress.ip_address(text).is_loopback)


def _leading_elsewhere() -> Iterator[str]:
    """Yield the source address of the way out, for each family that has one."""
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                yield probe.getsockname()[0]
        except OSError:
            continue


def _ipv4() -> Iterator[str]:
    """Yield the interfaces' IPv4 addresses (netdevice(7), SIOCGIFCONF)."""
    room = bytearray(_IFREQ.size * _INTERFACES_MAX)
    import ctypes

    pinned = (ctypes.c_char * len(room)).from_buffer(room)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("iP", len(room), ctypes.addressof(pinned))
        answer = fcntl.ioctl(probe, _SIOCGIFCONF, request)
    (size,) = struct.unpack_from("i", answer)
    for _, address in _IFREQ.iter_unpack(bytes(room[: size - size % _IFREQ.size])):
        yield socket.inet_ntop(socket.AF_INET, address[4:8])


def _ipv6() -> Iterator[str]:
    """Yield the global IPv6 addresses and loopback; there is no file without IPv6."""
    try:
        lines = _IF_INET6.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        digits, _, _, scope, *_ = line.split()
        address = ipaddress.IPv6Address(int(digits, 16))
        if scope == _SCOPE_GLOBAL or address.is_loopback:
            yield str(address)
