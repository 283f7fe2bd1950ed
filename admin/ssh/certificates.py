"""OpenSSH certificates of users and hosts, judged strictly. Pure; the clock comes from the caller.

Format: OpenSSH's PROTOCOL.certkeys. Refused besides what is forged or stale: no principals (they
would mean everybody), principals that a lenient matcher could take for several, critical options
that we do not enforce, a CA that is itself a certificate, SHA-1.
"""

from dataclasses import dataclass
from typing import Final

from admin.ssh import userkeys
from admin.ssh.blobs import Reader, string
from admin.ssh.options import COMMAND_MAX, Options
from admin.ssh.sources import Sources, parse_networks
from contract.errors import RefusedError, SheltieError
from contract.keyline import KEY_TYPES, KeyLine, parse_blob

__all__ = ["CERTIFICATE_TYPES", "HOST", "SUFFIX", "USER", "Certificate", "check", "parse"]

USER: Final = 1
HOST: Final = 2
SUFFIX = "-cert-v01@openssh.com"
CERTIFICATE_MAX = 32 * 1024
PRINCIPALS_MAX = 256
PRINCIPAL_MAX = 256
_PATTERN_CHARACTERS = frozenset(",*?! \t")

CERTIFICATE_TYPES: Final = {
    f"{name.removesuffix('@openssh.com')}{SUFFIX}": name for name in KEY_TYPES
}
"""Certificate types by the plain type of the key in them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate whose own signature was verified; whether its CA is trusted is asked outside.

    `key` is the blob of the plain key in it.
    """

    key: KeyLine
    serial: int
    kind: int
    name: str
    principals: tuple[str, ...]
    after: int
    before: int
    options: Options
    authority: KeyLine


def parse(blob: bytes) -> Certificate:
    """Parse and verify a certificate. Raises RefusedError (CERTIFICATE_REFUSED) with the reason."""
    if len(blob) > CERTIFICATE_MAX:
        raise _refused("it is too large")
    try:
        return _parse(blob)
    except RefusedError:
        raise
    except SheltieError as error:
        raise _refused(error.message) from error


def check(certificate: Certificate, kind: int, accepted: frozenset[str], now: float) -> None:
    """Raise RefusedError unless the certificate is of `kind`, valid now, and for one of `accepted`.

    An empty list of principals is nobody.
    """
    if certificate.kind != kind:
        raise _refused("it is a host's" if kind == USER else "it is a user's")
    if now < certificate.after:
        raise _refused("it is not valid yet")
    if now >= certificate.before:
        raise _refused("it has expired")
    if not certificate.principals:
        raise _refused("it names no principals")
    if kind == USER and accepted.isdisjoint(certificate.principals):
        raise _refused("none of its principals may log in here")


def _parse(blob: bytes) -> Certificate:
    reader = Reader(blob)
    kind = CERTIFICATE_TYPES.get(reader.text())
    if kind is None:
        raise _refused("its type is not accepted")
    reader.string()  # the nonce
    fields = [reader.string() for _ in KEY_TYPES[kind]]
    key = string(kind.encode()) + b"".join(map(string, fields))
    parse_blob(key)
    serial = int.from_bytes(reader.take(8), "big")
    purpose = int.from_bytes(reader.take(4), "big")
    name = reader.text()
    principals = _principals(reader.string())
    after, before = (int.from_bytes(reader.take(8), "big") for _ in range(2))
    critical, extensions = _pairs(reader.string()), _pairs(reader.string())
    reader.string()  # reserved
    authority = reader.string()
    signed = reader.taken()
    signature = reader.string()
    reader.end()
    ca = KeyLine(parse_blob(authority), authority)
    if not userkeys.verify(authority, Reader(signature).text(), signature, signed):
        raise _refused("its signature is not its CA's, or of a kind that is not accepted")
    return Certificate(
        KeyLine(kind, key),
        serial,
        purpose,
        "".join(one if one.isprintable() else "?" for one in name[:64]),
        principals,
        after,
        before,
        _options(critical, extensions),
        ca,
    )


def _principals(data: bytes) -> tuple[str, ...]:
    reader, found = Reader(data), []
    while not reader.done():
        found.append(reader.text())
        if len(found) > PRINCIPALS_MAX:
            raise _refused(f"it names more than {PRINCIPALS_MAX} principals")
    for one in found:
        if not one or len(one) > PRINCIPAL_MAX or not one.isprintable():
            raise _refused("a principal is empty, too long or holds control characters")
        if not _PATTERN_CHARACTERS.isdisjoint(one):
            raise _refused("a principal holds a comma, a blank or a wildcard")
    return tuple(found)


def _pairs(data: bytes) -> dict[str, bytes]:
    """Return options; they stand in the order of their names, each once (PROTOCOL.certkeys)."""
    reader, found = Reader(data), {}
    last = ""
    while not reader.done():
        name, value = reader.text(), reader.string()
        if name <= last:
            raise _refused("its options are out of order")
        found[name] = value
        last = name
    return found


def _options(critical: dict[str, bytes], extensions: dict[str, bytes]) -> Options:
    """Return what the certificate allows: nothing but a session unless an extension says so."""
    command: str | None = None
    sources: tuple[Sources, ...] = ()
    verify = False
    for name, value in critical.items():
        match name:
            case "force-command":
                command = _inner(value)
                if not 0 < len(command) <= COMMAND_MAX:
                    raise _refused("its command is empty or too long")
            case "source-address":
                sources = (parse_networks(_inner(value).split(",")),)
            case "verify-required" if not value:
                verify = True
            case _:
                raise _refused(f"critical option {name[:40]!r} is not known here")
    return Options(
        sources=sources,
        command=command,
        verify=verify,
        pty="permit-pty" in extensions,
        port_forwarding="permit-port-forwarding" in extensions,
        agent_forwarding="permit-agent-forwarding" in extensions,
        touch="no-touch-required" not in extensions,
    )


def _inner(value: bytes) -> str:
    reader = Reader(value)
    text = reader.text()
    reader.end()
    return text


def _refused(why: str) -> RefusedError:
    return RefusedError(f"certificate refused: {why}", code="CERTIFICATE_REFUSED")
