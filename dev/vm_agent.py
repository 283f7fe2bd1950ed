"""Inside a virtual machine, in tests and in `make vm-up`: run what comes over a virtio-serial port.

One file: it comes in as an SMBIOS credential, into the image as it ships
(whoever owns the hypervisor owns the host). One line of JSON each way:

  {"id": N, "argv": […], "stdin": BASE64, "in": CONTAINER}  ->
  {"id": N, "status": N, "out": BASE64, "err": BASE64}

At each start it says {"hello": {"version": …, "uptime": …}}: a boot is seen by that.
"""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PORT = "probe"
PATIENCE_SECONDS = 120.0


def main() -> int:
    """Serve until the port is gone; return the exit status."""
    with os.fdopen(os.open(find(), os.O_RDWR | os.O_CLOEXEC), "r+b", buffering=0) as port:
        port.write(line({"hello": {"version": version(), "uptime": uptime()}}))
        pending = b""
        while True:
            data = port.read(65536)
            if not data:
                time.sleep(0.05)  # nobody has the other side open
                continue
            *requests, pending = (pending + data).split(b"\n")
            for request in filter(None, requests):
                answer = line(serve(request))
                while answer:
                    answer = answer[port.write(answer) or 0 :]


def find() -> Path:
    """Return the device of our port; it appears when its driver has come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for entry in Path("/sys/class/virtio-ports").iterdir():
                device = Path("/dev", entry.name)
                if (entry / "name").read_text().strip() == PORT and device.exists():
                    return device
        time.sleep(0.1)
    raise SystemExit("no virtio port is named probe")


def serve(request: bytes) -> "dict[str, object]":
    """Run one request; a broken one is answered, not fatal."""
    number = 0
    try:
        wanted = json.loads(request)
        number = wanted["id"]
        if container := wanted.get("in"):
            return in_container(wanted, container)
        done = subprocess.run(
            wanted["argv"],
            input=base64.b64decode(wanted["stdin"]),
            capture_output=True,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"},
            cwd="/",
            timeout=wanted.get("seconds", 120),
        )
    except FileNotFoundError as error:
        return answer(number, 127, b"", f"{error.filename}: not found\n".encode())
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        return answer(number, 126, b"", f"{error}\n".encode())
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return answer(number, status, done.stdout, done.stderr)


def in_container(wanted: "dict[str, Any]", container: str) -> "dict[str, object]":
    """Run a request in a container as `hostd exec` does, in a fork: its start is dear here."""
    from host.runtime import exec_attached

    state, run = Path("/var/lib/sheltie"), Path("/run/sheltie")
    files = [os.memfd_create(name) for name in ("stdin", "out", "err")]
    try:
        os.pwrite(files[0], base64.b64decode(wanted["stdin"]), 0)
        pid = os.fork()
        if not pid:
            status = 126
            try:
                for number, file in enumerate(files):
                    os.dup2(file, number)
                status = exec_attached(state, run, container, wanted["argv"], tty=False, user=None)
            except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
                os.write(2, f"{error}\n".encode())
            os._exit(status)
        status = waited(pid, wanted.get("seconds", 120))
        out, err = (Path(f"/proc/self/fd/{file}").read_bytes() for file in files[1:])
        return answer(wanted["id"], status, out, err)
    finally:
        for file in files:
            os.close(file)


def waited(pid: int, seconds: float) -> int:
    """Return the exit status of a child; one that takes too long is ended."""
    child = os.pidfd_open(pid)
    try:
        if not select.select([child], [], [], seconds)[0]:
            os.kill(pid, signal.SIGTERM)
    finally:
        os.close(child)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def answer(number: int, status: int, out: bytes, err: bytes) -> "dict[str, object]":
    """Return the document of an answer."""
    told = {"out": base64.b64encode(out).decode(), "err": base64.b64encode(err).decode()}
    return {"id": number, "status": status, **told}


def line(document: "dict[str, object]") -> bytes:
    """Return a document as a line."""
    return json.dumps(document).encode() + b"\n"


def version() -> str:
    """Return the IMAGE_VERSION of the running system."""
    lines = Path("/usr/lib/os-release").read_text().splitlines()
    words = dict(part.split("=", 1) for part in lines if "=" in part)
    return words.get("IMAGE_VERSION", "")


def uptime() -> float:
    """Return the seconds since the kernel's start."""
    return float(Path("/proc/uptime").read_text().split()[0])


if __name__ == "__main__":
    sys.exit(main())
