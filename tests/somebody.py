"""Being somebody who is not root, from a clone that only root may read.

A user namespace would do too, but the kernel makes none for a process in a chroot (unshare(2)).
"""

__all__ = ["somebody"]

NOBODY = 65534


def somebody(user: int | str = NOBODY) -> list[str]:
    """Return the words before a command that runs as `user`, whom no file's mode stops."""
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
