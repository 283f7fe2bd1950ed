"""The listener: who of the host's processes changes which file, told while it can be known.

`python -I -m admin.ledger.listener CHANNEL HOUSE ENTRY [bounded]`, a child of the ledger. It
reads at real-time priority, because a process that has been reaped can no longer be asked whose it
was. It stands in the host's mount and network namespaces; all modules are loaded before.
"""

import contextlib
import importlib.util
import os
import select
import socket
import stat
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from admin.ledger import fanotify
from admin.ledger.fanotify import Event
from admin.ledger.filesystems import Filesystems
from admin.ledger.messages import (
    AllLeft,
    Entered,
    FromListener,
    Lost,
    Mounted,
    Ready,
    Replaced,
    Seen,
    Sync,
    Synced,
    ToListener,
    Unwatch,
    Watch,
    Wrote,
)
from admin.ledger.tables import plain
from admin.ledger.whose import Whose, container_cgroup
from admin.look.kernel import set_death_signal
from admin.sheltie import host, kernel
from admin.ssh.frame import Channel
from contract.errors import SheltieError, UsageError

__all__ = ["Listener", "main"]

BUFFER = 1 << 18
WAITING_MAX = 50_000
"""Messages that wait for a ledger that is slow; more are lost, and counted."""
CHANNEL_BUFFER = 8 << 20
SO_SNDBUFFORCE = 32
SIGKILL = 9
SYSCTLS = "/proc/sys"
SUDO = "/usr/bin/sudo"
"""The one way in this container to become root."""


class Listener:
    """The groups, what they tell, and to whom."""

    def __init__(
        self,
        channel: "Channel[FromListener, ToListener]",
        house: int,
        entry: str,
        *,
        bounded: bool,
    ) -> None:
        """Set up in the container, before the host is entered. Raises OSError."""
        self._channel = channel
        self._waiting: deque[FromListener] = deque()
        self._lacking: list[str] = []
        self._renamed, self._renamer = Replaced("", b""), 0
        self._whose = Whose(house, container_cgroup())
        self._names, self._plain = fanotify.names_group(bounded=bounded), fanotify.plain_group()
        self._entries, self._mounts = fanotify.plain_group(), -1
        self._mark_entries(entry)
        with contextlib.suppress(OSError):  # without sudo nobody becomes root by it
            fanotify.mark_opens(self._entries, SUDO)

    def begin(self) -> None:
        """Mark all file systems of the namespace that we stand in by now. Raises OSError."""
        self._systems = Filesystems(self._names, self._plain)
        self._watch_mounts()
        self._systems.refresh()
        self._mark_sysctls(SYSCTLS)
        self._takers: dict[int, Callable[[Event], None]] = {
            **({self._mounts: self._mounted} if self._mounts >= 0 else {}),
            self._entries: self._entered,
            self._names: self._changed,
            self._plain: self._written,
        }
        self._hurry()
        self._tell(Ready(self._lacking, [plain(one) for one in self._systems.unseen]))

    def run(self) -> None:
        """Listen until the ledger is gone."""
        table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        poll = select.poll()
        for descriptor in (*self._takers, self._channel.fileno()):
            poll.register(descriptor, select.POLLIN)
        poll.register(table, select.POLLPRI | select.POLLERR)
        ends: set[int] = set()
        while True:
            for descriptor in ends:
                poll.unregister(descriptor)
            ends = set(self._whose.entered())
            for descriptor in ends:
                poll.register(descriptor, select.POLLIN)
            wish = select.POLLIN | (select.POLLOUT if self._waiting else 0)
            poll.modify(self._channel.fileno(), wish)
            ready = dict(poll.poll())
            # Mounts first: what happens in a new file system is to be seen.
            if table in ready and self._mounts < 0:
                self._systems.refresh()
            for descriptor in self._takers:
                if descriptor in ready:
                    self._read(descriptor)
            if self._whose.leave():
                self._drain()
                self._tell(AllLeft())
            if self._channel.fileno() in ready and not self._take():
                return
            self._flush()

    def _read(self, group: int) -> int:
        """Hand on what a group has; return how many events that were."""
        try:
            data = os.read(group, BUFFER)
        except BlockingIOError:
            return 0
        count = 0
        for event in fanotify.parse(data):
            count += 1
            try:
                if event.mask & fanotify.OVERFLOW:
                    self._tell(Lost(0))
                elif event.pid:  # 0 is outside this pid namespace
                    self._takers[group](event)
            finally:
                for descriptor in (event.fd, event.pidfd):
                    if descriptor >= 0:
                        os.close(descriptor)
        return count

    def _changed(self, event: Event) -> None:
        place = event.place
        if event.pid == os.getpid():
            return
        before, self._renamed = self._renamed, Replaced("", b"")
        if place is None:
            # A link fewer, of something without a name by now: behind a rename, what was there.
            if before.path and self._renamer == event.pid:
                self._tell(before)
            return
        key = self._whose.of(event.pid, event.pidfd)
        mask = event.mask & fanotify.CHANGES
        if mask & ~fanotify.ONDIR and (key is None or key):
            path = self._systems.path(place, event.target)
            to = self._systems.path(event.to) if event.to else ""
            if path:
                self._tell(Seen(key or "", mask, os.fsencode(path), os.fsencode(to)))
                if event.to:
                    self._renamed, self._renamer = Replaced(key or "", os.fsencode(to)), event.pid
            elif key and not self._systems.is_gone(place):
                self._tell(Lost(1))
            if event.mask & fanotify.ONDIR and event.mask & fanotify.CREATE and event.target:
                self._systems.know(event.target, path)
        if event.mask & fanotify.RENAME and event.mask & fanotify.ONDIR:
            self._systems.forget()

    def _written(self, event: Event) -> None:
        """Take a write to a sysctl, or to a file of a file system that tells no names."""
        key = self._whose.of(event.pid, event.pidfd)
        if not key or event.fd < 0 or not event.mask & fanotify.CHANGES:
            return
        path = os.readlink(f"/proc/self/fd/{event.fd}")  # noqa: PTH115
        if path.startswith(f"{SYSCTLS}/"):
            self._tell(Wrote(key, path.removeprefix(f"{SYSCTLS}/")))
        else:
            self._tell(Seen(key, event.mask & fanotify.CHANGES, os.fsencode(path)))

    def _entered(self, event: Event) -> None:
        if event.pidfd >= 0 and event.pid != os.getpid():
            key = self._whose.enter(event.pid, event.pidfd)
            if key:
                self._tell(Entered(key, event.pid))

    def _mounted(self, event: Event) -> None:
        points = self._systems.refresh()
        key = self._whose.of(event.pid, event.pidfd)
        if points and (key or key is None):
            self._tell(Mounted(key or "", [plain(one) for one in points]))

    def _take(self) -> bool:
        """Take a message; whether the ledger is still there."""
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return True
        except (OSError, UsageError):
            return False
        match received[0] if received else None:
            case Watch(key, audit):
                self._whose.watch(key, audit)
            case Unwatch(key):
                self._whose.unwatch(key)
            case Sync(number):
                self._drain()
                self._tell(Synced(number))
            case None:
                return False
        return True

    def _drain(self) -> None:
        """Read all that happened until now; what happens meanwhile is left."""
        for group in self._takers:
            waiting = fanotify.waiting(group)
            while waiting > 0 and (count := self._read(group)):
                waiting -= count

    def _tell(self, message: FromListener) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(message)
        elif not isinstance(self._waiting[-1], Lost):
            self._waiting[-1] = Lost(0)
        self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                self._channel.send(self._waiting[0])
                self._waiting.popleft()

    def _watch_mounts(self) -> None:
        try:
            group = fanotify.mounts_group()
            namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            fanotify.mark_namespace(group, namespace)
            os.close(namespace)
            self._mounts = group
        except OSError:
            self._lacking.append("this kernel does not tell who mounts (Linux 6.14 does)")

    def _mark_sysctls(self, directory: str) -> None:
        for place, _, names in os.walk(directory):
            for name in names:
                path = f"{place}/{name}"
                with contextlib.suppress(OSError):  # it is gone
                    if os.lstat(path).st_mode & stat.S_IWUSR:
                        fanotify.mark_writes(self._plain, path)

    def _mark_entries(self, entry: str) -> None:
        """See who loads a module of sheltie's: once for each start, from bytecode if there is any.

        Where the bytecode is still to be written all files beside it are watched.
        """
        compiled = importlib.util.cache_from_source(entry)
        try:
            if Path(compiled).stat().st_mtime >= Path(entry).stat().st_mtime:
                fanotify.mark_opens(self._entries, compiled)
                fanotify.mark_opens(self._entries, entry)
                return
        except FileNotFoundError:
            pass
        for place in (os.path.dirname(entry), os.path.dirname(compiled)):  # noqa: PTH120
            with contextlib.suppress(FileNotFoundError):
                fanotify.mark_directory(self._entries, place)

    def _hurry(self) -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            self._lacking.append("no real-time priority: who acts and ends at once may be missed")


def main(argv: list[str]) -> None:
    """Listen for the ledger at the other end of the channel."""
    try:
        _listen(argv)
    except SheltieError as error:
        sys.exit(f"ledger: no file is watched: {error.line()}")
    except OSError as error:
        sys.exit(f"ledger: no file is watched: {error.strerror} (fanotify needs Linux 5.17)")


def _listen(argv: list[str]) -> None:
    end = socket.socket(fileno=int(argv[0]))
    set_death_signal(SIGKILL)
    channel: Channel[FromListener, ToListener] = Channel(end, ToListener)
    end.setblocking(False)  # noqa: FBT003  its only form
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, CHANNEL_BUFFER)
    listener = Listener(channel, int(argv[1]), argv[2], bounded="bounded" in argv[3:])
    pidfd = host.find().pidfd
    kernel.setns(pidfd, kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
    os.chdir("/")
    os.close(pidfd)
    listener.begin()
    listener.run()


if __name__ == "__main__":
    main(sys.argv[1:])
