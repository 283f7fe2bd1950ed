"""Checks of single setting values, after upstream's modeled types (settings-sdk shared.rs).

Each raises ValueError whose text says what the value is not; msgspec adds where it stands. What a
value holds goes into environments, files and command lines, so control characters never pass.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

__all__ = [
    "SEMVER",
    "certificates",
    "check_base64",
    "check_certificates",
    "check_hostname",
    "check_line",
    "check_url",
    "check_version",
    "each",
]

_NUMBER = r"(?:0|[1-9][0-9]*)"
_WORD = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
SEMVER: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_WORD}(?:\.{_WORD})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
"""A semantic version (semver.org 2.0.0): major, minor, patch, pre-release, build."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_URL = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?"
    r"(?:[^\s/?#@]*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)"
    r"(?::([0-9]{1,5}))?"
    r"(?:[/?#]\S*)?"
)
_PORT_MAX = 0xFFFF
_HOSTNAME = re.compile(r"(?=.{1,253}\Z)[0-9a-z][0-9a-z-]{0,62}(?:\.[0-9a-z][0-9a-z-]{0,62})*")
_SHOWN = 60
_BEGIN, _DASHES = b"-----BEGIN ", b"-----"
_LABEL_MAX = 64
_DER_SEQUENCE = 0x30
_DER_LONG = 0x80


def each(values: list[str] | None, check: Callable[[str], None], name: str) -> None:
    """Check every one of `values`; the error names `name`."""
    for value in values or ():
        try:
            check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def check_line(text: str) -> None:
    """Refuse text of more than one line, or with any control character."""
    if _CONTROL.search(text):
        raise ValueError(f"{text[:_SHOWN]!r} holds a line break or a control character")


def check_url(text: str) -> None:
    """Refuse what is no URL of a host; the scheme may be missing, as people write it."""
    check_line(text)
    found = _URL.fullmatch(text)
    if found is None or int(found[1] or 0) > _PORT_MAX:
        raise ValueError(f"{text[:_SHOWN]!r} is no URL")


def check_hostname(text: str) -> None:
    """Refuse what hostname(7) does not allow."""
    if not _HOSTNAME.fullmatch(text):
        raise ValueError(
            f"{text[:_SHOWN]!r} is no host name: labels of [0-9a-z-], 1 to 63 long, 253 in all"
        )


def check_version(text: str) -> None:
    """Refuse what is neither `latest` nor a semantic version, which may begin with a v."""
    if text != "latest" and not SEMVER.fullmatch(text.removeprefix("v")):
        raise ValueError(f"{text[:_SHOWN]!r} is no version: `latest`, or such as 1.2.3")


def check_base64(text: str) -> None:
    """Refuse what is not base64 of the standard alphabet with its padding."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("Invalid base64 input") from error


def check_certificates(text: str) -> None:
    """Refuse what is no base64 of PEM certificates; empty text stands for none.

    Anything else between PEM's marks, a private key above all, is refused too.
    """
    if text.strip():
        check_base64(text)
        certificates(base64.b64decode(text))


def certificates(data: bytes) -> bytes:
    """Return the PEM certificates in `data` one after another, without what stands around them."""
    blocks = list(_blocks(data))
    if not blocks:
        raise ValueError("no PEM certificate in it")
    return b"".join(blocks)


def _blocks(data: bytes) -> Iterator[bytes]:
    at = 0
    while (begin := data.find(_BEGIN, at)) >= 0:
        start = begin + len(_BEGIN)
        label = data[start : start + _LABEL_MAX].partition(_DASHES)[0]
        if label != b"CERTIFICATE":
            what = label[:_LABEL_MAX].decode("ascii", "replace")
            raise ValueError(f"a PEM {what!r} among the certificates")
        start += len(label) + len(_DASHES)
        end = data.find(b"-----END CERTIFICATE-----", start)
        if end < 0:
            raise ValueError("a PEM certificate without its end")
        der = _body(data[start:end])
        if not _is_whole(der):
            raise ValueError("a PEM certificate that is none inside")
        yield b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % _wrapped(der)
        at = end


def _body(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a PEM certificate that is no base64") from error


def _wrapped(der: bytes) -> bytes:
    text = base64.b64encode(der)
    return b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))


def _is_whole(der: bytes) -> bool:
    """Whether `der` is one SEQUENCE of exactly its length (X.690 section 8.1), as X.509 begins."""
    if len(der) < 2 or der[0] != _DER_SEQUENCE:  # noqa: PLR2004  a tag and a length
        return False
    if der[1] < _DER_LONG:
        return len(der) == 2 + der[1]
    size = der[1] - _DER_LONG
    head = 2 + size
    return 0 < size <= 4 and len(der) == head + int.from_bytes(der[2:head], "big")  # noqa: PLR2004
