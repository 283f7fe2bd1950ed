"""`make vm`, `make vm-up`, `make vm-down`: the host's image in QEMU, on loopback ports.

`vm` has the console on the terminal: it leads into control. `vm-up` runs it in the background and
leaves vm.json, of up.json's shape: `socket` and `host.pid` are null, and the prefixes go through a
port of the virtual machine, by an agent that comes in from outside (`dev.vm_agent`).
"""

import argparse
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract.durable import read_file, remove_file, write_file
from contract.errors import FailedError, SheltieError, TimedOutError
from dev import hostimage, qemu, vm_agent
from dev.hostimage import HostImage
from dev.qemu import Machine
from dev.running import LOGIN_USER, free_port
from dev.site import CLONE, PYTHON, Site
from dev.steps import Steps
from dev.up import make_identity
from dev.vm_exec import Port
from dev.workshop import need_root

__all__ = ["Booted", "agent", "boot", "settings", "stop", "up"]

SSH_PORT = 22
BOOT_SECONDS = 600.0
READY_SECONDS = 600.0
JSON_MAX = 1 << 20
_STEP_SECONDS = 1.0
AGENT_UNIT = b"""[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/python3 -I /run/credentials/@system/probe.py
Restart=always
OOMScoreAdjust=-900
"""
AGENT_WANTED = b"[Unit]\nWants=probe.service\n"


@dataclass(frozen=True, slots=True)
class Booted:
    """A virtual machine that runs, and QEMU's process."""

    machine: Machine
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """QEMU's."""
        return self.process.pid

    def end(self) -> None:
        """Take its power away. Idempotent."""
        self.process.kill()
        self.process.wait()

    def reboot(self, seconds: float = BOOT_SECONDS) -> None:
        """Reboot at once, without a clean end, and wait for the next boot's greeting.

        Raises TimedOutError, UnavailableError.
        """
        self.port.run_into("systemctl", "reboot", "--force", seconds=seconds)

    @property
    def port(self) -> Port:
        """The way in for tests."""
        return Port(self.machine.port)

    def run(
        self, *argv: str, container: str = "", stdin: bytes = b"", seconds: float = 120.0
    ) -> str:
        """Run a command on the host or in a container; return its output. Raises FailedError."""
        answer = self.port.run(*argv, container=container, stdin=stdin, seconds=seconds)
        if answer.status:
            words = answer.err.decode(errors="replace").strip() or f"exit status {answer.status}"
            raise FailedError(f"in the machine: {argv[0]}: {words}", code="VM_COMMAND")
        return answer.out.decode()

    def wait_for_container(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Wait until a container runs. Raises TimedOutError with the daemon's reason."""
        deadline, reason = time.monotonic() + seconds, "the daemon does not answer"
        while time.monotonic() < deadline:
            answer = self.port.run("/usr/bin/hostd", "status", "--json")
            if not answer.status:
                containers = json.loads(answer.out)["containers"]
                found = {one["name"]: one for one in containers}.get(name)
                if found and found["state"] == "running":
                    return
                reason = found.get("reason", "") if found else "the settings do not name it yet"
            time.sleep(_STEP_SECONDS)
        why = f"container {name} does not run: {reason}"
        raise TimedOutError(why, hint=f"see {self.machine.serial}", code="CONTAINER_NOT_RUNNING")


def settings(port: int) -> bytes:
    """Return the first settings of a machine whose admin is reached at a port of ours."""
    user_data = {"user": LOGIN_USER, "sheltie": {"reached-at": f"127.0.0.1:{port}"}}
    encoded = base64.b64encode(json.dumps(user_data).encode()).decode()
    return json.dumps({"host-containers": {"admin": {"user-data": encoded}}}).encode()


def agent() -> dict[str, bytes]:
    """Return the credentials that bring the agent in."""
    return {
        "probe.py": Path(vm_agent.__file__).read_bytes(),
        "systemd.extra-unit.probe.service": AGENT_UNIT,
        "systemd.unit-dropin.sysinit.target": AGENT_WANTED,
    }


def boot(machine: Machine, seconds: float = BOOT_SECONDS) -> Booted:
    """Start a prepared machine and wait for its agent. Raises TimedOutError, FailedError."""
    process = qemu.start(machine)
    try:
        deadline = time.monotonic() + seconds
        qemu.wait_until(machine, process, machine.port.exists, "its port is not there", seconds)
        booted = Booted(machine, process)
        booted.port.hello(deadline - time.monotonic())
    except BaseException:
        process.kill()
        process.wait()
        raise
    return booted


def up(place: Path, site: Site, steps: Steps, image: HostImage) -> Booted:
    """Boot, wait for control, enable admin for the site's identity, and leave vm.json."""
    port = free_port()
    machine = Machine(place, ((port, SSH_PORT),), qemu.accelerator(image))
    machine = replace(machine, credentials={"sheltie.settings": settings(port), **agent()})
    with ExitStack() as undo:
        with steps.step("boot it in QEMU") as note:
            qemu.prepare(machine, image)
            booted = boot(machine)
            undo.callback(qemu.end, booted.pid, machine)
            write_file(place / "qemu.json", json.dumps({"pid": booted.pid}).encode())
            note.text = f"{machine.accelerator}, pid {booted.pid}"
        with steps.step("start control"):
            booted.wait_for_container("control")
        with steps.step("enable admin"):
            answer = _enable(booted, make_identity(site))
            known = "\n".join(answer["known_hosts"]) + "\n"
            write_file(site.known_hosts, known.encode())
        document = _describe(booted, site, answer["ssh"])
        write_file(_file(site), json.dumps(document, indent=2).encode() + b"\n")
        undo.pop_all()
    return booted


def stop(place: Path, site: Site) -> None:
    """End the machine of a site and remove its files. Idempotent."""
    try:
        pid = int(json.loads(read_file(place / "qemu.json", JSON_MAX))["pid"])
    except FileNotFoundError:
        pid = 0
    if pid:
        qemu.end(pid, Machine(place))
    shutil.rmtree(place, ignore_errors=True)
    if _file(site).exists():
        remove_file(_file(site))


def _enable(booted: Booted, key: str) -> dict[str, Any]:
    argv = ["enable-admin-container", "--json", "--key", "-"]
    out = booted.run(*argv, container="control", stdin=key.encode(), seconds=READY_SECONDS)
    answer: dict[str, Any] = json.loads(out)
    return answer


def _file(site: Site) -> Path:
    return site.root / "vm.json"


def _describe(booted: Booted, site: Site, ssh: Mapping[str, Any]) -> dict[str, Any]:
    prefix = [PYTHON, "-I", "-m", "dev.vm_exec", "--port", str(booted.machine.port)]
    return {
        "socket": None,
        "host": {"pid": None, "standin": False},
        "ssh": {
            "host": ssh["host"],
            "port": ssh["port"],
            "user": ssh["user"],
            "identity": str(site.identity),
            "known_hosts": str(site.known_hosts),
        },
        "exec": {
            "control": [*prefix, "--in", "control", "--"],
            "admin": [*prefix, "--in", "admin", "--"],
            "host": [*prefix, "--"],
        },
    }


def _is_up(site: Site) -> bool:
    try:
        prefix = json.loads(_file(site).read_bytes())["exec"]["host"]
        return not subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    except (OSError, ValueError, KeyError):
        return False


def _vm_up(site: Site, place: Path, version: str) -> int:
    steps = Steps()
    if _is_up(site):
        steps.say(f"already up: {_file(site)}")
        return 0
    stop(place, site)
    with steps.step("the host's image") as note:
        image = hostimage.build(note.update, version=version)
        note.text = image.about["version"]
    up(place, site, steps, image)
    steps.say(f"up in {steps.total:.1f} s: {_file(site)}")
    return 0


def _vm(site: Site, place: Path, version: str) -> int:
    steps = Steps()
    place = place.with_name("vm-console")
    with steps.step("the host's image") as note:
        image = hostimage.build(note.update, version=version)
        note.text = image.about["version"]
    port = free_port()
    machine = Machine(place, ((port, SSH_PORT),), qemu.accelerator(image))
    machine = replace(machine, credentials={"sheltie.settings": settings(port)})
    shutil.rmtree(place, ignore_errors=True)
    qemu.prepare(machine, image)
    key = make_identity(site)
    print(WELCOME.format(accelerator=machine.accelerator, key=key, identity=site.identity))
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    saved = subprocess.run(["stty", "-g"], capture_output=True, text=True, check=False).stdout
    process = qemu.start(machine, terminal=True)
    try:
        return process.wait()
    finally:
        process.kill()
        if saved.strip():
            subprocess.run(["stty", saved.strip()], check=False)
        signal.signal(signal.SIGINT, former)
        shutil.rmtree(place, ignore_errors=True)


WELCOME = """
The console of a virtual machine follows ({accelerator}); Ctrl-A X ends it, and all of it is gone.
A key for trying it out (its private half is {identity}):

  enable-admin-container --key "{key}"
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run `vm`, `vm-up` or `vm-down`; return the exit status."""
    parser = argparse.ArgumentParser(prog="make vm/vm-up/vm-down", description=__doc__)
    parser.add_argument("verb", choices=["vm", "vm-up", "vm-down"])
    parser.add_argument("--site", type=Path, default=CLONE / ".sheltie", help="where its files lie")
    parser.add_argument("--version", default="", help="the image's version")
    options = parser.parse_args(words)
    os.umask(0o077)
    site = Site(options.site.resolve())
    place = site.root / "vm"
    try:
        need_root()
        if options.verb == "vm-down":
            stop(place, site)
            print(f"down: no virtual machine runs at {site.root}")
            return 0
        site.make()
        run = _vm if options.verb == "vm" else _vm_up
        return run(site, place, options.version)
    except SheltieError as error:
        print(f"make {options.verb}: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        stop(place, site)
        print(f"make {options.verb}: interrupted; nothing is left running", file=sys.stderr)
        return 130
