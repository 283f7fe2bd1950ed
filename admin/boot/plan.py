"""From what user-data wants and what the machine has to the steps between. Pure.

Names and modes are upstream's (admin-container start_admin.sh).
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.places import API_GID
from contract.userdata import UserData

__all__ = ["Found", "Plan", "Put", "Run", "Step", "make"]

SUDOERS = "/etc/sudoers.d/90-sheltie-login"
PROXY = "/etc/profile.d/bottlerocket-proxy-settings.sh"
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
GROUPS = ("users", "api")
"""The login user's groups besides its own; `api` may open the host API's socket."""
SHELL = "/bin/bash"
USER_IDS = range(1000, 60000)
"""Ids of people: login.defs(5), UID_MIN to UID_MAX. Others are the system's own accounts."""
_HASH = re.compile(r"[!-9;-~]{1,512}")  # crypt(5): printable, and no colon


@dataclass(frozen=True)
class Found:
    """What the machine has. `uid` is None where the user is missing; `files` those we may write."""

    uid: int | None = None
    shell: str = ""
    password: str = ""
    groups: frozenset[str] = frozenset()
    known_groups: frozenset[str] = frozenset()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """Run a program of shadow-utils. What must not be seen in a list of processes goes to stdin."""

    argv: tuple[str, ...]
    stdin: str = field(default="", repr=False)

    def describe(self) -> str:
        """Return the step for the log."""
        return " ".join(self.argv)


@dataclass(frozen=True)
class Put:
    """Put a file with a mode in place; without data, remove it."""

    path: str
    data: bytes | None
    mode: int = 0o644

    def describe(self) -> str:
        """Return the step for the log."""
        return f"{'remove' if self.data is None else 'write'} {self.path}"


Step = Run | Put


@dataclass(frozen=True)
class Plan:
    """The steps, and a sentence for each thing that cannot be done."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    usable: bool = True
    """Whether the user may log in after these steps."""


def make(wanted: UserData, found: Found, environment: Mapping[str, str]) -> Plan:
    """Return the steps from `found` to what `wanted` and the proxy variables ask for."""
    proxy = _file(PROXY, _proxy(environment), 0o644, found)
    if found.uid is not None and found.uid not in USER_IDS:
        return Plan(
            (*proxy, *_file(SUDOERS, None, 0o440, found)),
            (f"the user {wanted.user} is an account of the system's own: nobody can log in",),
            usable=False,
        )
    password, problems = _password(wanted, found)
    rule = f"{wanted.user} ALL=(ALL) NOPASSWD: ALL\n".encode()
    return Plan(
        (
            *_groups(found),
            *_account(wanted.user, found),
            *password,
            *_file(SUDOERS, rule, 0o440, found),
            *proxy,
        ),
        problems,
    )


def _groups(found: Found) -> list[Step]:
    numbers = {"api": ("--gid", str(API_GID))}
    missing = [name for name in GROUPS if name not in found.known_groups]
    return [Run(("groupadd", "--force", *numbers.get(name, ()), name)) for name in missing]


def _account(user: str, found: Found) -> list[Step]:
    groups = ",".join(GROUPS)
    if found.uid is None:
        return [Run(("useradd", "-m", "-s", SHELL, "-G", groups, user))]
    steps: list[Step] = []
    if not set(GROUPS) <= found.groups:
        steps.append(Run(("usermod", "-a", "-G", groups, user)))
    if found.shell != SHELL:
        steps.append(Run(("usermod", "-s", SHELL, user)))
    return steps


def _password(wanted: UserData, found: Found) -> tuple[list[Step], tuple[str, ...]]:
    """Set the password's hash, or lock it: keys work all the same."""
    wish = wanted.password_hash
    problems: tuple[str, ...] = ()
    if wish is not None and not _HASH.fullmatch(wish):
        problems = ("password-hash is no hash of crypt(5): the password stays locked",)
        wish = None
    if wish is None:
        # A new account is locked already.
        locked = found.uid is None or found.password.startswith(("!", "*"))
        return ([] if locked else [Run(("usermod", "-L", wanted.user))]), problems
    if wish == found.password:
        return [], problems
    return [Run(("chpasswd", "-e"), stdin=f"{wanted.user}:{wish}\n")], problems


def _proxy(environment: Mapping[str, str]) -> bytes | None:
    """Return the profile that hands the container's proxy to logins, if it has one."""
    lines = [
        f"export {name}={shlex.quote(environment[name])}\n"
        for name in PROXY_NAMES
        if environment.get(name)
    ]
    # An environment holds any bytes, not only UTF-8.
    return "".join(lines).encode(errors="surrogateescape") or None


def _file(path: str, data: bytes | None, mode: int, found: Found) -> list[Step]:
    return [] if found.files.get(path) == data else [Put(path, data, mode)]
