"""What a look must not touch, on a stand-in host: files, FIFOs, sockets, a terminal, a process.

`victim.py PLACE` makes all of it, says where on one line of JSON, and writes down whatever happens
to it. A line on stdin asks for the list. It runs on the host as root, with everything open to all.
"""

import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

KUBELET, METADATA = ("127.0.0.1", 10250), ("169.254.169.254", 80)
ABSTRACT = "\0look-victim"
PATHS = ("/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/run/api.sock")
HELD: list[socket.socket] = []
"""Sockets that stay open once somebody has reached them: the next attempt meets them too."""
FIFOS = ("/run/initctl", "/run/containerd/runc/k8s.io/made/exec.fifo", "/run/deep/er/fifo")
SHM_KEY, SEM_KEY, MSG_KEY = 0x51, 0x52, 0x53
IPC_CREAT = 0o1000

happened: list[str] = []


def files(place: Path) -> None:
    """Make files that anybody may change, and one that only root reads."""
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    for name in ("file", "other", "locked"):
        (place / name).write_bytes(b"as it was\n")
        (place / name).chmod(0o666)
    os.setxattr(place / "file", "user.mark", b"as it was")
    (place / "directory").mkdir()
    (place / "directory").chmod(0o777)
    (place / "link").symlink_to("file")
    (place / "private").write_bytes(b"for root\n")
    (place / "private").chmod(0o600)
    (place / "setuid").write_bytes(Path("/bin/busybox").read_bytes())
    (place / "setuid").chmod(0o4755)
    os.mknod(place / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (place / "null").chmod(0o666)


def fifo(path: str, *, write: bool) -> None:
    """Wait at one end of a FIFO for whoever opens the other."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    Path(path).chmod(0o666)
    threading.Thread(target=_wait_at, args=(path, write), daemon=True).start()


def _wait_at(path: str, write: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY if write else os.O_RDONLY)
    happened.append(f"{path} was opened")
    if write:
        os.write(descriptor, b"for its reader\n")


def sockets(place: Path) -> None:
    """Listen in every way that a daemon listens."""
    subprocess.run(["ip", "addr", "add", f"{METADATA[0]}/32", "dev", "lo"], check=True)
    for path in (*PATHS, ABSTRACT, str(place / "stream")):
        Path(path.replace("\0", "/tmp/")).parent.mkdir(parents=True, exist_ok=True)
        _listen(socket.socket(socket.AF_UNIX), path)
    _take(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), str(place / "datagram"))
    for address in (KUBELET, METADATA):
        _listen(socket.socket(), address)
        _take(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), address)


def _listen(one: socket.socket, address: str | tuple[str, int]) -> None:
    one.bind(address)
    _open(address)
    one.listen()
    HELD.append(one)
    threading.Thread(target=lambda: _note(one.accept, address), daemon=True).start()


def _take(one: socket.socket, address: str | tuple[str, int]) -> None:
    one.bind(address)
    _open(address)
    HELD.append(one)
    threading.Thread(target=lambda: _note(lambda: one.recv(99), address), daemon=True).start()


def _note(wait: object, address: object) -> None:
    assert callable(wait)
    wait()
    happened.append(f"{address!r} was reached")


def _open(address: object) -> None:
    if isinstance(address, str) and address.startswith("/"):
        Path(address).chmod(0o666)


def terminal() -> str:
    """Open a terminal, as somebody else's session has one; return its name."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    libc = ctypes.CDLL(None)
    libc.unlockpt(master)
    libc.ptsname.restype = ctypes.c_char_p
    name = str(libc.ptsname(master).decode())
    Path(name).chmod(0o666)
    os.write(master, b"a password\n")
    return name


def ipc() -> None:
    """Make shared memory, semaphores and a message queue that are open to all."""
    libc = ctypes.CDLL(None)
    assert libc.shmget(SHM_KEY, 4096, IPC_CREAT | 0o666) >= 0
    assert libc.semget(SEM_KEY, 1, IPC_CREAT | 0o666) >= 0
    assert libc.msgget(MSG_KEY, IPC_CREAT | 0o666) >= 0


def main() -> None:
    """Make everything, then answer."""
    os.umask(0)
    place = Path(sys.argv[1])
    files(place)
    for path in FIFOS:
        fifo(path, write=path != "/run/initctl")
    fifo(str(place / "fifo-in"), write=True)
    fifo(str(place / "fifo-out"), write=False)
    sockets(place)
    ipc()
    where = {"pid": os.getpid(), "place": str(place), "terminal": terminal()}
    for _ in sys.stdin:
        sys.stdout.write(json.dumps({**where, "happened": happened}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
