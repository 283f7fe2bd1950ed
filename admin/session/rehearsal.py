"""What each session does, done before there is one: in the zygote, and nothing of it lasts.

A child copies each page that it writes, and who does something for the first time writes much:
libraries of the name service, caches, the interpreter's own notes in the code. After this they lie
in pages that all children share. No session, no login and no secret is in it.
"""

import contextlib
import os
import pwd
import socket
from typing import Any

import msgspec

from admin.end import deputies, proc
from admin.end.marks import UNSET, Marks, own_cgroup
from admin.end.members import nobody
from admin.session import account, terminal
from admin.session.process import Task
from admin.session.pump import Flow, Pump
from admin.session.start import Program
from admin.session.work import TASK
from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    Began,
    Environment,
    Execute,
    Exited,
    Pty,
    Shell,
    Subsystem,
    ToSession,
    Window,
)

__all__ = ["rehearse"]

ROUNDS = 10
"""From some eight runs on the interpreter leaves a function's code as it is."""
MESSAGES = (
    Pty("xterm", 24, 80, {}),
    Window(24, 80),
    Environment({"LANG": "C.UTF-8"}),
    Shell(),
    Execute(b"true"),
    Subsystem("sftp"),
)
NOBODYS = UNSET - 1
"""An audit session id that the kernel gives to nobody: it counts up from 1."""


def rehearse() -> None:
    """Go through it all, as whoever we are."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    for _ in range(ROUNDS):
        _begin(user)
        _move()
        _end()


def _begin(user: str) -> None:
    told = TASK.decode(msgspec.msgpack.encode(Task(user, "::1 1 ::1 22")))
    assert isinstance(told, Task)  # noqa: S101  as it was made
    found = account.find(told.user)
    asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with asking, asked:
        listener: Channel[ToSession, Exited] = Channel(asking, Exited)
        session: Channel[Any, ToSession] = Channel(asked, ToSession)
        for message in MESSAGES:
            listener.send(message)
            session.receive()
        session.send(Began())
        session.send(Exited())
    Program.command(found, b"true")
    account.environment(
        found, {"LANG": "C.UTF-8"}, term="xterm", tty="", connection=told.connection
    )
    with contextlib.suppress(OSError):  # no terminal to be had: those who ask for one will be told
        for descriptor in terminal.make({}, 24, 80, found.uid)[:2]:
            os.close(descriptor)


def _move() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)  # noqa: FBT003  its only form
        ours.send(b"x")
        pump = Pump()
        pump.flows = [Flow(theirs.fileno(), theirs.fileno(), lambda: None)]
        pump.turn(0)


def _end() -> None:
    with contextlib.suppress(OSError, ValueError):  # no version 2 hierarchy: sessions do without
        own_cgroup(
            *(os.fsdecode(proc.read(f"/proc/self/{name}")) for name in ("mountinfo", "cgroup"))
        )
    moment = deputies.now()
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    nobody(Marks(os.getpid(), audit=NOBODYS))
    deputies.since(moment)
