"""The stand-in host: an init of our own, for machines whose PID 1 is out of bounds.

It is PID 1 of fresh mount, pid, uts, ipc and cgroup namespaces and sees the machine's root as an
overlay that cannot be written to. It is no security boundary: it keeps honest programs from
changing the machine.
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.durable import read_file, remove_file, write_file
from contract.errors import FailedError, MachineError, SheltieError
from dev import cgroups
from dev.standin_root import Plan

__all__ = ["Standin", "bring_down", "bring_up", "load"]

VERSION = 1
RECORD_MAX = 1 << 20
ENDING_SECONDS = 10


@dataclass(frozen=True)
class Standin:
    """A stand-in that runs. `pid` is its PID 1 as the machine sees it."""

    name: str
    pid: int
    started: int
    cgroups: tuple[Path, ...]


def bring_up(
    *,
    record: Path,
    binds: Sequence[Path],
    state: Path,
    follow_parent: bool = False,
    shell: bool = True,
    net: bool = False,
) -> Standin:
    """Bring a stand-in up and remember it in `record`.

    `state` is bound writable, `binds` read-only, each at its own path. With `follow_parent` the
    stand-in dies with this process. Raises MachineError, FailedError.
    """
    _check_machine()
    if record.exists():
        bring_down(record)
    name = f"standin-{secrets.token_hex(4)}"
    mountinfo = Path("/proc/self/mountinfo").read_text()
    found = cgroups.hierarchies(mountinfo, Path("/proc/self/cgroup").read_text())
    planned = tuple(hierarchy.here / name for hierarchy in found)
    # Remembered before they are made: whatever ends us, `bring_down` finds them.
    _remember(record, Standin(name, 0, 0, planned))
    try:
        cgroups.make(found, name)
    except OSError as error:
        bring_down(record)
        raise MachineError(f"cannot make cgroups: {error}", code="STANDIN_FAILED") from error
    existing = [path for path in binds if path.exists()]
    plan: Plan = {
        "name": name,
        "binds": [str(path) for path in (*existing, state)],
        "readonly": [str(path) for path in existing],
        "cgroups": [str(path) for path in planned],
        "shell": shell,
        "net": net,
        "follow": follow_parent,
    }
    told, tell = os.pipe()
    try:
        pid = _start(plan, told, tell)
        made = Standin(name, pid, _start_time(pid), planned)
        _remember(record, made)
        os.write(tell, b"kept\n")
    except BaseException:
        os.close(tell)  # whatever has come up by now sees the end of its stdin, and ends
        bring_down(record)
        raise
    # With `follow` this end stays open for as long as this process lives: its end is the sign.
    if not follow_parent:
        os.close(tell)
    return made


def bring_down(record: Path) -> None:
    """End the stand-in of `record` and remove what it used; idempotent. Raises FailedError."""
    try:
        known = load(record)
    except FileNotFoundError:
        return
    cgroups.thaw(known.cgroups)
    _kill(known)
    try:
        cgroups.remove(known.cgroups)
    except OSError as error:
        raise FailedError(f"cannot remove cgroup: {error}", code="STANDIN_BUSY") from error
    remove_file(record)


def load(record: Path) -> Standin:
    """Return what `record` remembers. Raises FileNotFoundError, FailedError."""
    try:
        known = json.loads(read_file(record, RECORD_MAX))
        paths = tuple(Path(path) for path in known["cgroups"])
        return Standin(known["name"], known["pid"], known["started"], paths)
    except (ValueError, KeyError, TypeError) as error:
        raise FailedError(f"{record} is damaged", hint="remove it", code="RECORD_BAD") from error


def _remember(record: Path, known: Standin) -> None:
    document = {
        "version": VERSION,
        "name": known.name,
        "pid": known.pid,
        "started": known.started,
        "cgroups": [str(path) for path in known.cgroups],
    }
    write_file(record, json.dumps(document).encode())


def _start(plan: Plan, told: int, tell: int) -> int:
    """Start the stand-in's PID 1 from a fresh process that reads from `told`; return its pid."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "dev.standin_root"],
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        os.close(told)
    with contextlib.suppress(BrokenPipeError):  # it ended already, and says why
        os.write(tell, json.dumps(plan).encode() + b"\n")
    out, words = process.communicate()
    if not out:
        why = words.strip().splitlines()
        raise MachineError(
            f"the stand-in did not come up: {why[-1] if why else 'no reason given'}",
            hint="it needs root, namespaces and overlayfs",
            code="STANDIN_FAILED",
        )
    return int(out)


def _kill(known: Standin) -> None:
    """Kill the stand-in's PID 1 by pidfd, and with it everything in its pid namespace."""
    try:
        descriptor = os.pidfd_open(known.pid) if known.pid else -1
    except ProcessLookupError:
        return
    if descriptor < 0:
        return
    try:
        if _start_time(known.pid) != known.started:
            return  # the pid belongs to somebody else by now
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        _wait(descriptor, known)
    finally:
        os.close(descriptor)


def _wait(descriptor: int, known: Standin) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(ENDING_SECONDS * 1000):
        raise FailedError(f"the stand-in's PID 1 ({known.pid}) does not die", code="STANDIN_BUSY")


def _start_time(pid: int) -> int:
    """Return the start time of a process in clock ticks after boot; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text[text.rindex(")") + 2 :].split()[19])


def _check_machine() -> None:
    if os.geteuid():
        raise MachineError("the stand-in host needs root", hint="run it as root", code="NOT_ROOT")
    if not Path("/usr/bin/catatonit").exists():
        raise MachineError(
            "catatonit is missing",
            hint="install Debian's package catatonit",
            code="PROGRAM_MISSING",
        )
    if "overlay" not in Path("/proc/filesystems").read_text():
        raise MachineError(
            "this kernel has no overlayfs", hint="load the module overlay", code="KERNEL_LACKS"
        )


def main() -> int:
    """Run `up` or `down`; return the exit status."""
    parser = argparse.ArgumentParser(prog="standin", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring a stand-in host up in the background")
    up.add_argument("--state", type=Path, required=True, help="directory that it may write to")
    up.add_argument("--bind", type=Path, action="append", default=[], help="shown read-only")
    up.add_argument("--net", action="store_true", help="a network of its own")
    up.add_argument("--no-shell", action="store_true", help="a host without a shell")
    down = verbs.add_parser("down", help="end it and remove what it used")
    for verb in (up, down):
        verb.add_argument("--record", type=Path, required=True, help="where it is remembered")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "down":
            bring_down(arguments.record)
            return 0
        made = bring_up(
            record=arguments.record,
            binds=arguments.bind,
            state=arguments.state.resolve(),
            shell=not arguments.no_shell,
            net=arguments.net,
        )
    except SheltieError as error:
        print(f"standin: {error.line()}", file=sys.stderr)
        return error.exit_status
    print(json.dumps({"pid": made.pid, "id": made.name}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
