"""The login account, as a session needs it, and the environment that it gets."""

import os
import pwd
from dataclasses import dataclass

__all__ = ["Account", "environment", "find"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VALUE_MAX = 256


@dataclass(frozen=True)
class Account:
    """A line of passwd(5) with its groups."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


def find(user: str) -> Account:
    """Return the account of `user`; not being root, always the current one. Raises KeyError."""
    entry = pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam(user)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(
        entry.pw_name,
        entry.pw_uid,
        entry.pw_gid,
        tuple(groups),
        entry.pw_dir,
        entry.pw_shell or "/bin/sh",
    )


def environment(
    account: Account, wanted: dict[str, str], *, term: str, tty: str, connection: str
) -> dict[str, str]:
    """Return the session's environment: ours, and of the client's wishes LANG and LC_* only.

    An allow-list: LD_PRELOAD, BASH_ENV, PATH and the like must not reach anything privileged.
    """
    client, client_port, server, server_port = connection.split()
    variables = {
        "HOME": account.home,
        "LOGNAME": account.user,
        "PATH": PATH,
        "SHELL": account.shell,
        "SSH_CLIENT": f"{client} {client_port} {server_port}",
        "SSH_CONNECTION": f"{client} {client_port} {server} {server_port}",
        "USER": account.user,
    }
    if tty:
        variables |= {"SSH_TTY": tty, "TERM": term if _plain(term) else "dumb"}
    for name, value in wanted.items():
        if (name == "LANG" or (name.startswith("LC_") and name[3:].isalpha())) and _plain(value):
            variables[name] = value
    return variables


def _plain(value: str) -> bool:
    """Whether a value is a short word of the characters that locales and terminals use."""
    return 0 < len(value) <= _VALUE_MAX and all(
        one.isascii() and (one.isalnum() or one in "-_.@+") for one in value
    )
