"""`make up` and `make down`: a running host in the background, for scripts and test suites.

`up` returns when admin's SSH server answers, and leaves up.json: the API socket, the host's PID 1,
how to log in, and the prefix of argv that runs a command in control, in admin, and on the host.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dev.images
from contract.durable import write_file
from contract.errors import FailedError, SheltieError
from dev.running import (
    Running,
    check_nothing_else,
    configure,
    find_host,
    free_port,
    start_daemon,
    stop,
    wait_for_container,
)
from dev.site import CLONE, Site
from dev.steps import Steps
from dev.workshop import need_room, need_root

__all__ = ["bring_up", "enable", "ending", "make_identity"]

ENABLE_SECONDS = 180
ROOM_NEEDED = 800 << 20
"""Both images unpacked, and some room to work in, in bytes."""


@contextlib.contextmanager
def ending(site: Site) -> Iterator[None]:
    """End what runs at `site` when the body fails or somebody interrupts it, and go on failing."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    former = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stop(site)
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def bring_up(site: Site, steps: Steps, *, follow_parent: bool, stock: bool = False) -> Running:
    """Bring up a host with control running and admin shut. Raises SheltieError."""
    with steps.step("build the images") as note:
        built = dev.images.build(("admin", "control"), note.update)
    if not (site.state / "images").exists():
        need_room(site.make(), ROOM_NEEDED)
    with steps.step("bring up the host") as note:
        host = find_host(site, follow_parent=follow_parent, stock=stock)
        note.text = f"PID 1 is {host.pid}" if host.standin else "this machine"
    with steps.step("start the daemon"):
        start_daemon(host)
        configure(host, built, free_port())
    with steps.step("start control"):
        wait_for_container(host, "control")
    return host


def make_identity(site: Site) -> str:
    """Make this host's own SSH key once and return its public line. Raises FailedError."""
    if not site.identity.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sheltie", "-f"]
        done = subprocess.run([*argv, str(site.identity)], capture_output=True, check=False)
        if done.returncode:
            raise FailedError(f"ssh-keygen: {done.stderr.decode().strip()}", code="KEY_FAILED")
    return site.identity.with_suffix(".pub").read_text().strip()


def enable(host: Running, key: str) -> dict[str, Any]:
    """Enable admin from control for `key`, handed over on stdin; return what the command says."""
    argv = host.in_container("control", "enable-admin-container", "--json", "--key", "-")
    done = subprocess.run(
        argv, input=key.encode(), capture_output=True, check=False, timeout=ENABLE_SECONDS
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise FailedError(words[-1] if words else "enabling failed", code="ENABLE_FAILED")
    answer: dict[str, Any] = json.loads(done.stdout)
    write_file(host.site.known_hosts, ("\n".join(answer["known_hosts"]) + "\n").encode())
    return answer


def describe(host: Running, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the document of up.json."""
    ssh = answer["ssh"]
    return {
        "socket": str(host.socket),
        "host": {
            "pid": host.pid,
            "standin": host.standin,
            **({"stock": True} if host.stock else {}),
        },
        "ssh": {
            "host": ssh["host"],
            "port": ssh["port"],
            "user": ssh["user"],
            "identity": str(host.site.identity),
            "known_hosts": str(host.site.known_hosts),
        },
        "exec": {
            "control": host.in_container("control"),
            "admin": host.in_container("admin"),
            "host": host.on_host(),
        },
    }


def _is_up(site: Site) -> bool:
    """Whether the host that up.json tells of still answers."""
    try:
        document = json.loads(site.up.read_bytes())
        prefix = document["exec"]["control"]
        return not subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    except (OSError, ValueError, KeyError):
        return False


def _up(site: Site, *, stock: bool = False) -> None:
    steps = Steps()
    if _is_up(site):
        steps.say(f"already up: {site.up}")
        return
    stop(site)  # what an earlier run may have left behind
    check_nothing_else(site)
    with ending(site):
        host = bring_up(site, steps, follow_parent=False, stock=stock)
        kind = "the stand-in" if host.standin else "this machine"
        steps.say(f"host: {kind}{', as a stock host' if stock else ''}")
        with steps.step("enable admin"):
            answer = enable(host, make_identity(site))
        write_file(site.up, json.dumps(describe(host, answer), indent=2).encode() + b"\n")
    steps.say(f"up in {steps.total:.1f} s: {site.up}")


def _down(site: Site) -> None:
    steps = Steps()
    stop(site)
    steps.say(f"down: nothing runs at {site.root}")


def main(words: Sequence[str] | None = None) -> int:
    """Run `up` or `down`; return the exit status."""
    parser = argparse.ArgumentParser(prog="make up/down", description=__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--site", type=Path, default=CLONE / ".sheltie", help="where its files lie")
    parser.add_argument(
        "--stock", action="store_true", help="a host with upstream's API alone, in the stand-in"
    )
    arguments = parser.parse_args(words)
    os.umask(0o077)
    try:
        need_root()
        site = Site(arguments.site.resolve())
        if arguments.verb == "up":
            _up(site, stock=arguments.stock)
        else:
            _down(site)
    except SheltieError as error:
        print(f"make {arguments.verb}: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"make {arguments.verb}: interrupted; nothing is left running", file=sys.stderr)
        return 130
    return 0
