"""Ways out of a session, played by root on the host; what is left has TOKEN in its arguments.

`escapes.py TOKEN CONTAINER NAME[+NAME…][,NAME…]`: one process for each list of names, which
goes all of its ways in turn and stays. A line says that they are there; then our standard input is
read to its end.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from admin.end.marks import own_cgroup

PR_SET_CHILD_SUBREAPER = 36
CLONE_PARENT = 0x8000
SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
LIFE_SECONDS = 60
FORKER_SECONDS = 15
"""A forker that got away ends by itself, before it holds up many others."""

libc = ctypes.CDLL(None, use_errno=True)
TOKEN, CONTAINER = sys.argv[1], sys.argv[2]
STAY = ["bash", "-c", f"exec -a {TOKEN} sleep {LIFE_SECONDS}"]
read, write = -1, -1
"""A pipe that tells when somebody stays."""


def parent_goes(pid: int) -> None:
    """Go on in the child only."""
    if pid:
        os._exit(0)


def setsid() -> None:
    """Leave the terminal's session."""
    parent_goes(os.fork())
    os.setsid()


def doublefork() -> None:
    """Leave the parent."""
    parent_goes(os.fork())
    parent_goes(os.fork())


def nohup() -> None:
    """Be started by a shell that forgot us."""
    parent_goes(os.fork())
    script = 'nohup "$@" >/dev/null 2>&1 & disown'
    os.execv("/bin/bash", ["bash", "-c", script, "bash", *STAY])  # noqa: S606  one shell is enough


def stopped() -> None:
    """Stand still, so that no signal but KILL is heard."""
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    os.waitpid(child, os.WUNTRACED)
    os.write(write, b"here")
    os._exit(0)


def tmux() -> None:
    """Be a window of a server."""
    subprocess.run(
        ["tmux", "-L", TOKEN, "-f", "/dev/null", "new-session", "-d", *STAY],
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )
    os._exit(0)


def pidns() -> None:
    """Be PID 1 of a new namespace."""
    parent_goes(os.fork())
    check(libc.unshare(0x20000000))
    parent_goes(os.fork())


def userns() -> None:
    """Be somebody else, with other mounts."""
    parent_goes(os.fork())
    check(libc.unshare(0x10000000 | 0x00020000))


def cloneparent() -> None:
    """Be the parent's brother."""
    parent_goes(os.fork())
    parent_goes(libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))


def subreaper() -> None:
    """Adopt what is below us."""
    parent_goes(os.fork())
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    if os.fork():
        wait_for_ever()
    parent_goes(os.fork())


def cgroup() -> None:
    """Move into another cgroup of the host's."""
    parent_goes(os.fork())
    top, _ = own_cgroup(Path("/proc/1/mountinfo").read_text(), "0::/")
    place = top / f"escape-{TOKEN}"
    place.mkdir(exist_ok=True)
    (place / "cgroup.procs").write_text("0")


def container() -> None:
    """Enter a container's pid namespace, whose init adopts us."""
    descriptor = os.open(f"/proc/{CONTAINER}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    check(libc.setns(descriptor, 0))
    parent_goes(os.fork())
    parent_goes(os.fork())


def loginuid() -> None:
    """Take another audit session id."""
    parent_goes(os.fork())
    Path("/proc/self/loginuid").write_text("4242")


def fork() -> None:
    """Run away: each process lives for one fork only."""
    os.close(write)
    end = time.monotonic() + FORKER_SECONDS
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
    os._exit(0)


def check(result: int) -> None:
    """Raise what a system call said."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def wait_for_ever() -> None:
    """Stay, for as long as a test can take."""
    time.sleep(LIFE_SECONDS)
    os._exit(0)


WAYS: dict[str, Callable[[], None]] = {
    one.__name__: one
    for one in (
        setsid, doublefork, nohup, stopped, tmux, pidns, userns, cloneparent, subreaper, cgroup,
        container, loginuid, fork,
    )
}  # fmt: skip


def leave(names: list[str]) -> None:
    """Leave one process behind, as deaf as it can be."""
    global read, write
    read, write = os.pipe()
    if not os.fork():
        for deaf in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(deaf, signal.SIG_IGN)
        os.close(read)
        nothing = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1):
            os.dup2(nothing, number)
        for name in names:
            WAYS[name]()
        os.dup2(nothing, 2)
        os.write(write, b"here")
        os.close(write)
        wait_for_ever()
    os.close(write)
    os.read(read, 4)
    os.close(read)


def main() -> None:
    """Leave somebody behind in each way, say so, and stay while we are wanted."""
    for names in sys.argv[3].split(","):
        leave(names.split("+"))
    sys.stdout.write("escaped\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
