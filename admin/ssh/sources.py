"""Lists of addresses: `from` in key lines, `source-address` in certificates, exempt networks. Pure.

Syntax: ssh_config(5) PATTERNS, with addresses as CIDR. Names are refused: the door asks no DNS.
"""

import fnmatch
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from contract.errors import UsageError

__all__ = ["Address", "Network", "Sources", "address_of", "parse_networks", "parse_sources"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ENTRIES_MAX = 256
_MAPPED_PREFIX = 96
"""Bits before the IPv4 address in an IPv4-mapped one (RFC 4291 section 2.5.5.2)."""
_PATTERN = re.compile(r"[0-9a-fA-F.:*?]{1,64}")


@dataclass(frozen=True, slots=True)
class Sources:
    """Entries in their order; each a network or a pattern, and whether it was negated by `!`."""

    entries: tuple[tuple[Network | str, bool], ...]

    def admits(self, address: str) -> bool:
        """Whether `address` is in the list, and in none of its negated entries."""
        found = False
        peer = address_of(address)
        for entry, negated in self.entries:
            if _matches(entry, peer):
                if negated:
                    return False
                found = True
        return found


def parse_sources(text: str) -> Sources:
    """Parse a pattern list. Raises UsageError (SOURCES_BAD)."""
    entries = []
    for part in _parts(text):
        negated = part.startswith("!")
        entries.append((_entry(part[1:] if negated else part), negated))
    return Sources(tuple(entries))


def parse_networks(parts: Iterable[str]) -> Sources:
    """Parse CIDR networks only: no pattern, no negation. Raises UsageError (SOURCES_BAD)."""
    return Sources(tuple((_network(part), False) for part in parts))


def address_of(text: str) -> Address:
    """Return the address of a peer; IPv4 in IPv6's clothes is IPv4, and a zone is left out."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if len(parts) > ENTRIES_MAX:
        raise _bad(f"more than {ENTRIES_MAX} entries")
    return parts


def _entry(part: str) -> Network | str:
    if "*" in part or "?" in part:
        if not _PATTERN.fullmatch(part):
            raise _bad(f"{part[:40]!r} is no pattern of addresses (names are not looked up)")
        return part.lower()
    return _network(part)


def _network(part: str) -> Network:
    try:
        network = ipaddress.ip_network(part)  # strict: host bits must be zero
    except ValueError as error:
        raise _bad(f"{part[:40]!r} is no address or network (names are not looked up)") from error
    # A peer in IPv6's clothes is taken for the IPv4 address that it is, and so must an entry be.
    mapped = address_of(str(network.network_address))
    if mapped.version != network.version and network.prefixlen >= _MAPPED_PREFIX:
        return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_PREFIX))
    return network


def _matches(entry: Network | str, peer: Address) -> bool:
    if isinstance(entry, str):
        return fnmatch.fnmatchcase(str(peer), entry)
    return peer.version == entry.version and peer in entry


def _bad(why: str) -> UsageError:
    return UsageError(f"unusable list of addresses: {why}", code="SOURCES_BAD")
