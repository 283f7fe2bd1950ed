"""OpenSSH's own programs through the door: ssh, scp by both protocols, sftp, ssh-keyscan."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.admin.ssh.door import Door
from tests.interop.clients import copy_options, run, where

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SIZE = 3_000_001


async def test_ssh_shares_one_connection(door: Door, tmp_path: Path) -> None:
    """Sessions of one connection (ControlMaster) go side by side, each with its exit status."""
    control = ["-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto"]
    stay = ["-o", "ControlPersist=30"]
    first = await door.ssh("exit 3", options=[*control, *stay])
    both = await asyncio.gather(
        *(door.ssh(f"cat; exit {code}", stdin=b"x" * SIZE, options=control) for code in (4, 5))
    )
    ended = await door.ssh(options=["-O", "exit", *control])

    assert [first.code, *(one.code for one in both), ended.code] == [3, 4, 5, 0]
    assert {len(one.out) for one in both} == {SIZE}
    assert [event.what for event in door.events].count("login") == 1


async def test_ssh_changes_keys_in_the_middle(door: Door) -> None:
    """A new key exchange for each megabyte loses nothing."""
    data = os.urandom(SIZE)
    done = await door.ssh("cat", stdin=data, options=["-o", "RekeyLimit=1M"])

    assert (done.code, done.out == data) == (0, True)


@pytest.mark.parametrize("protocol", ["-O", "-s"])
async def test_scp_there_and_back(door: Door, tmp_path: Path, protocol: str) -> None:
    """A tree with an odd name, modes and times comes back as it went, by either protocol."""
    source, there, back = (tmp_path / name for name in ("source", "there", "back"))
    source.mkdir()
    names = {"plain": 0o644, "with blank": 0o755, "ünïcode": 0o600, "empty": 0o640}
    for name, mode in names.items():
        path = source / name
        path.write_bytes(b"" if name == "empty" else os.urandom(SIZE))
        path.chmod(mode)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    options = [protocol, "-r", "-p", *copy_options(door)]
    up = await run("scp", *options, str(source), where(door, str(there)))
    down = await run("scp", *options, where(door, str(there)), str(back))

    assert (up.code, down.code) == (0, 0), up.err + down.err
    for place in (there, back):
        assert {path.name for path in place.iterdir()} == set(names)
        for name, mode in names.items():
            found = (place / name).stat()
            assert (found.st_mode & 0o777, found.st_mtime) == (mode, 1_000_000_000)
            assert (place / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize("protocol", ["-O", "-s"])
async def test_scp_of_a_file_that_is_not_there(door: Door, tmp_path: Path, protocol: str) -> None:
    """The failure is scp's own, with its words and its status."""
    done = await run(
        "scp",
        protocol,
        *copy_options(door),
        where(door, f"{tmp_path}/nothing"),
        str(tmp_path / "x"),
    )

    assert done.code == 1
    assert b"No such file" in done.err


async def test_sftp_in_a_batch(door: Door, tmp_path: Path) -> None:
    """Put, list, rename, link, remove and fetch, as a script of sftp says."""
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(SIZE))
    there = tmp_path / "there"
    batch = f"""
        mkdir {there}
        put {source} {there}/one
        rename {there}/one {there}/two
        symlink {there}/two {there}/link
        ls -l {there}
        get {there}/link {back}
        rm {there}/link
        rm {there}/two
        rmdir {there}
    """
    argv = ["sftp", "-b", "-", *copy_options(door), where(door)]
    done = await run(*argv, stdin=batch.encode())

    assert done.code == 0, done.err
    assert b"two" in done.out
    assert back.read_bytes() == source.read_bytes()
    assert not there.exists()


async def test_keyscan_sees_every_host_key(door: Door) -> None:
    """What ssh-keyscan prints is what the door says of itself."""
    await door.wait_for("host-key")  # the RSA key is made beside the work
    argv = ["ssh-keyscan", "-T", "20", "-t", "ed25519,ecdsa,rsa", "-p", str(door.port), door.host]
    done = await run(*argv)
    found = {
        " ".join(line.split()[1:]) for line in done.out.decode().splitlines() if line[0] != "#"
    }
    made = [event.detail for event in door.events if event.what == "host-key"]

    assert done.code == 0
    assert found == {" ".join(one.split()[:2]) for one in (*door.ready.host_keys, *made)}
