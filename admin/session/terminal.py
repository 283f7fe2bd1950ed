"""A pty for a session: its modes by RFC 4254 section 8, its size, its owner."""

import contextlib
import fcntl
import grp
import os
import struct
import termios

__all__ = ["make", "resize"]

# RFC 4254 section 8: opcode to the place in termios.tcgetattr's list.
_CHARACTERS = {
    1: termios.VINTR, 2: termios.VQUIT, 3: termios.VERASE, 4: termios.VKILL, 5: termios.VEOF,
    6: termios.VEOL, 7: termios.VEOL2, 8: termios.VSTART, 9: termios.VSTOP, 10: termios.VSUSP,
    12: termios.VREPRINT, 13: termios.VWERASE, 14: termios.VLNEXT, 18: termios.VDISCARD,
}  # fmt: skip
_INPUT = {
    30: termios.IGNPAR, 31: termios.PARMRK, 32: termios.INPCK, 33: termios.ISTRIP,
    34: termios.INLCR, 35: termios.IGNCR, 36: termios.ICRNL, 38: termios.IXON,
    39: termios.IXANY, 40: termios.IXOFF, 41: termios.IMAXBEL,
}  # fmt: skip
_LOCAL = {
    50: termios.ISIG, 51: termios.ICANON, 53: termios.ECHO, 54: termios.ECHOE, 55: termios.ECHOK,
    56: termios.ECHONL, 57: termios.NOFLSH, 58: termios.TOSTOP, 59: termios.IEXTEN,
    60: termios.ECHOCTL, 61: termios.ECHOKE,
}  # fmt: skip
_OUTPUT = {
    70: termios.OPOST, 72: termios.ONLCR, 73: termios.OCRNL, 74: termios.ONOCR, 75: termios.ONLRET,
}  # fmt: skip
_DISABLED = 255
_CELLS = 0xFFFF


def make(modes: dict[int, int], rows: int, cols: int, uid: int) -> tuple[int, int, str]:
    """Return a new pty's master, slave and name; the slave belongs to `uid` and group tty."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    _apply(slave, modes)
    resize(master, rows, cols)
    if not os.geteuid():
        with contextlib.suppress(KeyError):  # a minimal image may have no such group
            os.fchown(slave, uid, grp.getgrnam("tty").gr_gid)
        os.fchmod(slave, 0o620)
    return master, slave, name


def resize(master: int, rows: int, cols: int) -> None:
    """Give the terminal a size; the kernel sends SIGWINCH."""
    size = struct.pack("HHHH", min(rows, _CELLS), min(cols, _CELLS), 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def _apply(slave: int, modes: dict[int, int]) -> None:
    attributes = termios.tcgetattr(slave)
    for place, table in ((0, _INPUT), (1, _OUTPUT), (3, _LOCAL)):
        for opcode, flag in table.items():
            if opcode in modes:
                on = attributes[place] | flag
                attributes[place] = on if modes[opcode] else attributes[place] & ~flag
    for opcode, index in _CHARACTERS.items():
        if opcode in modes:
            value = modes[opcode]
            attributes[6][index] = b"\0" if value >= _DISABLED else bytes([value])
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
