"""conmon: keeps a container's log and exit status while the daemon may come and go (conmon(8))."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from contract.errors import FailedError
from host.runtime import logs, programs
from host.runtime.files import Files

__all__ = ["argv", "create", "is_conmon_of"]

CREATE_SECONDS: Final = 60.0
_MESSAGE_MAX: Final = 1 << 16


async def create(
    conmon: str, runtime: list[str], files: Files, shelter: Callable[[int], None]
) -> None:
    """Create the container of `files` under conmon, which then stays; `shelter` gets its pid.

    Raises FailedError (CONTAINER_FAILED) with the runtime's own reason.
    """
    sync_read, sync_write = os.pipe()
    start_read, start_write = os.pipe()
    environment = {
        **programs.ENVIRONMENT,
        "_OCI_SYNCPIPE": str(sync_write),
        "_OCI_STARTPIPE": str(start_read),
    }
    try:
        # Returns after fork and exec, like asyncio's own, which would also want to reap.
        process = subprocess.Popen(  # noqa: ASYNC220  see above
            argv(conmon, runtime, files),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(sync_write, start_read),
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        for descriptor in (sync_read, start_write):
            os.close(descriptor)
        raise FailedError(
            f"cannot run {conmon}: {error.strerror}", code="CONTAINER_FAILED"
        ) from error
    finally:
        os.close(sync_write)
        os.close(start_read)
    try:
        # conmon forks nothing before it reads this: all that it starts is out of harm's way.
        try:
            shelter(process.pid)
            os.write(start_write, b"\0")
        finally:
            os.close(start_write)
        async with asyncio.timeout(CREATE_SECONDS):
            message = await _line(sync_read)
            _check(message, files)
    except OSError as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        raise FailedError(
            f"container {files.name} could not be created: {why}",
            code="CONTAINER_FAILED",
        ) from error
    finally:
        os.close(sync_read)
        process.wait()


def is_conmon_of(pid: int, files: Files) -> bool:
    """Return whether process `pid` is the conmon of this very container."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # The option by which podman names that file is another.
    return b"conmon" in words[0] and os.fsencode(files.pid) in words


def argv(conmon: str, runtime: list[str], files: Files) -> list[str]:
    """Return the command line that creates the container of a bundle under conmon."""
    arguments = [f"--runtime-arg={word}" for word in runtime[1:]]
    return [
        conmon,
        *("--api-version", "1"),
        *("--cid", files.name, "--cuuid", files.name, "--name", files.name),
        *("--runtime", runtime[0], *arguments),
        *("--bundle", str(files.bundle)),
        # Sockets below a deep STATE: conmon then binds them by way of a descriptor.
        "--full-attach",
        *("--container-pidfile", str(files.pid), "--conmon-pidfile", str(files.conmon_pid)),
        *("--exit-dir", str(files.exits)),
        *("--log-path", f"k8s-file:{files.log}", "--log-size-max", str(logs.MAX)),
        *("--log-level", "error"),
    ]


def _check(message: bytes, files: Files) -> None:
    """Raise FailedError unless conmon's message tells the pid of a container that is created."""
    answer: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        answer = json.loads(message)
    if answer.get("data", -1) > 0 or answer.get("pid", -1) > 0:
        return
    why = programs.last_line(str(answer.get("message", "")).encode())
    raise FailedError(
        f"container {files.name} could not be created: {why}", code="CONTAINER_FAILED"
    )


async def _line(descriptor: int) -> bytes:
    """Read a line, or all there is, from a pipe."""
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    found = bytearray()
    try:
        while b"\n" not in found and len(found) < _MESSAGE_MAX:
            await ready.wait()
            ready.clear()
            with contextlib.suppress(BlockingIOError):
                data = os.read(descriptor, 4096)
                if not data:
                    break
                found += data
    finally:
        loop.remove_reader(descriptor)
    return bytes(found)
