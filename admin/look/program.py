"""The seccomp filter: the table of `allow`, assembled for one architecture as a binary tree.

Classic BPF (linux/filter.h) over struct seccomp_data: the call's number at 0, the architecture at
4, the arguments from 16 on. Each branch ends in a return, so no code falls into its neighbour's.
"""

from __future__ import annotations

import errno
from struct import pack

from admin.look import allow
from admin.look.numbers import ARCHITECTURES, NUMBERS

__all__ = ["assemble"]

_LOAD = 0x20  # LD | W | ABS
_AND = 0x54  # ALU | AND | K
_JUMP = 0x05  # JMP | JA
_EQUAL = 0x15  # JMP | JEQ | K
_AT_LEAST = 0x35  # JMP | JGE | K
_RETURN = 0x06  # RET | K
_NUMBER, _ARCHITECTURE = 0, 4
_SHORT = 255
"""How far a conditional jump reaches."""
_ALL = 0xFFFFFFFF
_X32 = 0x40000000
"""The bit of x86_64's other numbers (asm/unistd.h), which reach the same calls."""

Code = list[tuple[int, int, int, int]]


def assemble(machine: str) -> bytes:
    """Return the filter for `machine`, a key of ARCHITECTURES, as an array of sock_filter."""
    column, audit = ARCHITECTURES[machine]
    code: Code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, audit),
        _end(allow.KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _end(allow.KILL),
        *_tree(_ranges(column)),
    ]
    return b"".join(pack("=HBBI", *one) for one in code)


def _ranges(column: int) -> list[tuple[int, Code]]:
    """Return (first number, what to do from there on) in rising order, from 0 on."""
    refused = [_end(allow.answer(errno.EPERM))]
    judged: dict[int, Code] = {}
    for name, numbers in NUMBERS.items():
        action = _action(name)
        if action and numbers[column] >= 0:
            judged[numbers[column]] = action
    found: list[tuple[int, Code]] = []
    for number in range(allow.LAST_KNOWN + 1):
        action = judged.get(number, refused)
        if not found or found[-1][1] != action:
            found.append((number, action))
    return [*found, (allow.LAST_KNOWN + 1, [_end(allow.answer(errno.ENOSYS))])]


def _action(name: str) -> Code:
    """Return the code that judges a call, or none where it is refused."""
    if name in allow.ALLOWED:
        return [_end(allow.ALLOW)]
    if name in allow.ANSWERED:
        return [_end(allow.ANSWERED[name])]
    if name not in allow.CASES:
        return []
    cases, otherwise = allow.CASES[name]
    return [*(one for conditions, action in cases for one in _case(conditions, action)),
            _end(otherwise)]  # fmt: skip


def _case(conditions: tuple[allow.Condition, ...], action: int) -> Code:
    """Return `action` if all conditions hold; else jump behind this code."""
    if not conditions:
        return [_end(action)]
    (offset, mask, values), *more = conditions
    rest = _case(tuple(more), action)
    count = len(values)
    return [
        (_LOAD, 0, 0, offset),
        *([(_AND, 0, 0, mask)] if mask != _ALL else []),
        *((_EQUAL, count - place, 0, value) for place, value in enumerate(sorted(values))),
        (_JUMP, 0, 0, len(rest)),
        *rest,
    ]


def _tree(ranges: list[tuple[int, Code]]) -> Code:
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    left, right = _tree(ranges[:middle]), _tree(ranges[middle:])
    first = ranges[middle][0]
    if len(left) <= _SHORT:
        return [(_AT_LEAST, len(left), 0, first), *left, *right]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(left)), *left, *right]


def _end(action: int) -> tuple[int, int, int, int]:
    return _RETURN, 0, 0, action
