"""What user-data means for the door: who may log in, where it listens, what is wrong. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from contract.address import parse_listen
from contract.errors import SheltieError
from contract.keyline import KeyLine, parse_plain
from contract.userdata import UserData, decode

__all__ = ["NOBODY", "SSH_PORT", "Policy", "read"]

SSH_PORT = 22
KEYS_BYTES = 192 * 1024
"""Room for keys in one message to the monitor: 2000 Ed25519 keys, 65 of the largest RSA kind."""
NOBODY = "nobody can log in"


@dataclass(frozen=True)
class Policy:
    """User-data, judged. `listen` is None where user-data leaves it open."""

    data: UserData
    keys: tuple[KeyLine, ...]
    listen: tuple[str, int] | None
    problems: tuple[str, ...]


def read(raw: bytes | None) -> Policy:
    """Judge user-data; None stands for a missing file."""
    data, problems = decode(raw or b"")
    if raw is None:
        problems = (f"there is no user-data: {NOBODY}",)
    found = [*problems, *_not_in_force(data)]
    keys = []
    for line in data.authorized_keys:
        try:
            keys.append(parse_plain(line))
        except SheltieError as error:
            found.append(f"{error.message}: ignored ({_name(line)})")
    if left_out := len(keys) - _room(keys):
        del keys[-left_out:]
        found.append(f"there is no room for so many keys: {left_out} at the end are ignored")
    # At its end: what user-data names stands quoted before.
    if not keys and not any(problem.endswith(NOBODY) for problem in found):
        found.append(f"user-data holds no usable key: {NOBODY}")
    listen = parse_listen(data.listen) if data.listen else None
    return Policy(data, tuple(keys), listen, tuple(found))


def _room(keys: Sequence[KeyLine]) -> int:
    """Return how many of the keys fit into one message."""
    sizes = itertools.accumulate(len(key.text.encode()) for key in keys)
    return sum(size <= KEYS_BYTES for size in sizes)


def _name(line: str) -> str:
    """Return how people recognise a key line: its comment, else its end."""
    return line.rsplit(maxsplit=1)[-1][-40:]


def _not_in_force(data: UserData) -> list[str]:
    """Name what upstream knows and this release leaves out: nothing is dropped in silence."""
    wishes = {
        "trusted-user-ca-keys": data.trusted_user_ca_keys,
        "authorized-keys-command": data.authorized_keys_command,
        "authorized-keys-command-user": data.authorized_keys_command_user,
        "ciphers": data.ciphers,
        "key-exchange-algorithms": data.key_exchange_algorithms,
        "macs": data.macs,
    }
    return [
        f"ssh.{name} is not in force: this release does not have it"
        for name, wish in wishes.items()
        if wish
    ]
