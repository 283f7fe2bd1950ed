"""`make run`: the main job from a bare machine.

On a terminal it opens a shell in control and says what to type; leaving the shell ends everything.
Without one it plays the whole job with the real ssh client, each step with its time, and exits with
0 only if every step held.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import FailedError, SheltieError
from dev import machine
from dev.running import Running, stop
from dev.site import CLONE, PYTHON, Site
from dev.snapshot import Snapshot, differences
from dev.steps import Steps
from dev.up import bring_up, enable, ending, make_identity
from dev.workshop import need_root

__all__ = ["main"]

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
STEP_SECONDS = 120

WELCOME = """
A shell in the control container follows. Leaving it ends everything: nothing stays.
A key for trying it out (its private half is {identity}):

  enable-admin-container --key "{key}"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the main job; return the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    where = CLONE / ".sheltie" / "run"
    parser.add_argument("--site", type=Path, default=where, help="where its files lie")
    os.umask(0o077)
    site, steps = Site(parser.parse_args(arguments).site.resolve()), Steps()
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        need_root()
        standin = not machine.probe()
        steps.say(f"host: {'a stand-in' if standin else 'this machine'}{_why(standin)}")
        with ending(site):
            stop(site)  # what an earlier run may have left behind
            before = _machine()
            host = bring_up(site, steps, follow_parent=True)
            if interactive:
                _shell(host)
            else:
                _job(host, steps)
            with steps.step("end everything"):
                stop(site)
                left = differences(before, _machine()) if standin else []
                if left:
                    why = f"left on the machine: {'; '.join(left[:5])}"
                    raise FailedError(why, code="LEFT_BEHIND")
    except SheltieError as error:
        print(f"make run: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make run: interrupted; nothing is left running", file=sys.stderr)
        return 130
    steps.say(f"done in {steps.total:.1f} s")
    return 0


def _why(standin: bool) -> str:
    return ", because the PID 1 of this machine may not be entered" if standin else ""


def _machine() -> Snapshot:
    """What the machine itself would show of us: its mounts."""
    return {"mounts": Path("/proc/self/mountinfo").read_text().splitlines()}


def _shell(host: Running) -> None:
    key = make_identity(host.site)
    print(WELCOME.format(key=key, identity=host.site.identity), flush=True)
    argv = host.hostd("exec", "control", "--tty", "--user", "ssm-user", "--", "bash", "-l")
    subprocess.run(argv, check=False)


def _job(host: Running, steps: Steps) -> None:
    """Walk the whole main job; raise FailedError at the first step that does not hold."""
    before = _picture(host)
    with steps.step("control: enable-admin-container --key -") as note:
        answer = enable(host, make_identity(host.site))
        note.text = answer["ssh"]["command"]
    with steps.step("ssh into admin: a shell as the login user") as note:
        note.text = _ssh(host, answer, "id -un; cat /proc/1/comm").split()[0]
        _hold(note.text == answer["ssh"]["user"], f"logged in as {note.text}")
    with steps.step("sheltie: the six namespaces are those of the host's PID 1"):
        listing = "\n".join(f"readlink /proc/self/ns/{name}" for name in NAMESPACES)
        ours = _ssh(host, answer, "sheltie", listing).split()
        argv = [part for name in NAMESPACES for part in (f"/proc/1/ns/{name}",)]
        theirs = _run(host.on_host("readlink", *argv)).split()
        _hold(ours == theirs, f"{ours} are not {theirs}")
    with steps.step("sheltie: the shell is nowhere on the host") as note:
        note.text = _ssh(host, answer, "sheltie", "readlink /proc/$$/exe").strip()
        argv = host.on_host("test", "-e", note.text)
        there = subprocess.run(argv, capture_output=True, check=False).returncode
        _hold(there == 1, f"{note.text} exists on the host")
    with steps.step("sheltie COMMAND: output and exit code come through"):
        _hold(_ssh(host, answer, "sheltie echo here") == "here\n", "no output")
        argv = _ssh_argv(host, answer, "sheltie sh -c 'exit 7'")
        done = subprocess.run(argv, capture_output=True, check=False)
        _hold(done.returncode == 7, f"exit code {done.returncode}")  # noqa: PLR2004  as asked for
    with steps.step("control: disable-admin-container"):
        _run(host.in_container("control", "disable-admin-container"))
        done = subprocess.run(
            _ssh_argv(host, answer, "true"), check=False, capture_output=True, timeout=STEP_SECONDS
        )
        _hold(done.returncode == 255, "the door is still open")  # noqa: PLR2004  ssh(1) EXIT STATUS
    with steps.step("the host is what it was: mounts, sockets, /etc, processes"):
        changed = differences(before, _picture(host))
        _hold(not changed, "; ".join(changed[:5]))


def _picture(host: Running) -> Snapshot:
    answer: Snapshot = json.loads(_run(host.on_host(PYTHON, "-I", "-m", "dev.snapshot")))
    if not host.standin:
        del answer["processes"]  # a living machine's processes come and go without us
    return answer


def _ssh_argv(host: Running, answer: dict[str, dict[str, str]], command: str) -> list[str]:
    ssh, site = answer["ssh"], host.site
    options = [
        f"UserKnownHostsFile={site.known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "LogLevel=ERROR",
    ]
    settings = [part for option in options for part in ("-o", option)]
    where = ["-p", str(ssh["port"]), f"{ssh['user']}@{ssh['host']}"]
    return ["ssh", "-F", "none", "-i", str(site.identity), *settings, *where, command]


def _ssh(host: Running, answer: dict[str, dict[str, str]], command: str, stdin: str = "") -> str:
    return _run(_ssh_argv(host, answer, command), stdin)


def _run(argv: list[str], stdin: str = "") -> str:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=STEP_SECONDS
    )
    _hold(not done.returncode, done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout


def _hold(held: bool, why: str) -> None:
    if not held:
        raise FailedError(f"this step did not hold: {why}", code="STEP_FAILED")
