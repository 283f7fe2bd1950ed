"""What the container has, and doing a plan's steps in it."""

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from admin.boot import plan
from contract.durable import read_file, remove_file, write_file
from contract.errors import FailedError, SheltieError
from contract.userdata import UserData

__all__ = ["Booted", "boot", "stay"]

FILE_MAX = 1 << 20
PROGRAM_SECONDS = 20
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Booted:
    """Who logs in; whether that is possible; what was done; what is wrong."""

    user: str
    usable: bool = True
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def boot(wanted: UserData, environment: Mapping[str, str], root: Path = Path("/")) -> Booted:
    """Make the container fit `wanted`; never raises, because a door with a problem stays up.

    Files are written below `root`, accounts are always this machine's. Without root nothing is done
    and the login is the current user's.
    """
    if os.geteuid():
        return _current(os.geteuid())
    try:
        found = find(wanted.user, root)
        steps = plan.make(wanted, found, environment)
    except (OSError, SheltieError) as error:
        return Booted(wanted.user, usable=False, problems=(f"cannot read accounts: {error}",))
    done: list[str] = []
    problems = list(steps.problems)
    for step in steps.steps:
        try:
            _do(step, root)
            done.append(step.describe())
        except (OSError, SheltieError, subprocess.TimeoutExpired) as error:
            problems.append(f"start-up step failed: {step.describe()}: {error}")
    usable = steps.usable and _exists(wanted.user)
    if steps.usable and not usable:
        problems.append(f"the user {wanted.user} does not exist here: nobody can log in")
    return Booted(wanted.user, usable, tuple(done), tuple(problems))


def stay(_wanted: UserData, _environment: Mapping[str, str]) -> Booted:
    """Do nothing to the machine: the login is the current user's. For a machine of one's own."""
    return _current(os.geteuid())


def _current(uid: int) -> Booted:
    try:
        return Booted(pwd.getpwuid(uid).pw_name)
    except KeyError:
        problem = f"uid {uid} has no account here: nobody can log in"
        return Booted(str(uid), usable=False, problems=(problem,))


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def find(user: str, root: Path) -> plan.Found:
    """Return what there is of `user` and of the files that a plan may write. Raises OSError."""
    groups = {group.gr_name: group for group in grp.getgrall()}
    paths = (plan.SUDOERS, plan.PROXY)
    files = {path: data for path in paths if (data := _read(root, path)) is not None}
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return plan.Found(known_groups=frozenset(groups), files=files)
    return plan.Found(
        uid=account.pw_uid,
        shell=account.pw_shell,
        password=_password(user),
        groups=frozenset(
            name
            for name, group in groups.items()
            if user in group.gr_mem or group.gr_gid == account.pw_gid
        ),
        known_groups=frozenset(groups),
        files=files,
    )


def _password(user: str) -> str:
    """Return the hash that shadow(5) holds. The module spwd is gone from Python 3.13."""
    for line in read_file(Path("/etc/shadow"), FILE_MAX).decode(errors="replace").splitlines():
        name, _, rest = line.partition(":")
        if name == user:
            return rest.partition(":")[0]
    return ""


def _read(root: Path, path: str) -> bytes | None:
    try:
        return read_file(_below(root, path), FILE_MAX)
    except FileNotFoundError:
        return None


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _do(step: plan.Step, root: Path) -> None:
    match step:
        case plan.Put(path, None):
            remove_file(_below(root, path))
        case plan.Put(path, bytes() as data, mode):
            target = _below(root, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, data, mode)
        case plan.Run(argv, stdin):
            _run(argv, stdin)


def _run(argv: tuple[str, ...], stdin: str) -> None:
    """Run a program of shadow-utils. Raises FailedError with its last line, OSError."""
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_SECONDS,
        env={"PATH": PATH, "LC_ALL": "C"},
        cwd="/",
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise FailedError(
            words[-1] if words else f"exit status {done.returncode}", code="BOOT_STEP_FAILED"
        )
