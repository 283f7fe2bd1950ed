"""A look, step by step: prepared in the container, confined on the host, before the exec.

The order is the kernel's: mounts before Landlock, which forbids them; the securebits and the uid
before the capabilities, which both would undo; seccomp last.
"""

from __future__ import annotations

import os
import resource

from admin.look import kernel, masks
from admin.look.cover import Cover, expand, secrets
from admin.look.device import CARRIER, SCRATCH, Devices
from admin.look.mounts import Table
from admin.look.numbers import ARCHITECTURES, architecture
from admin.look.program import assemble
from admin.look.readable import Rules
from admin.look.rights import FIRST_ABI, READ_FILE
from admin.look.settings import draw_uid, read
from contract import places
from contract.errors import MachineError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LAYERS", "USER", "Look"]

USER = "look"
LAYERS = frozenset({"devices", "landlock", "masks", "mounts", "seccomp", "uid"})
"""Each does its part alone, which the tests show by leaving out the others. No option of the
command line leads here."""
PROCESSES_MAX = 1024
NO_CORE = 1
"""RLIMIT_CORE: at 0 a core would still be piped to the host's handler, at 1 it is not (core(5))."""
SIGKILL = 9
READ_ONLY = (
    kernel.MOUNT_ATTR_RDONLY
    | kernel.MOUNT_ATTR_NODEV
    | kernel.MOUNT_ATTR_NOSUID
    | kernel.MOUNT_ATTR_NOATIME
)


class Look:
    """One session's look."""

    def __init__(self, *, secrets: bool, without: frozenset[str] = frozenset()) -> None:
        """Prepare in the container whatever can fail there. Raises MachineError, UsageError."""
        self._layers = LAYERS - without
        self._secrets = secrets
        machine = architecture()
        if machine not in ARCHITECTURES:
            raise MachineError(
                f"no look on {machine}: its system calls are not known here",
                hint="sheltie without --look is root",
                code="LOOK_MACHINE",
            )
        self._abi = kernel.landlock_abi()
        if self._abi < FIRST_ABI and "landlock" in self._layers:
            raise MachineError(
                "no look without Landlock: this kernel has none, or it is switched off",
                hint="it needs CONFIG_SECURITY_LANDLOCK and lsm=landlock",
                code="NO_LANDLOCK",
            )
        _judge_standard_descriptors()
        self._program = assemble(machine)
        self._settings = read()
        self.uid = draw_uid(self._settings)
        self._state = _state_on_host()
        self._table = Table("")
        self._devices: Devices | None = None

    def environment(self, ours: dict[str, str]) -> dict[str, str]:
        """Return the environment of what runs in the look."""
        return {**ours, "HOME": SCRATCH, "TMPDIR": SCRATCH, "USER": USER, "LOGNAME": USER}

    def confine(self, keep: tuple[int, ...], *, parent: bool = False) -> None:
        """Give up everything but looking; `keep` are the descriptors to be executed.

        Called in the host's namespaces, single-threaded, as root. With `parent` the process dies
        with its parent. Raises MachineError (LOOK_FAILED) that names the step.
        """
        steps: list[tuple[str, str, Callable[[], None]]] = [
            ("", "a session keyring", kernel.join_session_keyring),
            ("", "a mount namespace", _leave_mounts),
            ("devices", "its own /dev", self._make_devices),
            ("", "the mount table", self._read_mounts),
            ("masks", "masks", self._mask),
            ("mounts", "read-only mounts", self._make_read_only),
            ("", "descriptors", lambda: _close_all_but(keep)),
            ("", "limits", _limit),
            ("uid", "uid and capabilities", self._become),
            ("", "its end with its parent", _die_with_parent if parent else _nothing),
            ("", "no new privileges", kernel.no_new_privileges),
            ("landlock", "Landlock", lambda: self._restrict(keep)),
            ("seccomp", "seccomp", lambda: kernel.filter_calls(self._program)),
        ]
        for layer, name, step in steps:
            if layer and layer not in self._layers:
                continue
            try:
                step()
            except OSError as error:
                raise MachineError(
                    f"cannot look: {name}: {error.strerror}",
                    hint="nothing was started",
                    code="LOOK_FAILED",
                ) from error

    def _make_devices(self) -> None:
        self._devices = Devices(self.uid)
        self._devices.put()

    def _read_mounts(self) -> None:
        self._table = _table("self")

    def _mask(self) -> None:
        place = CARRIER
        if not self._devices:
            place = "/dev"  # as a test does: over the host's own
            kernel.mount("tmpfs", place, "mode=0755")
            place = f"{place}/.look"
            os.mkdir(place, 0o700)  # noqa: PTH102  likewise
        cover = Cover(place)
        cover.name_user(USER, self.uid, SCRATCH)
        for point in self._table.automounts():
            cover.over(point)
        for pattern in masks.CONSUMED:
            for path in expand(pattern, self._table):
                cover.over(path)
        if not self._secrets:
            for path in secrets(self._table, self._state, self._settings.masks):
                cover.over(path)
        cover.close()

    def _make_read_only(self) -> None:
        kernel.set_attributes("/", READ_ONLY, kernel.MOUNT_ATTR__ATIME, recursive=True)
        if self._devices:
            self._devices.open_up()

    def _become(self) -> None:
        capabilities: tuple[int, ...] = (kernel.CAP_DAC_READ_SEARCH,)
        if self._settings.syslog and _messages_are_restricted():
            capabilities = (*capabilities, kernel.CAP_SYSLOG)
        os.setgroups([])
        kernel.drop_bounding_set(capabilities)
        kernel.lock_securebits()
        os.setresgid(self.uid, self.uid, self.uid)
        os.setresuid(self.uid, self.uid, self.uid)
        kernel.hold_only(capabilities)

    def _restrict(self, keep: tuple[int, ...]) -> None:
        rules = Rules(self._abi, self._table)
        rules.grant_host()
        if self._devices:
            self._devices.grant(rules)
        for descriptor in keep:
            rules.grant_descriptor(descriptor, READ_FILE)  # or it could not be executed
        rules.enforce()


def _judge_standard_descriptors() -> None:
    """Refuse what would lead out of the look: a directory, a socket that can be sent elsewhere."""
    from stat import S_ISDIR, S_ISSOCK

    for descriptor in range(3):
        mode = os.fstat(descriptor).st_mode
        if S_ISDIR(mode) or (S_ISSOCK(mode) and not _is_stream(descriptor)):
            raise UsageError(
                f"no look with a directory or a datagram socket as descriptor {descriptor}",
                hint="give it a file, a pipe or a terminal",
                code="LOOK_DESCRIPTOR",
            )


def _is_stream(descriptor: int) -> bool:
    import _socket

    copy = _socket.socket(fileno=os.dup(descriptor))
    try:
        return copy.type == _socket.SOCK_STREAM
    finally:
        copy.close()


def _state_on_host(here: str = places.PERSISTENT) -> str:
    """Return the host's path of the daemon's state, found by what of it is mounted here."""
    try:
        ours, theirs = _table("self"), _table("1")
    except OSError:
        return masks.STATE
    if ours.holding(here).point != here:
        return masks.STATE
    device, admin = ours.inner(here)
    state = os.path.dirname(os.path.dirname(admin))  # noqa: PTH120  pathlib costs 10 ms
    for path in theirs.showing(device, state):
        if os.path.isdir(f"/proc/1/root{path}/host-containers"):  # noqa: PTH112  likewise
            return path
    return masks.STATE


def _table(who: str) -> Table:
    with open(f"/proc/{who}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  pathlib costs 10 ms
        return Table(file.read())


def _messages_are_restricted() -> bool:
    try:
        with open("/proc/sys/kernel/dmesg_restrict", "rb") as file:  # noqa: PTH123  likewise
            return file.read(1) != b"0"
    except OSError:
        return True


def _leave_mounts() -> None:
    kernel.unshare_mounts()
    kernel.make_private()
    os.chdir("/")


def _close_all_but(keep: tuple[int, ...]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  likewise
        number = int(name)
        if number > 2 and number not in keep:  # noqa: PLR2004  standard error
            try:
                os.close(number)
            except OSError:
                continue  # the directory's own descriptor, closed by now


def _limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = PROCESSES_MAX if hard == resource.RLIM_INFINITY else min(hard, PROCESSES_MAX)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    core = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = NO_CORE if core == resource.RLIM_INFINITY or core > NO_CORE else core
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _die_with_parent() -> None:
    kernel.set_death_signal(SIGKILL)


def _nothing() -> None:
    return
