"""`authorized-keys-command`: a program of the operator's that says which keys let in (sshd(8)).

It runs as a user of its own, without a shell, with a time limit and an output limit; what it prints
is judged line by line like user-data. The program and all directories above it must be root's.
"""

import asyncio
import contextlib
import os
import pwd
import shlex
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin.ssh.policy import Entry, entries, fingerprint
from contract.errors import FailedError, MachineError, SheltieError, UsageError

__all__ = ["KeysCommand"]

SECONDS = 10.0
ENDING_SECONDS = 2.0
OUTPUT_MAX = 256 * 1024
AT_ONCE = 8
"""Programs at the same time: strangers cause them."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
TOKENS = "ufkt%"


@dataclass(frozen=True)
class KeysCommand:
    """A command line with the tokens of sshd(8), %u %f %k %t %%, and who runs it."""

    words: tuple[str, ...]
    uid: int
    gid: int

    @classmethod
    def parse(cls, line: str, user: str) -> "KeysCommand":
        """Check a command and its user. Raises SheltieError (KEYS_COMMAND) saying what is wrong."""
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            raise _bad(f"cannot be split into words: {error}") from error
        if not words or not words[0].startswith("/"):
            raise _bad("must start with an absolute path")
        for word in words:
            _expand(word, dict.fromkeys(TOKENS, ""))
        if not user:
            raise _bad("needs ssh.authorized-keys-command-user")
        try:
            entry = pwd.getpwnam(user)
        except KeyError as error:
            raise _bad(f"names a user that does not exist here: {user}") from error
        if os.geteuid() not in (0, entry.pw_uid):
            raise _bad(f"cannot run as {user} without root")
        _check_path(Path(words[0]))
        return cls(words, entry.pw_uid, entry.pw_gid)

    async def run(self, user: str, blob: bytes, turns: asyncio.Semaphore) -> Sequence[Entry]:
        """Return the entries for one key. Raises SheltieError (KEYS_COMMAND) when it fails."""
        kind, encoded = _names(blob)
        tokens = {"u": user, "f": fingerprint(blob), "k": encoded, "t": kind, "%": "%"}
        argv = [_expand(word, tokens) for word in self.words]
        async with turns:
            printed = await self._output(argv)
        found, _ = entries([line for line in printed.splitlines() if _says(line)], "line")
        return found

    async def _output(self, argv: list[str]) -> str:
        ids: dict[str, Any] = {}
        if not os.geteuid():
            ids = {"user": self.uid, "group": self.gid, "extra_groups": []}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                umask=0o077,
                **ids,
            )
        except OSError as error:
            raise _failed(f"cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(SECONDS):
                assert process.stdout is not None  # noqa: S101  a pipe was asked for
                data = await _read(process.stdout)
                status = await process.wait()
        except TimeoutError as error:
            raise _failed(f"took longer than {SECONDS:g} s") from error
        finally:
            if process.returncode is None:
                await _end(process)
        if status:
            raise _failed(f"ended with status {status}")
        return data.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the program with all that it started, and let its last words go."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):  # what left its process group holds the pipe
        async with asyncio.timeout(ENDING_SECONDS):
            await process.communicate()


async def _read(stream: asyncio.StreamReader) -> bytes:
    data = b""
    while piece := await stream.read(OUTPUT_MAX):
        data += piece
        if len(data) > OUTPUT_MAX:
            raise _failed(f"printed more than {OUTPUT_MAX} bytes")
    return data


def _expand(word: str, tokens: dict[str, str]) -> str:
    parts, rest = [], iter(word)
    for one in rest:
        if one != "%":
            parts.append(one)
            continue
        token = next(rest, "")
        if token not in tokens:
            raise _bad(f"uses %{token}, which is not known here")
        parts.append(tokens[token])
    return "".join(parts)


def _names(blob: bytes) -> tuple[str, str]:
    import base64

    size = int.from_bytes(blob[:4], "big")
    kind = blob[4 : 4 + size].decode("ascii", errors="replace")
    safe = all(one.isalnum() or one in "-@." for one in kind)
    return kind if safe else "unknown", base64.b64encode(blob).decode()


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _check_path(path: Path) -> None:
    """Refuse a program that somebody but root could exchange (sshd's safe path)."""
    for part in (path, *path.parents):
        try:
            found = part.stat()
        except OSError as error:
            raise MachineError(
                f"ssh.authorized-keys-command: {part}: {error.strerror}", code="KEYS_COMMAND"
            ) from error
        if found.st_uid or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _bad(f"must be root's alone to write: {part} is not")
    if not os.access(path, os.X_OK):
        raise _bad(f"cannot be run: {path} is no program")


def _bad(why: str) -> SheltieError:
    return UsageError(f"ssh.authorized-keys-command {why}", code="KEYS_COMMAND")


def _failed(why: str) -> SheltieError:
    return FailedError(f"ssh.authorized-keys-command {why}", code="KEYS_COMMAND")
