"""Listen addresses as text: `HOST:PORT`, `[V6]:PORT`, `:PORT`, and how ssh names them."""

import ipaddress

from contract.errors import UsageError

__all__ = ["format_address", "known_hosts_name", "parse_listen"]

SSH_PORT = 22


def parse_listen(text: str) -> tuple[str, int]:
    """Return (address, port); the address is an IP literal, or "" for every address.

    Raises UsageError (ADDRESS_UNUSABLE). Names are refused: a door must not depend on DNS.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _unusable(text, "an IPv6 address stands in brackets, as in [::1]:22")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise _unusable(text, "write ADDRESS:PORT, for example 127.0.0.1:2222")
    if host:
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError as error:
            raise _unusable(text, "the address must be an IP address, not a name") from error
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """Return `HOST:PORT`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def known_hosts_name(host: str, port: int) -> str:
    """Return the first field of a known_hosts line (sshd(8)): brackets only off port 22."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def _unusable(text: str, hint: str) -> UsageError:
    return UsageError(f"unusable address {text[:80]!r}", hint=hint, code="ADDRESS_UNUSABLE")
