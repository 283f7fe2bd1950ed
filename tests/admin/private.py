"""Accounts to play with: a mount namespace whose /etc is a copy, gone with its last process.

useradd and its like replace files in /etc and lock it, so the whole directory is copied.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["private"]

SCRIPT = """
set -eu
box=$1
shift
mount -t tmpfs -o mode=0755 box "$box"
cp -a /etc "$box/etc"
mkdir "$box/home"
mount --bind "$box/etc" /etc
mount -t tmpfs log /var/log
mount -t tmpfs mail /var/mail
useradd -D -b "$box/home"
exec "$@"
"""


def private(directory: Path, argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` as root with accounts of its own.

    Homes lie in `directory`, which must be there and be empty.
    """
    command = ["unshare", "--mount", "--propagation", "private"]
    return [*command, "sh", "-c", SCRIPT, "sh", str(directory), *argv]
