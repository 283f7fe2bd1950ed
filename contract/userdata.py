"""A host container's user-data: upstream's JSON document, and ours in it under `sheltie`.

Upstream's names: admin-container README (user, password-hash, ssh.*) and control-container README
(ssm.*); each ssh key may be written with `-` or `_`. Decoding never raises: an operator with a
typing error in it must still find a running container that says what is wrong.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contract import looking
from contract.address import parse_listen
from contract.errors import RefusedError, SheltieError
from contract.keyline import parse, parse_plain

__all__ = [
    "ACCESS",
    "DEFAULT_USER",
    "LIMIT",
    "UserData",
    "decode",
    "merge_keys",
    "plain_keys",
    "redact",
    "without_keys",
]

LIMIT = 1 << 20
"""Largest user-data in bytes; upstream's clients stop at 2 MiB of base64."""
DEFAULT_USER = "ec2-user"
REDACTED = "REDACTED"

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SSH_LISTS = (
    "authorized-keys",
    "trusted-user-ca-keys",
    "ciphers",
    "key-exchange-algorithms",
    "macs",
)
_SSH_TEXTS = ("authorized-keys-command", "authorized-keys-command-user")
_SHELTIE = (
    *("listen", "reached-at", "ssh-profile", "ssh-limits", "ec2-instance-connect"),
    *("untrusted", "access", "look-keys", "look-acts"),
    *("allow-tcp-forwarding", "allow-agent-forwarding"),
    *looking.KEYS,
)
_LIMITS: dict[str, tuple[str, int, int]] = {
    "max-startups": ("startups", 1, 10_000),
    "max-startups-rate": ("startups_rate", 0, 100),
    "max-startups-full": ("startups_full", 1, 10_000),
    "per-source-max-startups": ("per_source", 1, 10_000),
    "max-connections": ("connections", 1, 10_000),
    "login-grace-seconds": ("grace", 5, 3600),
    "max-auth-tries": ("tries", 1, 100),
    "max-sessions": ("sessions", 1, 1000),
    "penalty-min-seconds": ("penalty_min", 1, 86_400),
    "penalty-max-seconds": ("penalty_max", 1, 86_400),
    "keep-alive-seconds": ("keep_alive", 0, 86_400),
    "idle-seconds": ("idle", 0, 604_800),
    "unused-connection-seconds": ("unused", 0, 604_800),
}
"""Numbers of `sheltie.ssh-limits`: their name in the SSH server, the least and the most."""
_EXEMPT = "exempt"
ACCESS = ("root", "look")
"""Access levels of a login, the default first; whatever is not understood means look."""
TCP_FORWARDING = ("no", "local", "remote", "yes")
"""Words of sshd_config(5), AllowTcpForwarding; the first is the default."""
UNTRUSTED = ("refuse", "mark")
"""What sheltie may do on a host that is not known to be as it was delivered; nothing by default."""
_KNOWN = {
    "user": None,
    "password-hash": None,
    "ssh": (*_SSH_LISTS, *_SSH_TEXTS),
    "ssm": ("activation-id", "activation-code", "region"),
    "inspector": ("upload-sbom",),
    "sheltie": _SHELTIE,
}
# What anybody may read: names and public keys. All else is a secret until somebody decides.
_PUBLIC = {
    "user": None,
    "ssh": (*_SSH_LISTS, *_SSH_TEXTS),
    "ssm": ("activation-id", "region"),
    "inspector": ("upload-sbom",),
    "sheltie": _SHELTIE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """Decoded user-data; what was missing or unusable has its default."""

    user: str = DEFAULT_USER
    password_hash: str | None = None
    authorized_keys: tuple[str, ...] = ()
    trusted_user_ca_keys: tuple[str, ...] = ()
    authorized_keys_command: str | None = None
    authorized_keys_command_user: str | None = None
    ciphers: tuple[str, ...] = ()
    key_exchange_algorithms: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    listen: str | None = None
    reached_at: str | None = None
    ssh_profile: str | None = None
    ssh_limits: Mapping[str, int | list[str]] = field(default_factory=dict)
    ec2_instance_connect: bool = False
    access: str = ACCESS[0]
    look_keys: tuple[str, ...] = ()
    look_acts: tuple[str, ...] = ()
    allow_tcp_forwarding: str = TCP_FORWARDING[0]
    allow_agent_forwarding: bool = False
    has_ssm: bool = False

    def __repr__(self) -> str:
        return f"UserData(user={self.user!r}, {len(self.authorized_keys)} keys)"


def decode(raw: bytes) -> tuple[UserData, tuple[str, ...]]:
    """Return the user-data and a sentence for each thing that is wrong with it."""
    problems: list[str] = []
    if not raw.strip():
        return UserData(), ("user-data is empty: nobody can log in",)
    document = _document(raw)
    if document is None:
        return UserData(), ("user-data is not a JSON object: nobody can log in",)
    problems.extend(_unknown(document))
    ssh = _section(document, "ssh", problems)
    own = _section(document, "sheltie", problems)
    lists = {name: _texts(ssh, f"ssh.{name}", name, problems) for name in _SSH_LISTS}
    problems.extend(f"{one}: sheltie --look is refused" for one in looking.judge(own)[1])
    if own.get("untrusted") not in (None, *UNTRUSTED):
        problems.append("sheltie.untrusted must be refuse or mark: taken as refuse")
    look_keys, sound = _look_keys(own, problems)
    texts = {name: _text(ssh, f"ssh.{name}", name, problems) for name in _SSH_TEXTS}
    return UserData(
        user=_user(document, problems),
        password_hash=_text(document, "password-hash", "password-hash", problems),
        authorized_keys=_usable_keys("ssh.authorized-keys", lists["authorized-keys"], problems),
        trusted_user_ca_keys=lists["trusted-user-ca-keys"],
        authorized_keys_command=texts["authorized-keys-command"],
        authorized_keys_command_user=texts["authorized-keys-command-user"],
        ciphers=lists["ciphers"],
        key_exchange_algorithms=lists["key-exchange-algorithms"],
        macs=lists["macs"],
        listen=_address(own, "listen", problems),
        reached_at=_address(own, "reached-at", problems),
        ssh_profile=_text(own, "sheltie.ssh-profile", "ssh-profile", problems),
        ssh_limits=_limits(own, problems),
        ec2_instance_connect=_switch(own, "ec2-instance-connect", problems),
        access=_access(own, problems) if sound else "look",
        look_keys=look_keys,
        look_acts=_texts(own, "sheltie.look-acts", "look-acts", problems),
        allow_tcp_forwarding=_tcp_forwarding(own, problems),
        allow_agent_forwarding=_switch(own, "allow-agent-forwarding", problems),
        has_ssm="ssm" in document,
    ), tuple(problems)


def plain_keys(raw: bytes) -> tuple[str, ...]:
    """Return the keys of a document that holds `ssh.authorized-keys` of plain lines only.

    This is what control may hand over. Raises RefusedError (USER_DATA_REFUSED) for anything more.
    """
    document = _document(raw)
    if document is None or set(document) != {"ssh"}:
        raise _refused("only ssh.authorized-keys may be handed over")
    section = document["ssh"]
    if not isinstance(section, dict) or set(map(_dashed, section)) != {"authorized-keys"}:
        raise _refused("only ssh.authorized-keys may be handed over")
    (lines,) = section.values()
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise _refused("ssh.authorized-keys must be a list of key lines")
    try:
        return tuple(parse_plain(line).text for line in lines)
    except SheltieError as error:
        raise _refused(error.message) from error


def merge_keys(raw: bytes, keys: Iterable[str]) -> bytes:
    """Return the document `raw` with the key lines `keys` added, everything else kept.

    A document that is not a JSON object is replaced, so that a broken one cannot hold the door
    shut for keys handed over later.
    """
    document = _document(raw) or {}
    section = document.get("ssh")
    ssh: dict[str, Any] = dict(section) if isinstance(section, dict) else {}
    name = next((key for key in ssh if _dashed(key) == "authorized-keys"), "authorized-keys")
    present = ssh.get(name)
    lines: list[Any] = list(present) if isinstance(present, list) else []
    lines.extend(key for key in keys if key not in lines)
    return msgspec.json.encode({**document, "ssh": {**ssh, name: lines}})


def without_keys(raw: bytes, keys: Iterable[str]) -> bytes:
    """Return the document `raw` without the key lines `keys`, everything else kept.

    What becomes empty by that is left out: taking out all that merge_keys put into nothing gives
    nothing. A document that is not a JSON object holds no keys and stays as it is.
    """
    document, unwanted = _document(raw), set(keys)
    section = document.get("ssh") if document is not None else None
    if document is None or not isinstance(section, dict):
        return raw
    name = next((key for key in section if _dashed(key) == "authorized-keys"), None)
    present = section.get(name) if name is not None else None
    if name is None or not isinstance(present, list):
        return raw
    lines = [line for line in present if not isinstance(line, str) or line not in unwanted]
    if lines == present:
        return raw
    rest = {key: value for key, value in section.items() if key != name}
    ssh = {**section, name: lines} if lines else rest
    others = {key: value for key, value in document.items() if key != "ssh"}
    kept = {**document, "ssh": ssh} if ssh else others
    return msgspec.json.encode(kept) if kept else b""


def redact(raw: bytes) -> bytes:
    """Return the document with every value replaced that is not known to be public."""
    document = _document(raw)
    if document is None:
        return msgspec.json.encode({"user-data": REDACTED}) if raw.strip() else raw
    shown: dict[str, Any] = {}
    for key, value in document.items():
        parts = _PUBLIC.get(key, ())
        if parts is None:
            shown[key] = value
        elif isinstance(value, dict):
            shown[key] = {k: v if _dashed(k) in parts else REDACTED for k, v in value.items()}
        else:
            shown[key] = REDACTED
    return msgspec.json.encode(shown)


def _document(raw: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any]) if len(raw) <= LIMIT else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unknown(document: Mapping[str, Any]) -> Iterable[str]:
    for key, value in document.items():
        if key not in _KNOWN:
            yield f"user-data holds an unknown key, {key[:40]!r}: ignored"
        parts = _KNOWN.get(key)
        if parts is not None and isinstance(value, dict):
            for part in value:
                if _dashed(part) not in parts:
                    name = f"{key}.{part[:40]}"
                    yield f"user-data holds an unknown key, {name!r}: ignored"


def _section(document: Mapping[str, Any], name: str, problems: list[str]) -> dict[str, Any]:
    value = document.get(name, {})
    if isinstance(value, dict):
        return {_dashed(key): part for key, part in value.items()}
    problems.append(f"{name} must be an object: ignored")
    return {}


def _texts(section: Mapping[str, Any], name: str, key: str, problems: list[str]) -> tuple[str, ...]:
    value = section.get(key, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    problems.append(f"{name} must be a list of strings: ignored")
    return ()


def _text(section: Mapping[str, Any], name: str, key: str, problems: list[str]) -> str | None:
    value = section.get(key)
    if value is None or isinstance(value, str):
        return value
    problems.append(f"{name} must be a string: ignored")
    return None


def _user(document: Mapping[str, Any], problems: list[str]) -> str:
    value = document.get("user", DEFAULT_USER)
    if isinstance(value, str) and _USER.fullmatch(value):
        return value
    problems.append(f"user is no valid login name: {DEFAULT_USER} is used")
    return DEFAULT_USER


def _access(section: Mapping[str, Any], problems: list[str]) -> str:
    value = section.get("access", ACCESS[0])
    if value in ACCESS:
        return str(value)
    problems.append("sheltie.access must be root or look: taken as look")
    return "look"


def _look_keys(section: Mapping[str, Any], problems: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the keys that get only look, and whether the list could be read at all."""
    lines = section.get("look-keys", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        problems.append("sheltie.look-keys must be a list of strings: every login only looks")
        return (), False
    return _usable_keys("sheltie.look-keys", lines, problems), True


def _usable_keys(name: str, lines: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    usable = []
    for number, line in enumerate(lines, 1):
        try:
            parse(line)
        except SheltieError as error:
            problems.append(f"{name}[{number}]: {error.message}: ignored")
        else:
            usable.append(line.strip())
    return tuple(usable)


def _address(section: Mapping[str, Any], name: str, problems: list[str]) -> str | None:
    text = _text(section, f"sheltie.{name}", name, problems)
    if text is None:
        return None
    try:
        parse_listen(text)
    except SheltieError as error:
        problems.append(f"sheltie.{name}: {error.message} ({error.hint}): ignored")
        return None
    return text


def _limits(section: Mapping[str, Any], problems: list[str]) -> dict[str, int | list[str]]:
    """Return the usable numbers of `sheltie.ssh-limits` by the SSH server's names."""
    value = section.get("ssh-limits", {})
    if not isinstance(value, dict):
        problems.append("sheltie.ssh-limits must be an object: ignored")
        return {}
    found: dict[str, int | list[str]] = {}
    for key, number in value.items():
        name, least, most = _LIMITS.get(_dashed(key), ("", 0, 0))
        if _dashed(key) == _EXEMPT:
            found[_EXEMPT] = list(_texts(value, "sheltie.ssh-limits.exempt", key, problems))
        elif not name:
            problems.append(f"user-data holds an unknown key, 'sheltie.ssh-limits.{key[:40]}'")
        elif type(number) is int and least <= number <= most:
            found[name] = number
        else:
            problems.append(
                f"sheltie.ssh-limits.{key} must be a number from {least} to {most}: ignored"
            )
    return found


def _tcp_forwarding(section: Mapping[str, Any], problems: list[str]) -> str:
    value = section.get("allow-tcp-forwarding", TCP_FORWARDING[0])
    if value in TCP_FORWARDING:
        return str(value)
    problems.append("sheltie.allow-tcp-forwarding must be no, local, remote or yes: taken as no")
    return TCP_FORWARDING[0]


def _switch(section: Mapping[str, Any], name: str, problems: list[str]) -> bool:
    value = section.get(name, False)
    if not isinstance(value, bool):
        problems.append(f"sheltie.{name} must be true or false: ignored")
        return False
    return value


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _refused(why: str) -> RefusedError:
    return RefusedError(f"this user-data is not allowed here: {why}", code="USER_DATA_REFUSED")
