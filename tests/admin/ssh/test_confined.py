"""The listener, as it really runs: no privilege, no file, no new descriptor, no key."""

import asyncio
import ctypes
import json
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from admin.ssh import seccomp
from admin.ssh.syscalls import ARCHITECTURES, NUMBERS
from contract.errors import MachineError
from tests.admin.ssh.confined import CALLS
from tests.admin.ssh.door import Door

KILL, ALLOW, EPERM = 0x80000000, 0x7FFF0000, 0x50001
LATE = {
    "openat", "openat2", "newfstatat", "readlinkat", "statx", "faccessat", "getcwd", "getdents64",
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What became of each attempt by a process that runs as the listener does."""
    program = Path(__file__).with_name("confined.py")
    done = subprocess.run(
        [sys.executable, "-I", program], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [name for name in CALLS if name not in LATE])
def test_a_call_that_is_not_needed_kills(name: str, outcomes: dict[str, str]) -> None:
    """Sockets, processes, files, privileges: one try, and the process is dead."""
    assert outcomes[name] == "killed"


@pytest.mark.parametrize(
    "name", ["mmap executable", "mprotect executable", "fcntl duplicate", "ioctl TIOCSTI"]
)
def test_an_allowed_call_with_other_arguments_kills(name: str, outcomes: dict[str, str]) -> None:
    """No new code, no copies of descriptors, no typing into terminals."""
    assert outcomes[name] == "killed"


def test_the_other_abi_kills(outcomes: dict[str, str]) -> None:
    """X32's numbers do not slip past the list."""
    assert outcomes["x32 getpid"] == "killed"


@pytest.mark.parametrize(
    "name", [*sorted(LATE), "read a file", "write a file", "late import", "too much memory"]
)
def test_paths_and_memory_are_refused(name: str, outcomes: dict[str, str]) -> None:
    """Looking up a path is EPERM, which a late import survives; memory has an end."""
    assert outcomes[name] == "refused"


@pytest.mark.parametrize("name", ["talk", "memory", "random"])
def test_what_a_listener_is_for_works(name: str, outcomes: dict[str, str]) -> None:
    """Talking on what is open, memory within bounds, random bytes."""
    assert outcomes[name] == "done"


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_libseccomps(machine: str) -> None:
    """Every number by name is what libseccomp says for that architecture."""
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name_arch
    column = list(ARCHITECTURES).index(machine)
    for name, numbers in NUMBERS.items():
        found = resolve(ctypes.c_uint32(ARCHITECTURES[machine]), name.encode())
        assert numbers[column] == (found if found >= 0 else None), name


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_answers_by_name(machine: str) -> None:
    """For both architectures: what is allowed, what is EPERM, and all the rest is death."""
    column = list(ARCHITECTURES).index(machine)
    allowed = {NUMBERS[name][column] for name in seccomp.ALLOWED}
    paths = {NUMBERS[name][column] for name in seccomp.PATHS}
    others = {NUMBERS[name][column] for name in (*seccomp.ONLY, *seccomp.NO_EXECUTION)}
    for number in range(600):
        if number in others:
            continue
        expected = ALLOW if number in allowed else EPERM if number in paths else KILL
        assert judged(machine, ARCHITECTURES[machine], number) == expected, number


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_refuses_another_architecture(machine: str) -> None:
    """A call by another ABI (i386's int 0x80) has other numbers, and is death."""
    assert judged(machine, 0x40000003, 0) == KILL
    assert judged(machine, ARCHITECTURES[machine], 0x40000000) == KILL


def test_an_unknown_machine_is_an_error() -> None:
    """No table, no listener: it fails closed."""
    with pytest.raises(MachineError, match="riscv64"):
        seccomp.program("riscv64")


def judged(machine: str, arch: int, number: int, *arguments: int) -> int:
    """Run the filter on a call as the kernel would (struct seccomp_data)."""
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *six)
    lines = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    at = word = 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        match code:
            case seccomp.LOAD:
                (word,) = struct.unpack_from("<I", data, value)
            case seccomp.JEQ:
                at += yes if word == value else no
            case seccomp.JGE:
                at += yes if word >= value else no
            case seccomp.JSET:
                at += yes if word & value else no
            case seccomp.RET:
                assert isinstance(value, int)
                return value
            case _:
                raise AssertionError(code)


@asynccontextmanager
async def inside(door: Door) -> AsyncIterator[int]:
    """Hold a session open and give the pid of its listener."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *door.argv("echo in; cat"), stdin=pipe, stdout=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"in\n"
    zygote = next(pid for pid in children(door.link._process.pid) if b"listen_zygote" in words(pid))
    (pid,) = children(zygote)
    yield pid
    process.stdin.close()
    await process.wait()


def status(pid: int) -> dict[str, str]:
    """Return a process's status by name (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def held(pid: int) -> set[str]:
    """Return what a process's descriptors are."""
    return {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}


def children(pid: int) -> list[int]:
    """Return the pids of the children of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in tasks for word in path.read_text().split()]


def words(pid: int) -> bytes:
    """Return a process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.privileged
async def test_the_listener_has_no_privilege(door: Door) -> None:
    """Its own uid, no group, no capability and no way to one, a filter, one thread, few files."""
    async with inside(door) as pid:
        fields = status(pid)
        files = held(pid)

    assert set(fields["Uid"].split()).isdisjoint({"0"})
    assert set(fields["Gid"].split()).isdisjoint({"0"})
    assert fields["Groups"].split() == []
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert fields["Threads"] == "1"
    assert all(one.startswith(("socket:", "anon_inode:[eventpoll]")) for one in files), files


@pytest.mark.privileged
async def test_the_listener_holds_no_host_key(door: Door) -> None:
    """The private key is in the monitor's memory, and nowhere in the listener's."""
    data = (door.directory / "etc/ssh/ssh_host_ed25519_key").read_bytes()
    private = serialization.load_ssh_private_key(data, password=None)
    seed = private.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    async with inside(door) as pid:
        assert count(pid, seed) == 0
        assert count(door.link._process.pid, seed) > 0


def count(pid: int, wanted: bytes) -> int:
    """Return how often `wanted` stands in the writable memory of a process."""
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, mode, *_ = line.split()
            if not mode.startswith("rw"):
                continue
            start, end = (int(one, 16) for one in where.split("-"))
            memory.seek(start)
            found += (memory.read(end - start) or b"").count(wanted)
    return found
