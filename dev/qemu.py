"""QEMU for the host's image: which accelerator really works, and the command line.

A /dev/kvm that opens proves nothing: some make a processor that never leaves the boot loader. KVM
is taken only where the processor says that it can, and a trial boot was seen to work.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.durable import write_file
from contract.errors import FailedError, MachineError, TimedOutError
from dev.hostimage import HostImage
from dev.site import cache

__all__ = ["Machine", "accelerator", "end", "prepare", "start", "wait_for_text", "wait_until"]

PROGRAM = "qemu-system-x86_64"
FIRMWARE = Path("/usr/share/OVMF")
MEGABYTES = 1536
DISK_BYTES = 4 << 30
TRIAL_SECONDS = 60.0
GREETING = "Nobody logs in here"
"""What the console says once the system is up (host/system/console.py)."""
_FLAGS = re.compile(r"^flags\s*:.*\b(vmx|svm)\b", re.MULTILINE)
_STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine: its files lie in `place`; `ports` are (machine's port, guest's)."""

    place: Path
    ports: tuple[tuple[int, int], ...] = ()
    accelerator: str = "tcg"
    secure_boot: bool = False
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    arguments: str = ""
    """More words for the kernel."""
    volumes: tuple[Path, ...] = ()
    """More disks, which are read only."""

    @property
    def serial(self) -> Path:
        """What the console said."""
        return self.place / "console.log"

    @property
    def console(self) -> Path:
        """The console itself: a Unix socket, where it is not on a terminal."""
        return self.place / "console.sock"

    @property
    def port(self) -> Path:
        """The harness port (`dev.vm_agent`)."""
        return self.place / "probe.sock"

    @property
    def disk(self) -> Path:
        """The machine's disk."""
        return self.place / "disk"

    @property
    def errors(self) -> Path:
        """What QEMU itself said."""
        return self.place / "qemu.log"


def accelerator(image: HostImage) -> str:
    """Return `kvm` where a trial boot with it works, else `tcg`; known from then on."""
    if not _FLAGS.search(Path("/proc/cpuinfo").read_text()) or not os.access("/dev/kvm", os.W_OK):
        return "tcg"
    known = cache() / "host/accelerator.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        found = json.loads(known.read_bytes())
        if found["boot"] == boot:
            return str(found["accelerator"])
    except (OSError, ValueError, KeyError):
        pass  # nobody has tried yet
    result = "kvm" if _trial(image) else "tcg"
    write_file(known, json.dumps({"boot": boot, "accelerator": result}).encode())
    return result


def _trial(image: HostImage) -> bool:
    place = cache() / "host/.trial"
    shutil.rmtree(place, ignore_errors=True)
    machine = Machine(place, accelerator="kvm")
    try:
        prepare(machine, image)
        process = start(machine)
        try:
            wait_for_text(machine, process, GREETING, TRIAL_SECONDS)
        finally:
            end(process.pid, machine)
    except (FailedError, TimedOutError):
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True


def prepare(machine: Machine, image: HostImage, variables: Path | None = None) -> None:
    """Make the machine's files: a disk of its own, and the firmware's variables.

    Raises MachineError (PROGRAM_MISSING).
    """
    given = variables or FIRMWARE / "OVMF_VARS_4M.fd"
    if not shutil.which(PROGRAM) or not given.exists():
        raise MachineError(
            "QEMU or its firmware is not installed",
            hint="make vm installs qemu-system-x86 and ovmf",
            code="PROGRAM_MISSING",
        )
    machine.place.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = ["cp", "--reflink=auto", "--sparse=always", str(image.disk), str(machine.disk)]
    subprocess.run(argv, check=True)
    os.truncate(machine.disk, DISK_BYTES)
    shutil.copyfile(given, machine.place / "variables")


def argv(machine: Machine, console: Sequence[str]) -> list[str]:
    """Return the command line; paths are relative to the machine's place: sockets' are short."""
    secure = machine.secure_boot
    code = FIRMWARE / ("OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd")
    # Without cx16 off, kernels double-fault now and then under this machine's TCG; one processor,
    # because a few boots with two were never seen to end.
    processor = {
        "kvm": ["-accel", "kvm", "-cpu", "host", "-smp", "2"],
        "tcg": ["-accel", "tcg", "-cpu", "Nehalem,-cx16", "-smp", "1"],
    }
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{ours}-:{its}" for ours, its in machine.ports)
    words = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"]
    words += ["-machine", "q35,smm=on" if secure else "q35", *processor[machine.accelerator]]
    if secure:
        words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        words += ["-global", "ICH9-LPC.disable_s3=1"]
    words += ["-m", str(MEGABYTES)]
    words += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
    words += ["-drive", "if=pflash,format=raw,file=variables"]
    words += ["-drive", "if=none,id=disk,format=raw,file=disk,discard=unmap"]
    words += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]
    for number, volume in enumerate(machine.volumes):
        words += ["-drive", f"if=none,id=v{number},format=raw,readonly=on,file={volume}"]
        words += ["-device", f"virtio-blk-pci,drive=v{number}"]
    words += ["-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="]
    words += ["-device", "i6300esb", "-action", "watchdog=reset"]
    words += ["-device", "virtio-serial-pci"]
    words += ["-chardev", f"socket,id=probe,path={machine.port.name},server=on,wait=off"]
    words += ["-device", "virtserialport,chardev=probe,name=probe"]
    for file in _smbios(machine):
        words += ["-smbios", f"type=11,path={file}"]
    return [*words, *console]


def start(machine: Machine, *, terminal: bool = False) -> "subprocess.Popen[bytes]":
    """Start QEMU, its console on a socket, or on our terminal. Raises OSError."""
    machine.serial.unlink(missing_ok=True)
    kind = f"socket,id=con,path={machine.console.name},server=on,wait=off"
    if terminal:
        kind = "stdio,id=con,mux=on,signal=off"
    chardev = ["-chardev", f"{kind},logfile={machine.serial.name}", "-serial", "chardev:con"]
    command = argv(machine, chardev)
    if terminal:
        return subprocess.Popen(command, cwd=machine.place)
    with machine.errors.open("wb") as errors:
        return subprocess.Popen(
            command,
            cwd=machine.place,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )


def wait_for_text(
    machine: Machine, process: "subprocess.Popen[bytes]", text: str, seconds: float
) -> None:
    """Wait until the console has said `text`. Raises TimedOutError, FailedError (VM_ENDED)."""
    what = f"the console does not say {text!r}"
    wait_until(machine, process, lambda: text.encode() in _said(machine), what, seconds)


def wait_until(
    machine: Machine,
    process: "subprocess.Popen[bytes]",
    true: Callable[[], bool],
    what: str,
    seconds: float,
) -> None:
    """Wait until `true()`. Raises TimedOutError with `what`, FailedError when QEMU ends."""
    deadline = time.monotonic() + seconds
    while not true():
        if process.poll() is not None:
            words = machine.errors.read_text(errors="replace").strip().splitlines()
            raise FailedError(f"QEMU ended: {words[-1] if words else 'no word'}", code="VM_ENDED")
        if time.monotonic() > deadline:
            raise TimedOutError(
                f"the virtual machine: {what} after {seconds:.0f} s",
                hint=f"see {machine.serial}",
                code="VM_SILENT",
            )
        time.sleep(_STEP_SECONDS)


def end(pid: int, machine: Machine) -> None:
    """End QEMU by pidfd, once its command line and directory show that it is this machine's."""
    try:
        descriptor = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        place = Path(f"/proc/{pid}/cwd").readlink()
        if PROGRAM.encode() in command and place == machine.place.resolve():
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return
    finally:
        os.close(descriptor)


def _said(machine: Machine) -> bytes:
    try:
        return machine.serial.read_bytes()
    except FileNotFoundError:
        return b""


def _smbios(machine: Machine) -> list[str]:
    """Write the strings by which credentials and words for the kernel come in (systemd-stub(7))."""
    strings = {
        name: f"io.systemd.credential.binary:{name}=".encode() + base64.b64encode(value)
        for name, value in machine.credentials.items()
    }
    arguments = [machine.arguments] if machine.arguments else []
    # Emulated, each guard against the processor's leaks costs, and guards nothing.
    arguments += ["mitigations=off"] if machine.accelerator == "tcg" else []
    if arguments:
        words = f"io.systemd.stub.kernel-cmdline-extra={' '.join(arguments)}"
        strings["kernel-cmdline-extra"] = words.encode()
    names = []
    for number, data in enumerate(strings.values()):
        name = f"smbios-{number}"
        write_file(machine.place / name, data)
        names.append(name)
    return names
