"""Users of a container by name, from its own /etc/passwd and /etc/group (passwd(5), group(5))."""

import os
from dataclasses import dataclass
from typing import Any, Final

from contract.errors import NotFoundError
from host.runtime import kernel

__all__ = ["User", "find", "parse"]

FILE_MAX: Final = 1 << 20
_FIELDS: Final = 7


@dataclass(frozen=True, slots=True)
class User:
    """Who a process is to be: ids, groups and home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def document(self) -> dict[str, Any]:
        """Return OCI's `process.user`."""
        return {"uid": self.uid, "gid": self.gid, "additionalGids": list(self.groups)}


def find(pid: int, name: str) -> User:
    """Return user `name` (or a number) of the container whose first process is `pid`.

    Raises NotFoundError (NO_USER).
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return parse(name, _read(root, "/etc/passwd"), _read(root, "/etc/group"))
    finally:
        os.close(root)


def parse(name: str, passwd: str, group: str) -> User:
    """Find `name` in the text of both files. Raises NotFoundError (NO_USER)."""
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == _FIELDS and name in fields[:1] + fields[2:3]:
            login, _, uid, gid, _, home, _ = fields
            if uid.isdecimal() and gid.isdecimal():
                return User(int(uid), int(gid), _groups(login, group), home or "/")
    if name.isdecimal():
        return User(int(name), int(name), (), "/")
    raise NotFoundError(f"the container has no user '{name}'", code="NO_USER")


def _groups(login: str, group: str) -> tuple[int, ...]:
    found = []
    for line in group.splitlines():
        _, _, rest = line.partition(":")
        _, _, rest = rest.partition(":")
        gid, _, members = rest.partition(":")
        if gid.isdecimal() and login in members.split(","):
            found.append(int(gid))
    return tuple(found)


def _read(root: int, path: str) -> str:
    # As the container sees it: its links must not lead to the host's files (openat2(2)).
    try:
        descriptor = kernel.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(FILE_MAX).decode("utf-8", "replace")
