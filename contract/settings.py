"""The settings of the host API that exist so far, with upstream's names and types.

The wire form is kebab-case JSON; every field is optional, because a PATCH holds only what changes
(core-kit settings models). Unknown keys are refused, as upstream refuses them.
"""

import base64
import binascii
import re
from typing import Any

import msgspec

from contract.errors import UsageError

__all__ = ["CONTAINER_NAME", "HostContainer", "Settings", "decode", "flatten"]

CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,75}")
"""Container names: upstream's alphabet and 76 bytes, but never empty or led by a dash."""


class HostContainer(
    msgspec.Struct, rename="kebab", forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """`settings.host-containers.NAME`. `user_data` is base64 text (standard alphabet, padded)."""

    source: str | None = None
    enabled: bool | None = None
    superpowered: bool | None = None
    user_data: str | None = None
    command: list[str] | None = None

    def user_data_bytes(self) -> bytes:
        """Return the decoded user-data; empty when there is none."""
        return base64.b64decode(self.user_data or "", validate=True)


class Settings(
    msgspec.Struct, rename="kebab", forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """The tree under `settings`."""

    motd: str | None = None
    host_containers: dict[str, HostContainer] | None = None


def decode(data: bytes) -> Settings:
    """Decode and check a Settings document, without an outer "settings".

    Raises UsageError (SETTINGS_INVALID) whose message starts as upstream's does.
    """
    try:
        settings = msgspec.json.decode(data, type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(str(error)) from error
    for name, container in (settings.host_containers or {}).items():
        _check(name, container)
    return settings


def flatten(tree: dict[str, Any], prefix: str = "settings") -> dict[str, Any]:
    """Return {dotted key: value} of a nested document; lists are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}"
        flat.update(flatten(value, name) if isinstance(value, dict) else {name: value})
    return flat


def _check(name: str, container: HostContainer) -> None:
    if not CONTAINER_NAME.fullmatch(name):
        raise _invalid(f"{name[:80]!r} is no valid container name - at `$.host-containers`")
    try:
        container.user_data_bytes()
    except (binascii.Error, ValueError) as error:
        where = f"`$.host-containers.{name}.user-data`"
        raise _invalid(f"Invalid base64 input - at {where}") from error


def _invalid(why: str) -> UsageError:
    return UsageError(f"Json deserialize error: {why}", code="SETTINGS_INVALID")
