"""What the monitor makes of a Configure: who, with what, how many, which algorithms.

It reads accounts and files that user-data names, and never raises: what is unusable is a sentence.
"""

import contextlib
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from admin.ssh.algorithms import choose
from admin.ssh.control import Configure, Limits
from admin.ssh.forwarding import Forwarding
from admin.ssh.keyscommand import KeysCommand
from admin.ssh.policy import Policy, entries
from admin.ssh.protocol import Algorithms
from admin.ssh.sources import Sources, parse_networks
from contract.errors import SheltieError
from contract.keyline import parse, parse_plain

__all__ = ["Setting", "read"]

INSTANCE_CONNECT = "/opt/aws/bin/eic_run_authorized_keys"
"""Where Amazon's package puts it; upstream's admin image runs it as this user, with %u and %f."""
INSTANCE_CONNECT_USER = "ec2-instance-connect"
FIPS = Path("/proc/sys/crypto/fips_enabled")


@dataclass(frozen=True)
class Setting:
    """A Configure, judged. `ways` is how many keys, CAs and commands may let somebody in."""

    policy: Policy
    command: KeysCommand | None
    limits: Limits
    exempt: Sources
    algorithms: Algorithms
    forwarding: Forwarding
    problems: tuple[str, ...]

    @property
    def ways(self) -> int:
        """How many ways in there are."""
        policy = self.policy
        return len(policy.entries) + len(policy.trusted) + (self.command is not None)


def read(message: Configure, fips_file: Path = FIPS) -> Setting:
    """Judge `message`."""
    usable, problems = entries(message.keys, "ssh.authorized-keys")
    # What is wrong with a line the keeper has said; here it is looked at for its key.
    looking, _ = entries(message.look_keys, "sheltie.look-keys")
    trusted = set()
    for number, line in enumerate(message.authorities, 1):
        try:
            trusted.add(parse_plain(line).blob)
        except SheltieError as error:
            problems.append(f"ssh.trusted-user-ca-keys[{number}]: {error.message}: ignored")
    command = _command(message, problems)
    exempt = Sources(())
    try:
        exempt = parse_networks(message.limits.exempt)
    except SheltieError as error:
        problems.append(f"sheltie.ssh-limits.exempt: {error.message}: ignored")
    algorithms, more = choose(message.algorithms, fips=_fips(fips_file))
    problems += more
    if not os.geteuid() and message.user and not _exists(message.user):
        problems.append(f"the user {message.user} does not exist here: nobody can log in")
    return Setting(
        Policy(
            message.user,
            (*looking, *usable),
            frozenset(trusted),
            _lookers(message.look_keys),
            message.access != "root",
        ),
        command,
        _sane(message.limits),
        exempt,
        algorithms,
        message.forwarding,
        tuple(problems),
    )


def _lookers(lines: Sequence[str]) -> frozenset[bytes]:
    """Return the keys of all lines, also of those whose options let nobody in by themselves."""
    found = set()
    for line in lines:
        with contextlib.suppress(SheltieError):  # told of already
            found.add(parse(line).blob)
    return frozenset(found)


def _command(message: Configure, problems: list[str]) -> KeysCommand | None:
    if message.keys_command:
        if message.instance_connect:
            problems.append(
                "sheltie.ec2-instance-connect is not in force: ssh.authorized-keys-command is set"
            )
        try:
            return KeysCommand.parse(message.keys_command, message.keys_command_user)
        except SheltieError as error:
            problems.append(f"{error.message}: not in force")
            return None
    if message.keys_command_user:
        problems.append("ssh.authorized-keys-command-user stands without a command: ignored")
    if not message.instance_connect:
        return None
    if not Path(INSTANCE_CONNECT).exists():
        problems.append(
            f"sheltie.ec2-instance-connect is not in force: this image lacks {INSTANCE_CONNECT}"
        )
        return None
    try:
        return KeysCommand.parse(f"{INSTANCE_CONNECT} %u %f", INSTANCE_CONNECT_USER)
    except SheltieError as error:
        problems.append(f"sheltie.ec2-instance-connect is not in force: {error.message}")
        return None


def _sane(limits: Limits) -> Limits:
    """Return limits under which a login is possible, whatever the numbers say."""
    startups = max(limits.startups, 1)
    return structs.replace(
        limits, startups=startups, startups_full=max(limits.startups_full, startups + 1)
    )


def _fips(path: Path) -> bool:
    try:
        return path.read_bytes().strip() == b"1"
    except OSError:
        return False  # a kernel without it


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
