"""Whether a manifest was signed by a key that the image brings. gpg judges, as for sysupdate."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from contract.errors import FailedError, MachineError, RefusedError
from host.runtime import programs

__all__ = ["check"]

SECONDS: Final = 60.0


async def check(manifest: Path, signature: Path, keyring: Path) -> None:
    """Judge a detached signature.

    Raises RefusedError (UPDATE_UNSIGNED), MachineError (UPDATE_NO_KEYRING, PROGRAM_MISSING).
    """
    if not await asyncio.to_thread(keyring.exists):
        raise MachineError(
            f"there is no {keyring}: no update can be trusted",
            hint="build the image with a key for its updates",
            code="UPDATE_NO_KEYRING",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="sheltie-gpg-") as home:
            argv = [programs.find("gpg"), "--homedir", home, "--no-default-keyring", "--no-options"]
            argv += ["--keyring", str(keyring), "--trust-model", "always", "--batch", "--no-tty"]
            argv += ["--no-auto-key-locate", "--status-fd", "1", "--verify"]
            done = await programs.run([*argv, str(signature), str(manifest)], seconds=SECONDS)
    except OSError as error:
        why = f"the signature cannot be judged: {error.strerror}"
        raise FailedError(why, code="UPDATE_UNSIGNED") from error
    words = [line.split()[1:2] for line in done.out.decode("utf-8", "replace").splitlines()]
    if done.status or ["VALIDSIG"] not in words:
        raise RefusedError(
            "the update manifest is not signed by a key that this image trusts",
            hint="sign SHA256SUMS with the key that the image was built for",
            code="UPDATE_UNSIGNED",
        )
