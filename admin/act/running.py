"""Taking the ways of an action: which are open, what they do, what came of it."""

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from admin.act import bundle, host
from admin.act.declare import Way
from admin.act.plan import Plan
from contract.errors import FailedError, MachineError, NotFoundError, RefusedError

__all__ = ["Outcome", "open_ways", "run"]

SAID_MAX = 64 << 10
"""Characters of a program's output that are shown."""


@dataclass
class Outcome:
    """What is run, or would be, and what was said."""

    commands: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def open_ways(plan: Plan) -> list[Way]:
    """Return the ways to take. Raises MachineError (ACT_LACKS), NotFoundError (ACT_UNFIT)."""
    found, reasons, present = [], [], False
    for way in plan.action.way:
        done = host.run(plan.when(way), plan.action.seconds)
        if done.status == host.NO_COMMAND:
            continue
        present = True
        if done.status or done.cut:
            reasons.append(f"{way.program}: {done.cut or done.last_words()}")
        else:
            found.append(way)
            if plan.action.take == "first":
                break
    if found:
        return found
    if not present:
        programs = ", ".join(way.program for way in plan.action.way)
        raise MachineError(
            f"{plan.name} cannot be done: this host has none of {programs}", code="ACT_LACKS"
        )
    raise NotFoundError(f"{plan.name} cannot be done: {'; '.join(reasons)}", code="ACT_UNFIT")


def run(plan: Plan, outcome: Outcome, ways: list[Way], into: IO[bytes] | None = None) -> None:
    """Do it; a bundle goes to `into`. Raises SheltieError where it did not come off."""
    action = plan.action
    if action.signal is not None:
        _signal(*(plan.values[name] for name in action.signal))
    elif action.collect:
        assert into is not None  # noqa: S101  its caller saw that it is a bundle
        outcome.said += bundle.write(action.collect, action.seconds, into, plan.name)
    for way in ways:
        for argv in plan.steps(way):
            done = host.run(argv, action.seconds)
            text = (done.said + done.complained).decode(errors="replace")
            outcome.said += text[:SAID_MAX].splitlines()
            if done.status or done.cut:
                why = done.cut or done.last_words()
                raise FailedError(f"{' '.join(argv)[:200]}: {why}", code="ACT_FAILED")


def _signal(name: str, text: str) -> None:
    """Signal a process of the host's, and none of this container's, where sessions and keeper are.

    Raises NotFoundError (NO_PROCESS), RefusedError (ACT_OURS).
    """
    pid = int(text)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        raise NotFoundError(f"the host has no process {pid}", code="NO_PROCESS") from error
    try:
        try:
            ours = Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
        except OSError:
            ours = False  # it has gone, or is of the kernel's own
        if ours:
            raise RefusedError(f"process {pid} is admin's own", code="ACT_OURS")
        signal.pidfd_send_signal(descriptor, signal.Signals[f"SIG{name}"])
    except ProcessLookupError as error:
        raise NotFoundError(f"the host has no process {pid}", code="NO_PROCESS") from error
    finally:
        os.close(descriptor)
