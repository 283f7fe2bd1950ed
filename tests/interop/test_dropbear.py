"""Dropbear's dbclient: another family of clients, as small systems have it."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tests.admin.ssh.door import USER, Door, Finished
from tests.e2e.terminal import Terminal
from tests.interop.clients import dropbear_home, run, where

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SIZE = 3_000_001


@pytest.fixture
async def home(door: Door, tmp_path: Path) -> Path:
    """Make a home that trusts the door."""
    return await dropbear_home(door, tmp_path)


async def dbclient(door: Door, home: Path, *command: str, stdin: bytes = b"") -> Finished:
    """Run a command by dbclient, which trusts only what is in its home: no `-y`."""
    argv = ["dbclient", "-p", str(door.port), "-i", str(home / "id"), f"{USER}@{door.host}"]
    return await run("env", f"HOME={home}", *argv, *command, stdin=stdin)


async def test_a_command_with_all_its_streams(door: Door, home: Path) -> None:
    """Input to its end, output, errors, the exit status."""
    data = os.urandom(SIZE)
    done = await dbclient(door, home, "sha256sum; echo bad >&2; exit 7", stdin=data)

    assert done.code == 7, done.err
    assert done.out.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert b"bad\n" in done.err


async def test_bulk_there_and_back(door: Door, home: Path) -> None:
    """Its small windows lose nothing."""
    data = os.urandom(SIZE)
    done = await dbclient(door, home, "cat", stdin=data)

    assert (done.code, done.out == data) == (0, True)


async def test_a_terminal(door: Door, home: Path) -> None:
    """A shell on a terminal has its size and gives its exit status."""
    argv = ["dbclient", "-p", str(door.port), "-i", str(home / "id"), f"{USER}@{door.host}"]

    def talk() -> int:
        with Terminal(["env", f"HOME={home}", *argv], rows=31, cols=97) as terminal:
            terminal.keys("PS1='re''ady> '\r")
            terminal.expect("ready> ")
            terminal.keys("tty; stty size; exit 3\r")
            terminal.expect(r"/dev/pts/\d+\s+31 97\s")
            return terminal.wait()

    assert await asyncio.to_thread(talk) == 3


async def test_scp_over_it(door: Door, home: Path, tmp_path: Path) -> None:
    """Scp with dbclient as its carrier, by the old protocol and by the new one."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(SIZE))
    carrier = tmp_path / "carrier"
    # scp speaks ssh's options, of which dbclient knows but some: the carrier drops the others.
    carrier.write_text(
        "#!/bin/bash\nwhile [ $# -gt 0 ]; do case $1 in\n"
        '-o*|-x|-a) [ ${#1} -gt 2 ] || { [ "$1" != -o ] || shift; } ;;\n'
        '-l|-p) kept+=("$1" "$2"); shift ;;\n--) ;;\n-s) kept+=(-s) ;;\n*) kept+=("$1") ;;\n'
        f'esac; shift; done\nHOME={home} exec dbclient -i {home}/id "${{kept[@]}}"\n'
    )
    carrier.chmod(0o700)
    for protocol in ("-O", "-s"):
        there = tmp_path / f"there{protocol}"
        argv = ["scp", protocol, "-S", str(carrier), "-P", str(door.port)]
        done = await run(*argv, str(source), where(door, str(there)))

        assert done.code == 0, done.err
        assert there.read_bytes() == source.read_bytes()
