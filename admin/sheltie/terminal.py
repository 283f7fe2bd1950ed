"""A terminal of the host's own, relayed to the one that sheltie stands on.

The relay holds the pty's master and sees every byte of both directions: it is the one place where
a session is recorded, and whose end ends the session.
"""

from __future__ import annotations

# The C modules under `signal` and `os`: without its enums the one is 3 ms cheaper, the other 1.3.
import _signal as signal  # type: ignore[import-not-found]  # typeshed does not describe it
import errno
import fcntl
import posix as os
import select
import termios
import time

from admin.sheltie.command import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["Relay", "end_as", "run"]

CHUNK = 65536
"""Bytes read at once, and kept at most for one direction before its source has to wait."""
FAREWELL_SECONDS = 1.0
"""How long a child that lost its terminal is waited for."""
WINDOW = b"\0" * 8  # struct winsize, ioctl_tty(2)

PASSED_ON = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
CAUGHT = (*PASSED_ON, "SIGWINCH", "SIGCONT", "SIGTSTP", "SIGCHLD")


def run(pty: tuple[int, int], become: Callable[[], NoReturn], *, shell: bool) -> int:
    """Run `become` in a child on the pty (master, slave), relay, and return its wait status.

    `become` enters the host and executes; it must not return. Where no child can be had this
    process becomes it, without a pty of the host's. Raises OSError.
    """
    master, slave = pty
    os.set_blocking(master, False)
    numbers = [getattr(signal, name) for name in CAUGHT]
    told, tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _noted)
    _adopt(slave)
    try:
        child = os.fork()
    except OSError as error:
        os.close(slave)
        os.close(master)
        _become_without_relay(error, numbers, before, become)
    if not child:
        _child(slave, numbers, become)
    try:
        relay = Relay(master, child, told, shell=shell)
        relay.raw()
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return relay.run()
        finally:
            relay.restore()
    finally:
        os.close(slave)


class Relay:
    """Carries bytes between our terminal (descriptors 0 and 1) and the host's pty."""

    def __init__(self, master: int, child: int, told: int, *, shell: bool) -> None:
        self._master = master
        self._child = child
        self._told = told
        self._shell = shell
        self._settings: list[Any] = termios.tcgetattr(0)
        self._screen = _reopen(1)
        self._inward = b""
        self._outward = b""
        self._status: int | None = None
        self._lost = False  # our terminal
        self._hung = False  # the host's

    def run(self) -> int:
        """Relay until the child ended and its last words are shown; return its wait status."""
        while self._status is None or self._outward or self._from_host():
            for descriptor, _ in self._poll():
                if descriptor == self._told:
                    self._signals()
                elif descriptor == 0:
                    self._from_keyboard()
                elif descriptor == self._screen:
                    self._to_screen()
                elif descriptor == self._master:
                    self._to_host()
                    self._from_host()
            if self._lost:
                return self._farewell()
        return self._status

    def raw(self) -> None:
        """Make our terminal pass every key as it is (cfmakeraw, termios(3))."""
        raw = [*self._settings[:6], list(self._settings[6])]
        raw[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        raw[1] &= ~termios.OPOST
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        _set(0, raw)

    def restore(self) -> None:
        """Give our terminal back as it was."""
        _set(0, self._settings)

    def _poll(self) -> list[tuple[int, int]]:
        """Wait for what can move; a full buffer makes its source wait."""
        poll = select.poll()
        poll.register(self._told, select.POLLIN)
        if not self._inward and self._status is None:
            poll.register(0, select.POLLIN)
        if self._outward:
            poll.register(self._screen, select.POLLOUT)
        wanted = select.POLLIN if len(self._outward) < CHUNK else 0
        wanted |= select.POLLOUT if self._inward else 0
        # POLLHUP comes unasked: once the child is gone, run() reads the master by itself.
        if wanted and self._status is None and not self._hung:
            poll.register(self._master, wanted)
        return poll.poll()

    def _from_keyboard(self) -> None:
        self._inward = _read(0)
        if self._inward:
            self._to_host()
        else:  # hung up
            self._lost = True

    def _to_host(self) -> None:
        """Hand keys to the host. A full pty takes none until it is read."""
        if self._inward:
            self._inward = self._inward[_write(self._master, self._inward) :]

    def _from_host(self) -> bool:
        """Take what the host wrote; whether there was something."""
        try:
            data = os.read(self._master, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the host's side hung up; the child may live on without it
            self._hung = True
            return False
        self._outward += data
        return bool(data)

    def _to_screen(self) -> None:
        written = _write(self._screen, self._outward[:CHUNK])
        if written < 0:
            self._lost = True
        self._outward = self._outward[max(written, 0) :]

    def _signals(self) -> None:
        for number in _read(self._told):
            if number == signal.SIGCHLD:
                self._reap(os.WNOHANG)
            elif number == signal.SIGWINCH:
                _copy_window(self._master)
            elif number == signal.SIGTSTP:
                self.restore()
                signal.raise_signal(signal.SIGSTOP)
            else:
                self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGCONT:
            self.raw()
            _copy_window(self._master)
        if number == signal.SIGTERM and self._shell:
            # An interactive shell ignores TERM; losing its terminal is what ends it.
            number = signal.SIGHUP
        if self._status is None:  # else its pid may be somebody else's
            os.kill(self._child, number)

    def _reap(self, options: int) -> None:
        pid, status = os.waitpid(self._child, options) if self._status is None else (0, 0)
        if pid:
            self._status = status

    def _farewell(self) -> int:
        """Our terminal is gone: so is the host's, which tells the child by SIGHUP."""
        if self._status is None:
            os.kill(self._child, signal.SIGHUP)
        os.close(self._master)
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._status is None and (left := deadline - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self._told, select.POLLIN)
            poll.poll(left * 1000)
            _read(self._told)
            self._reap(os.WNOHANG)
        return signal.SIGHUP if self._status is None else self._status


def end_as(status: int) -> int:
    """Return the exit status of a wait status, or end by the same signal."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        # Our own memory is not what somebody wants who finds a core file.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + number
    return os.waitstatus_to_exitcode(status)


def _child(slave: int, numbers: list[int], become: Callable[[], NoReturn]) -> None:
    """Take the pty as controlling terminal and become the command; nothing returns from here."""
    try:
        signal.set_wakeup_fd(-1)
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            # An error stream that was sent elsewhere stays there.
            if descriptor < 2 or os.isatty(descriptor):  # noqa: PLR2004  standard error
                os.dup2(slave, descriptor)
        become()
    finally:
        os._exit(1)  # noqa: SLF001  its only name


def _become_without_relay(
    error: OSError, numbers: list[int], before: set[int], become: Callable[[], NoReturn]
) -> NoReturn:
    """Become the command on our own terminal: where nobody can fork, a shell can still kill."""
    tell(f"no process can be started: {error.strerror}; on this container's terminal, then")
    signal.set_wakeup_fd(-1)
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    become()


def _adopt(slave: int) -> None:
    """Give the new terminal the settings and the size of ours."""
    _set(slave, termios.tcgetattr(0))
    _copy_window(slave)


def _copy_window(descriptor: int) -> None:
    try:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, WINDOW))
    except OSError:
        return  # ours is gone, which its next read tells


def _set(descriptor: int, settings: list[Any]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    except termios.error:
        return  # gone


def _reopen(descriptor: int) -> int:
    """Return our terminal opened anew, so that only we do not block on it; else itself."""
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return descriptor


def _read(descriptor: int) -> bytes:
    """Read what is there; nothing at its end, or where there is nothing."""
    try:
        return os.read(descriptor, CHUNK)
    except OSError as error:
        if error.errno in (errno.EIO, errno.EAGAIN):
            return b""
        raise


def _write(descriptor: int, data: bytes) -> int:
    """Write what goes; return how much, or -1 when nobody is there any more."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the number went to the wake-up descriptor."""
