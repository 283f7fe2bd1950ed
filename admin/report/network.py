"""The host's network: sockets with their owners, packet filter, packets."""

import os
import socket
import struct
import sys
from collections.abc import Iterator

from admin.report import program
from admin.report.wire import Capture, Table, Text
from contract.errors import MachineError

__all__ = ["capture", "firewall", "netstat", "owners", "sockets"]

# include/net/tcp_states.h
STATES = (
    "", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "closed",
    "close-wait", "last-ack", "listen", "closing", "new-syn-recv",
)  # fmt: skip
KINDS = {1: "stream", 2: "datagram", 5: "seqpacket"}
UNIX_LISTENS = 0x10000  # __SO_ACCEPTCON of include/linux/net.h
UNIX_STATES = {1: "unconnected", 2: "connecting", 3: "connected", 4: "disconnecting"}
INET_FIELDS, UNIX_FIELDS = 10, 7


def netstat(root: int = 1) -> Table:
    """Return the sockets of the network namespace of process `root`, and who holds them."""
    held = owners()
    rows: list[list[str | int]] = []
    for name, local, remote, state, inode in sockets(root):
        rows.append([name, local, remote, state, held.get(inode, "")])
    return Table(["protocol", "local", "remote", "state", "owner"], rows)


def sockets(root: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield protocol, local, remote, state and inode of each socket that process `root` sees."""
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix"):
        for found in _sockets(root, name):
            yield (name, *found)


def firewall() -> Text:
    """Return the rules of the host's packet filter."""
    path = program.find("nft")
    if not path:
        raise MachineError("this container has no nft", hint="it is part of the admin image",
                           code="REPORT_PROGRAM")  # fmt: skip
    said = program.lines(program.run([path, "--stateless", "list", "ruleset"]))
    note = "rules of the older iptables are not among them"
    return Text(said, [note if said else f"there are no rules; {note}"])


def capture(wish: Capture) -> Text:
    """Return the packets that pass until a bound is met, one line each, without their content."""
    path = program.find("tcpdump")
    if not path:
        raise MachineError("this container has no tcpdump", hint="it is part of the admin image",
                           code="REPORT_PROGRAM")  # fmt: skip
    argv = [path, "-nn", "-l", "-p", "-tttt", "-s", "256", "-c", str(wish.count)]
    argv += ["-i", wish.interface, *(["--", wish.filter] if wish.filter else [])]
    said = program.lines(program.run(argv, seconds=wish.seconds, may_be_cut=True))
    return Text(said, [f"{len(said)} packets in at most {wish.seconds} s on {wish.interface}"])


def _sockets(root: int, name: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield local, remote, state and inode of each socket of a table (proc_net(5))."""
    for line in _lines(f"/proc/{root}/net/{name}"):
        words = line.split()
        if name == "unix":
            if len(words) < UNIX_FIELDS:
                continue
            # Num RefCount Protocol Flags Type St Inode Path
            state = UNIX_STATES.get(int(words[5], 16), "")
            if int(words[3], 16) & UNIX_LISTENS:
                state = "listen"
            kind = KINDS.get(int(words[4], 16), "")
            yield " ".join(words[UNIX_FIELDS:]), "", f"{state} {kind}".strip(), words[6]
        elif len(words) >= INET_FIELDS:
            # sl local remote st tx:rx tr:when retrnsmt uid timeout inode
            number = int(words[3], 16)
            state = STATES[number] if number < len(STATES) else ""
            yield _address(words[1]), _address(words[2]), state, words[9]


def _address(text: str) -> str:
    """Return `HOST:PORT` of the kernel's hexadecimal words, which are in its own byte order."""
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = struct.pack(f"{'<' if sys.byteorder == 'little' else '>'}{len(words)}I", *words)
    if len(words) > 1:
        return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
    return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"


def owners() -> dict[str, str]:
    """Return `PID/NAME, …` by the inode of a socket."""
    found: dict[str, list[str]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  names are enough
        try:
            links = {os.readlink(one.path) for one in os.scandir(f"/proc/{pid}/fd")}  # noqa: PTH115
        except OSError:
            continue  # it ended meanwhile, or is the kernel's
        inodes = [one[8:-1] for one in links if one.startswith("socket:[")]
        if inodes:
            name = "".join(_lines(f"/proc/{pid}/comm", skip=0)[:1])
            for inode in inodes:
                found.setdefault(inode, []).append(f"{pid}/{name}")
    return {inode: ", ".join(sorted(who)) for inode, who in found.items()}


def _lines(path: str, skip: int = 1) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            return file.read().splitlines()[skip:]
    except OSError:
        return []  # without IPv6, or gone meanwhile
