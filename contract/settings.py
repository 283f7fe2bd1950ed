"""The settings of the host API, with upstream's names and types (settings-sdk).

The wire form is kebab-case JSON; every field is optional, because a PATCH holds only what changes.
Unknown keys are refused, as upstream refuses them. A list is one value: it is set as a whole.
"""

import base64
import binascii
import re
from typing import Annotated

import msgspec

from contract import values
from contract.errors import UsageError

__all__ = [
    "CONTAINER_NAME",
    "ContainerRegistry",
    "HostContainer",
    "Network",
    "PemCertificate",
    "RegistryCredential",
    "RegistryMirror",
    "Settings",
    "Updates",
    "decode",
]

CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,75}")
"""Container names: upstream's alphabet and 76 bytes, but never empty or led by a dash."""

_Identifier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9-]{1,76}\Z")]
_U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class _Part(
    msgspec.Struct, rename="kebab", forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """A table of settings."""


class HostContainer(_Part, frozen=True):
    """`settings.host-containers.NAME`. `user_data` is base64 text (standard alphabet, padded)."""

    source: str | None = None
    enabled: bool | None = None
    superpowered: bool | None = None
    user_data: str | None = None
    command: list[str] | None = None

    def user_data_bytes(self) -> bytes:
        """Return the decoded user-data; empty when there is none."""
        return base64.b64decode(self.user_data or "", validate=True)


class Network(_Part, frozen=True):
    """`settings.network`, as far as it concerns host containers."""

    hostname: str | None = None
    https_proxy: str | None = None
    no_proxy: list[str] | None = None

    def __post_init__(self) -> None:
        values.each(_one(self.hostname), values.check_hostname, "hostname")
        # An empty proxy is none: settings cannot be unset by upstream's API.
        values.each(_one(self.https_proxy or None), values.check_url, "https-proxy")
        values.each(self.no_proxy, values.check_line, "no-proxy")


class RegistryMirror(_Part, frozen=True):
    """Where images of `registry` (`*` for any) are asked for first, in this order."""

    registry: str | None = None
    endpoint: list[str] | None = None

    def __post_init__(self) -> None:
        values.each(_one(self.registry), values.check_line, "registry")
        values.each(self.endpoint, values.check_url, "endpoint")


class RegistryCredential(_Part, frozen=True):
    """How to log in to `registry`. `auth` is the base64 of `username:password`."""

    registry: str | None = None
    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identitytoken: str | None = None

    def __post_init__(self) -> None:
        for name in ("registry", "username", "password", "identitytoken"):
            # The value may be a secret: the error does not repeat it.
            if (value := getattr(self, name)) is not None and not value.isprintable():
                raise ValueError(f"{name}: it holds a line break or a control character")
        values.each(_one(self.auth), values.check_base64, "auth")

    def __repr__(self) -> str:
        return f"RegistryCredential(registry={self.registry!r})"


class ContainerRegistry(_Part, frozen=True):
    """`settings.container-registry`. Upstream's older forms, which this takes too, become lists.

    These are a table {registry: endpoints} for `mirrors`, and `creds` for `credentials`.
    """

    mirrors: list[RegistryMirror] | dict[str, list[str]] | None = None
    credentials: list[RegistryCredential] | None = None
    creds: list[RegistryCredential] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.mirrors, dict):
            mirrors = [RegistryMirror(name, urls) for name, urls in self.mirrors.items()]
            msgspec.structs.force_setattr(self, "mirrors", mirrors)
        if self.creds is not None:
            if self.credentials is not None:
                raise ValueError("duplicate field `credentials`")
            msgspec.structs.force_setattr(self, "credentials", self.creds)
            msgspec.structs.force_setattr(self, "creds", None)


class PemCertificate(_Part, frozen=True):
    """`settings.pki.NAME`: base64 of PEM certificates; `trusted` ones are for everybody."""

    data: str | None = None
    trusted: bool | None = None

    def __post_init__(self) -> None:
        values.each(_one(self.data), values.check_certificates, "data")

    def bundle(self) -> bytes:
        """Return the certificates as PEM, one after another."""
        data = base64.b64decode(self.data or "")
        return values.certificates(data) if data.strip() else b""


class Updates(_Part, frozen=True):
    """`settings.updates`. `reboot_wait` is ours: seconds for which a reboot waits for sessions."""

    metadata_base_url: str | None = None
    targets_base_url: str | None = None
    seed: _U32 | None = None
    version_lock: str | None = None
    ignore_waves: bool | None = None
    reboot_wait: Annotated[int, msgspec.Meta(ge=0, le=86400)] | None = None

    def __post_init__(self) -> None:
        values.each(_one(self.metadata_base_url), values.check_url, "metadata-base-url")
        values.each(_one(self.targets_base_url), values.check_url, "targets-base-url")
        values.each(_one(self.version_lock), values.check_version, "version-lock")


class Settings(_Part, frozen=True):
    """The tree under `settings`."""

    motd: str | None = None
    host_containers: dict[str, HostContainer] | None = None
    network: Network | None = None
    container_registry: ContainerRegistry | None = None
    pki: dict[_Identifier, PemCertificate] | None = None
    updates: Updates | None = None


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


def _one(value: str | None) -> list[str] | None:
    return None if value is None else [value]


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
