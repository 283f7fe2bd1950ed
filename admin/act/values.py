"""Kinds of parameters: what a value may be, so that it is one word and never an option."""

import re
from typing import Final

from contract.errors import UsageError

__all__ = ["KINDS", "check"]

KINDS: Final = {
    # What systemd allows in a unit's name (systemd.unit(5)); no option begins so.
    "unit": (re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}"), "a unit of systemd's"),
    # As Docker, podman and the kubelet name containers.
    "container": (re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"), "a container's name or id"),
    # Not PID 1; the highest is the kernel's own limit (proc(5), pid_max).
    "pid": (re.compile(r"[2-9]|[1-9][0-9]{1,6}"), "a process id above 1"),
    "size": (re.compile(r"[1-9][0-9]{0,5}[KMG]"), "a size such as 500M"),
    "number": (re.compile(r"0|[1-9][0-9]{0,8}"), "a number"),
    "choice": (re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"), "one of the words"),
}
"""Each kind's pattern, and what people are told of it."""


def check(name: str, kind: str, value: str, choices: tuple[str, ...] = ()) -> str:
    """Return `value`. Raises UsageError (ACT_PARAMETER) where it is none of its kind."""
    pattern, words = KINDS[kind]
    if choices and value not in choices:
        raise UsageError(
            f"{name} must be one of {', '.join(choices)}, not {value[:80]!r}", code="ACT_PARAMETER"
        )
    if not pattern.fullmatch(value):
        raise UsageError(f"{name} must be {words}, not {value[:80]!r}", code="ACT_PARAMETER")
    return value
