"""What /exec relies on in every Containers: the tests that each implementation inherits.

A subclass offers a fixture `containers` whose container `name` runs and holds sh, cat, stty, sleep.
"""

import asyncio
import os
from typing import ClassVar

import pytest

from contract.errors import FailedError, NotFoundError
from contract.execwire import Size
from host.desired import Containers, ExecProcess

__all__ = ["ExecPromises"]

SIZE = Size(33, 99)


async def output_of(process: ExecProcess) -> bytes:
    """Return all output; a terminal's end is EIO."""

    def read() -> bytes:
        os.set_blocking(process.output, True)
        found = bytearray()
        try:
            while data := os.read(process.output, 4096):
                found += data
        except OSError:
            pass
        return bytes(found)

    return await asyncio.to_thread(read)


async def run(containers: Containers, name: str, script: str, size: Size | None = None) -> bytes:
    """Run a script to its end, which must be 0, and return its output."""
    process = await containers.exec(name, [b"sh", b"-c", script.encode()], size=size)
    try:
        process.close_input()
        output, status = await asyncio.gather(output_of(process), process.wait())
    finally:
        await process.end()
    assert status == 0
    return output


class ExecPromises:
    """The promises."""

    name: ClassVar[str] = "admin"

    @pytest.mark.parametrize(
        ("script", "status"), [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137)]
    )
    async def test_status(self, containers: Containers, script: str, status: int) -> None:
        """The exit status comes through, 128+n for a signal."""
        process = await containers.exec(self.name, [b"sh", b"-c", script.encode()], size=None)

        assert await process.wait() == status
        await process.end()

    async def test_streams(self, containers: Containers) -> None:
        """Output and errors are one stream; the end of input arrives."""
        assert await run(containers, self.name, "cat; printf a; printf b >&2; printf c") == b"abc"

    async def test_input(self, containers: Containers) -> None:
        """What is written arrives, and is at its end when the input is closed."""
        process = await containers.exec(self.name, [b"cat"], size=None)
        os.write(process.input, b"hello")
        process.close_input()

        assert await output_of(process) == b"hello"
        assert (await process.wait(), process.input) == (0, -1)
        await process.end()

    async def test_arguments_are_bytes(self, containers: Containers) -> None:
        """Arguments need not be text."""
        process = await containers.exec(self.name, [b"printf", b"%s", b"\xff\xfe"], size=None)

        assert await output_of(process) == b"\xff\xfe"
        await process.end()

    async def test_terminal(self, containers: Containers) -> None:
        """A terminal is one descriptor, has the size asked for, and can be resized."""
        script = b"read x; stty size; test -t 0 && test -t 1 && test -t 2 && read x && stty size"
        process = await containers.exec(self.name, [b"sh", b"-c", script], size=SIZE)
        assert process.input == process.output
        process.close_input()
        assert process.input == process.output
        # It has the size when exec has returned; a command that is quicker hears of it by SIGWINCH.
        os.write(process.input, b"\n")
        first = b""
        while len(first.split()) < 2:  # the echo comes first
            first += await asyncio.to_thread(os.read, process.output, 4096)
        process.resize(Size(44, 111))
        os.write(process.input, b"\n")
        rest = await output_of(process)

        assert first.split() == [b"33", b"99"]
        assert rest.split()[-2:] == [b"44", b"111"]
        assert await process.wait() == 0
        await process.end()

    @pytest.mark.parametrize("size", [None, SIZE])
    async def test_end(self, containers: Containers, size: Size | None) -> None:
        """Ending kills a process that minds no signal, with what it started, and twice is fine."""
        script = b"trap '' HUP TERM INT; sleep 600 & echo up; while :; do sleep 60; done"
        process = await containers.exec(self.name, [b"sh", b"-c", script], size=size)
        await asyncio.to_thread(os.read, process.output, 4096)
        async with asyncio.timeout(20):
            await process.end()
            await process.end()

    async def test_waiting_may_be_given_up(self, containers: Containers) -> None:
        """Giving up a wait loses nothing: the next one returns the status."""
        process = await containers.exec(self.name, [b"sh", b"-c", b"read x; exit 3"], size=None)
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        process.close_input()

        assert await process.wait() == 3
        await process.end()

    async def test_no_such_container(self, containers: Containers) -> None:
        """A container that does not run is NotFoundError."""
        with pytest.raises(NotFoundError):
            await containers.exec("nowhere", [b"true"], size=None)

    async def test_no_such_program(self, containers: Containers) -> None:
        """A program that is not there is FailedError, or exit status 126 or 127 with a word why."""
        try:
            process = await containers.exec(self.name, [b"/nonexistent"], size=None)
        except FailedError:
            return
        output, status = await asyncio.gather(output_of(process), process.wait())
        await process.end()
        assert status in {126, 127}
        assert output
