"""One line of an authorized-keys file, judged strictly and without any crypto library.

Format: sshd(8) AUTHORIZED_KEYS FILE FORMAT; key blobs: RFC 4253 section 6.6, RFC 5656, RFC 8709 and
OpenSSH's PROTOCOL.u2f. What is not known here is refused: a line that a lenient parser would accept
with its restrictions ignored must not let anybody in.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from contract.errors import UsageError

__all__ = ["KEY_TYPES", "LINE_MAX", "KeyLine", "parse", "parse_blob", "parse_plain"]

LINE_MAX = 16384
"""Longest line in characters; a 16384-bit RSA key needs under 3000."""
RSA_BITS = range(2048, 16385)
"""Accepted RSA sizes: NIST SP 800-131A's floor, OpenSSH's ceiling (sshkey.h)."""

# Fields of each blob after its type name: a length in bytes, or None for any.
_CURVES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
KEY_TYPES: dict[str, tuple[str, ...]] = {
    "ssh-ed25519": ("key32",),
    "ssh-rsa": ("mpint", "modulus"),
    "ecdsa-sha2-nistp256": ("nistp256", "point"),
    "ecdsa-sha2-nistp384": ("nistp384", "point"),
    "ecdsa-sha2-nistp521": ("nistp521", "point"),
    "sk-ssh-ed25519@openssh.com": ("key32", "application"),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("nistp256", "point", "application"),
}
"""Key types and the shape of their blobs. DSA and SHA-1 certificates are not among them."""

_OPTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A public key with its options and comment, whose blob has the shape its type demands."""

    type: str
    blob: bytes
    comment: str = ""
    options: tuple[tuple[str, str | None], ...] = ()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint as ssh-keygen -l prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).rstrip(b"=")
        return f"SHA256:{digest.decode()}"

    @property
    def text(self) -> str:
        """The key as `TYPE BASE64[ COMMENT]`, without options."""
        key = f"{self.type} {base64.b64encode(self.blob).decode()}"
        return f"{key} {self.comment}" if self.comment else key


def parse(line: str) -> KeyLine:
    """Parse one authorized-keys line, options included.

    Raises UsageError with code KEY_UNUSABLE and the reason; the key itself is not repeated.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        raise _unusable("the line holds no key")
    if "PRIVATE KEY" in text:
        raise _unusable("this is a private key", hint="hand over the .pub file beside it")
    if len(text) > LINE_MAX:
        raise _unusable(f"the line is longer than {LINE_MAX} characters")
    if not text.isprintable():
        raise _unusable("the line holds control characters")
    options: tuple[tuple[str, str | None], ...] = ()
    if text.split(None, 1)[0] not in KEY_TYPES:
        options, text = _parse_options(text)
    kind, _, rest = text.partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if kind not in KEY_TYPES:
        raise _unusable(f"key type {kind[:40]!r} is not accepted")
    blob = _decode(encoded)
    if parse_blob(blob) != kind:
        raise _unusable(f"the key's data is not of type {kind}")
    return KeyLine(kind, blob, comment.strip(), options)


def parse_plain(line: str) -> KeyLine:
    """Parse a line that may hold no options. Raises UsageError (KEY_UNUSABLE)."""
    key = parse(line)
    if key.options:
        raise _unusable(f"options are not allowed here ({key.options[0][0]})")
    return key


def parse_blob(blob: bytes) -> str:
    """Return the type of a public key blob of the exact shape that its type demands.

    Raises UsageError (KEY_UNUSABLE) on any other bytes, trailing ones included.
    """
    fields = list(_split(blob))
    try:
        kind = fields[0].decode("ascii") if fields else ""
    except UnicodeDecodeError:
        kind = ""
    shape = KEY_TYPES.get(kind)
    if shape is None:
        raise _unusable("the key's data names no accepted type")
    values = fields[1:]
    if len(values) != len(shape):
        raise _unusable(f"the data of this {kind} key has {len(values)} fields, not {len(shape)}")
    curve = kind.removeprefix("sk-").removeprefix("ecdsa-sha2-").removesuffix("@openssh.com")
    for part, value in zip(shape, values, strict=True):
        if not _fits(part, value, curve):
            raise _unusable(f"the data of this {kind} key is damaged")
    return kind


def _fits(part: str, value: bytes, curve: str) -> bool:
    match part:
        case "key32":
            return len(value) == 32  # noqa: PLR2004  RFC 8032: an Ed25519 key is 32 bytes
        case "point":
            # An uncompressed point starts with 4 (RFC 5656 section 3.1, SEC 1).
            return len(value) == _CURVES[curve] and value[0] == 4  # noqa: PLR2004
        case "mpint":
            return 0 < len(value) <= 8 and value[0] < 0x80 and bool(value[-1] & 1)  # noqa: PLR2004
        case "modulus":
            bits = int.from_bytes(value, "big").bit_length()
            return bits in RSA_BITS and value[0] < 0x80  # noqa: PLR2004  an mpint above zero
        case "application":
            return value.startswith(b"ssh:") and len(value) <= 256  # noqa: PLR2004
        case _:
            return value == part.encode()


def _split(blob: bytes) -> list[bytes]:
    """Split SSH strings (RFC 4251 section 5); raises UsageError on a short or long remainder."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise _unusable("the key's data is cut off")
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _unusable("the key's data is not base64") from error


def _parse_options(text: str) -> tuple[tuple[tuple[str, str | None], ...], str]:
    """Return the options at the start of `text` and the rest after the blank behind them."""
    options: list[tuple[str, str | None]] = []
    position = 0
    while True:
        name = _OPTION_NAME.match(text, position)
        if name is None:
            raise _unusable("the line starts with neither a key type nor an option")
        position = name.end()
        value = None
        if text.startswith('="', position):
            value, position = _parse_quoted(text, position + 2)
        options.append((name.group().lower(), value))
        following = text[position : position + 1]
        if following == ",":
            position += 1
        elif following.isspace():
            return tuple(options), text[position:].strip()
        else:
            raise _unusable("the line starts with neither a key type nor an option")


def _parse_quoted(text: str, position: int) -> tuple[str, int]:
    r"""Return the value up to the closing quote (`\"` stands for a quote) and where it ends."""
    value = []
    while position < len(text):
        if text.startswith('\\"', position):
            value.append('"')
            position += 2
        elif text[position] == '"':
            return "".join(value), position + 1
        else:
            value.append(text[position])
            position += 1
    raise _unusable("an option's quote is not closed")


def _unusable(why: str, *, hint: str = "") -> UsageError:
    return UsageError(f"unusable key: {why}", hint=hint, code="KEY_UNUSABLE")
