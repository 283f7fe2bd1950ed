"""The seccomp filter: assembled for both architectures, run here by an interpreter of BPF."""

import ctypes
import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.look import allow
from admin.look.numbers import ARCHITECTURES, NUMBERS
from admin.look.program import assemble

PROGRAMS = {
    machine: list(struct.iter_unpack("=HBBI", assemble(machine))) for machine in ARCHITECTURES
}
EPERM = allow.answer(errno.EPERM)
DONE = allow.answer(0)


def run(machine: str, number: int, *arguments: int, audit: int = 0) -> int:
    """Return the filter's action for a call."""
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit or ARCHITECTURES[machine][1], 0, *filled)
    program, place, register = PROGRAMS[machine], 0, 0
    for _ in range(len(program)):  # jumps go forward only
        code, true, false, value = program[place]
        place += 1
        match code:
            case 0x20:
                (register,) = struct.unpack_from("=I", data, value)
            case 0x54:
                register &= value
            case 0x05:
                place += value
            case 0x15:
                place += true if register == value else false
            case 0x35:
                place += true if register >= value else false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(code)
    raise AssertionError("no return")


def number(machine: str, name: str) -> int:
    """Return a call's number."""
    return NUMBERS[name][ARCHITECTURES[machine][0]]


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_name_has_the_action_of_the_table(machine: str) -> None:
    """Each plain call is allowed or answered as the table says; all others are refused."""
    judged = {}
    for name in NUMBERS:
        if name in allow.ALLOWED:
            judged[number(machine, name)] = allow.ALLOW
        elif name in allow.ANSWERED:
            judged[number(machine, name)] = allow.ANSWERED[name]
    cases = {number(machine, name) for name in allow.CASES}
    for one in range(allow.LAST_KNOWN + 1):
        if one not in cases:
            assert run(machine, one) == judged.get(one, EPERM), one
    assert run(machine, allow.LAST_KNOWN + 1) == allow.answer(errno.ENOSYS)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_names_are_judged_once(machine: str) -> None:
    """No name stands in two tables, and each has a number somewhere."""
    tables = [allow.ALLOWED, set(allow.ANSWERED), set(allow.CASES)]
    assert sum(map(len, tables)) == len(set().union(*tables))
    assert set().union(*tables) <= set(NUMBERS)
    assert all(max(numbers) >= 0 for numbers in NUMBERS.values())
    assert machine in ARCHITECTURES


@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("socket", (16, 3, 0), allow.ALLOW),
        ("socket", (16, 2, 4), allow.ALLOW),
        ("socket", (1 << 32 | 16, 3, 4), allow.ALLOW),  # the kernel takes 32 bits too
        ("socket", (16, 3, 15), allow.answer(errno.EAFNOSUPPORT)),
        ("socket", (1, 1, 0), allow.answer(errno.EAFNOSUPPORT)),
        ("clone", (0x01200011,), allow.ALLOW),
        ("clone", (0x003D0F00,), allow.ALLOW),
        ("clone", (0x10000011,), EPERM),
        ("clone", (0x00008011,), EPERM),
        ("clone", (0x00020000,), EPERM),
        ("clone", (0x02000000,), EPERM),
        ("fcntl", (3, 6, 0), DONE),
        ("fcntl", (3, 38, 0), DONE),
        ("fcntl", (3, 1030, 0), allow.ALLOW),
        ("fcntl", (3, 1024, 0), EPERM),
        ("ioctl", (0, 0x5401), allow.ALLOW),
        ("ioctl", (0, 0x5412), allow.answer(errno.ENOTTY)),
        ("ioctl", (0, 0xFFFFFFFF00005412), allow.answer(errno.ENOTTY)),
        ("prlimit64", (0, 7, 1234), allow.ALLOW),
        ("prlimit64", (1, 7, 0), allow.ALLOW),
        ("prlimit64", (1, 7, 1), EPERM),
        ("prlimit64", (1, 7, 1 << 40), EPERM),
        ("syslog", (3,), allow.ALLOW),
        ("syslog", (5,), EPERM),
        ("prctl", (47, 1), allow.ALLOW),
        ("prctl", (47, 2), EPERM),
        ("prctl", (22, 2), EPERM),
        ("personality", (0xFFFFFFFF,), allow.ALLOW),
        ("personality", (0x0040000,), EPERM),
    ],
)
@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_arguments_are_judged(
    machine: str, name: str, arguments: tuple[int, ...], action: int
) -> None:
    """What some calls do depends on their arguments."""
    assert run(machine, number(machine, name), *arguments) == action


word = st.integers(0, (1 << 64) - 1)


@given(
    machine=st.sampled_from(sorted(ARCHITECTURES)),
    one=st.integers(0, (1 << 32) - 1),
    audit=st.integers(1, (1 << 32) - 1),
    arguments=st.lists(word, min_size=6, max_size=6),
)
def test_foreign_tables_are_killed(
    machine: str, one: int, audit: int, arguments: list[int]
) -> None:
    """Another architecture's calls and x32's end the process; no arguments break the filter."""
    if audit != ARCHITECTURES[machine][1]:
        assert run(machine, one, *arguments, audit=audit) == allow.KILL
    if one >= 0x40000000:
        assert run(machine, one, *arguments) == allow.KILL
    run(machine, one % 500, *arguments)


def test_numbers_are_those_of_libseccomp() -> None:
    """An independent table agrees, as far as it knows a name."""
    if not list(Path("/usr/lib").glob("*/libseccomp.so.2")):
        pytest.skip("needs libseccomp.so.2")
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    compared = 0
    for name, numbers in NUMBERS.items():
        for machine, (column, audit) in ARCHITECTURES.items():
            known = resolve(audit, name.encode())
            if known >= 0:
                assert numbers[column] == known, (name, machine)
                compared += 1
            elif known != -1:  # it knows the name, and that this architecture lacks it
                assert numbers[column] == -1, (name, machine)
    assert compared > 350
