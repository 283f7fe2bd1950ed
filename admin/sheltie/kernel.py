"""The few system calls that sheltie needs beyond `os`, and the state that Python leaves behind."""

from __future__ import annotations

# The C module under `signal`: without its enums it costs nothing to import, not 3 ms.
import _signal  # type: ignore[import-not-found]  # typeshed does not describe it
import posix as os  # all that `os` has of use here, without its 1.3 ms

__all__ = [
    "die_with_parent",
    "fill_standard_descriptors",
    "open_pty",
    "restore_signals",
    "setns",
    "withhold",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# asm-generic/ioctls.h: the same on x86_64, aarch64 and riscv64.
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
PR_SET_PDEATHSIG = 1


def setns(descriptor: int, flags: int) -> None:
    """Move this single-threaded process into namespaces of a pidfd's process (setns(2)).

    Raises OSError.
    """
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(descriptor, flags)
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(number: int, parent: int) -> None:
    """Ask for a signal when `parent` ends, or end now if it did (prctl(2)). Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    # From a pid namespace below, a parent above has the number 0.
    if os.getppid() not in (parent, 0):
        os._exit(128 + number)  # noqa: SLF001  its only name


def open_pty(roots: list[str]) -> tuple[int, int]:
    """Return (master, slave) of a new pty of the devpts at ROOT/dev/pts, of the first that has one.

    TIOCGPTPEER (ioctl_tty(2)) opens the slave through the master's own mount, so that in that mount
    namespace `tty` finds its name. Raises OSError, of the first root.
    """
    failed = None
    for root in roots:
        try:
            return _open_pty(root)
        except OSError as error:
            failed = failed or error
    raise failed or FileNotFoundError


def _open_pty(root: str) -> tuple[int, int]:
    import fcntl

    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    # Not /dev/ptmx: where that is an absolute link, it would lead back into this container.
    master = os.open(f"{root}/dev/pts/ptmx", flags)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")
        return master, fcntl.ioctl(master, TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise


def fill_standard_descriptors() -> None:
    """Open /dev/null where a standard descriptor is closed, so that nothing else takes its number.

    Raises OSError.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)  # noqa: FBT003  its signature


def withhold() -> None:
    """Keep every inherited descriptor but the standard ones from what is executed later."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:  # noqa: PLR2004  standard error
            try:
                os.set_inheritable(int(name), False)  # noqa: FBT003  its signature
            except OSError:
                continue  # the directory's own descriptor, closed by now


def restore_signals() -> None:
    """Undo what Python does to signals: it ignores SIGPIPE and SIGXFSZ, and catches SIGINT."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
