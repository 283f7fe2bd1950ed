"""What user-data means for the door: who may log in, where it listens, what is wrong. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from admin.ssh.control import Limits, Wishes
from admin.ssh.forwarding import Forwarding
from admin.ssh.options import parse as parse_options
from contract.address import parse_listen
from contract.errors import SheltieError
from contract.keyline import KeyLine, parse
from contract.userdata import ACCESS, UserData, decode

__all__ = ["NOBODY", "SSH_PORT", "Policy", "read"]

SSH_PORT = 22
KEYS_BYTES = 192 * 1024
"""Room for keys in one message to the monitor: 2000 Ed25519 keys, 65 of the largest RSA kind."""
NOBODY = "nobody can log in"


@dataclass(frozen=True)
class Policy:
    """User-data, judged. `lines` are the authorized ones of `keys`, options and all.

    `keys` are all that let in, those of `sheltie.look-keys` first; `listen` is None where
    user-data leaves it open.
    """

    data: UserData
    lines: tuple[str, ...]
    keys: tuple[KeyLine, ...]
    listen: tuple[str, int] | None
    problems: tuple[str, ...]

    @property
    def looking(self) -> frozenset[str]:
        """The fingerprints of `keys` that get only look."""
        if self.data.access != ACCESS[0]:
            return frozenset(key.fingerprint for key in self.keys)
        return frozenset(parse(line).fingerprint for line in self.data.look_keys)

    @property
    def reached_at(self) -> tuple[tuple[str, int], ...]:
        """Where the owner says that the door is reached, if it is not at the host's addresses."""
        return (parse_listen(self.data.reached_at),) if self.data.reached_at else ()

    def asked(self, *, usable: bool) -> dict[str, Any]:
        """Return what a Configure says of it; with `usable` false nobody may log in."""
        data = self.data
        if not usable:
            return {"keys": []}
        return {
            "keys": list(self.lines),
            "authorities": list(data.trusted_user_ca_keys),
            "keys_command": data.authorized_keys_command or "",
            "keys_command_user": data.authorized_keys_command_user or "",
            "instance_connect": data.ec2_instance_connect,
            # All of them: who stands in both lists only looks, however odd the line's options are.
            "look_keys": list(data.look_keys),
            "access": data.access,
        }

    def algorithms(self) -> Wishes:
        """Return which algorithms user-data wishes for."""
        data = self.data
        return Wishes(
            data.ssh_profile or "default",
            list(data.ciphers),
            list(data.key_exchange_algorithms),
            list(data.macs),
        )

    def forwarding(self) -> Forwarding:
        """Return what user-data lets be forwarded."""
        tcp = self.data.allow_tcp_forwarding
        return Forwarding(
            local=tcp in ("local", "yes"),
            remote=tcp in ("remote", "yes"),
            agent=self.data.allow_agent_forwarding,
        )

    def limits(self) -> Limits:
        """Return the limits, with those of user-data in them."""
        return msgspec.convert(dict(self.data.ssh_limits), Limits)


def read(raw: bytes | None) -> Policy:
    """Judge user-data; None stands for a missing file."""
    data, problems = decode(raw or b"")
    if raw is None:
        problems = (f"there is no user-data: {NOBODY}",)
    found = [*problems]
    if _size(data.look_keys) > KEYS_BYTES // 2:
        found.append("there is no room for so many sheltie.look-keys: every login only looks")
        data = replace(data, access="look", look_keys=())
    looking, keys = _usable(data.look_keys, found), _usable(data.authorized_keys, found)
    lookers = {key.blob for _, key in looking}
    keys = [one for one in keys if one[1].blob not in lookers]
    taken = _size(data.trusted_user_ca_keys) + _size(data.look_keys)
    if left_out := len(keys) - _room([line for line, _ in keys], KEYS_BYTES - taken):
        del keys[-left_out:]
        found.append(f"there is no room for so many keys: {left_out} at the end are ignored")
    others = (
        data.trusted_user_ca_keys,
        data.authorized_keys_command,
        data.ec2_instance_connect,
    )
    # At its end: what user-data names stands quoted before.
    if (
        not keys
        and not looking
        and not any(others)
        and not any(problem.endswith(NOBODY) for problem in found)
    ):
        found.append(f"user-data holds no usable key: {NOBODY}")
    listen = parse_listen(data.listen) if data.listen else None
    lines, parsed = tuple(line for line, _ in keys), tuple(key for _, key in (*looking, *keys))
    return Policy(data, lines, parsed, listen, tuple(found))


def _usable(lines: Sequence[str], problems: list[str]) -> list[tuple[str, KeyLine]]:
    keys: list[tuple[str, KeyLine]] = []
    for line in lines:
        try:
            key = parse(line)
            parse_options(key)
            keys.append((line, key))
        except SheltieError as error:
            problems.append(f"{error.message}: ignored ({_name(line)})")
    return keys


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) for line in lines)


def _room(lines: Sequence[str], room: int) -> int:
    """Return how many of the lines fit into so many bytes of a message."""
    sizes = itertools.accumulate(len(line.encode()) for line in lines)
    return sum(size <= room for size in sizes)


def _name(line: str) -> str:
    """Return how people recognise a key line: its comment, else its end."""
    return line.rsplit(maxsplit=1)[-1][-40:]
