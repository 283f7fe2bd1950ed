"""A session's terminal and its environment."""

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.session import account, terminal

ACCOUNT = account.Account("op", 1000, 1000, (1000,), "/home/op", "/bin/bash")
CONNECTION = "192.0.2.1 1111 192.0.2.2 22"


@contextmanager
def made(modes: dict[int, int], rows: int = 24, cols: int = 80) -> Iterator[int]:
    """Make a terminal and give its slave."""
    master, slave, name = terminal.make(modes, rows, cols, os.geteuid())
    try:
        assert os.ttyname(slave) == name
        yield slave
    finally:
        os.close(master)
        os.close(slave)


def test_the_modes_of_the_client() -> None:
    """Flags are set and cleared, characters changed and disabled, as RFC 4254 section 8 says."""
    modes = {1: 7, 5: 255, 36: 0, 39: 1, 53: 0, 51: 1, 70: 1, 72: 0}
    with made(modes) as slave:
        into, out, _, local, _, _, characters = termios.tcgetattr(slave)

    assert (characters[termios.VINTR], characters[termios.VEOF]) == (b"\x07", b"\0")
    assert not into & termios.ICRNL
    assert into & termios.IXANY
    assert not local & termios.ECHO
    assert local & termios.ICANON
    assert out & termios.OPOST
    assert not out & termios.ONLCR


@given(
    st.dictionaries(st.integers(0, 255), st.integers(0, (1 << 32) - 1), max_size=20),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 32) - 1),
)
def test_any_modes_and_any_size(modes: dict[int, int], rows: int, cols: int) -> None:
    """Whatever 32 bits a client sends, there is a terminal."""
    with made(modes, rows, cols) as slave:
        assert os.get_terminal_size(slave) == (min(cols, 65535), min(rows, 65535))


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a terminal away")
def test_the_terminal_is_the_users() -> None:
    """The login user owns its terminal, and the group tty may write to it (wall(1))."""
    master, slave, _ = terminal.make({}, 24, 80, 12345)
    found = os.fstat(slave)
    os.close(master)
    os.close(slave)

    assert (found.st_uid, found.st_mode & 0o777) == (12345, 0o620)


names = st.text(max_size=12) | st.sampled_from(["LANG", "LC_ALL", "PATH", "HOME", "TERM"])


@given(st.dictionaries(names, st.text()), st.text())
def test_no_wish_reaches_beyond_the_locale(wanted: dict[str, str], term: str) -> None:
    """Whatever the client asks for: LANG and LC_* of plain words, and a plain TERM."""
    bare = account.environment(ACCOUNT, {}, term="", tty="/dev/pts/9", connection=CONNECTION)
    found = account.environment(ACCOUNT, wanted, term=term, tty="/dev/pts/9", connection=CONNECTION)
    changed = {name: value for name, value in found.items() if bare.get(name) != value}

    assert set(bare) <= set(found)
    for name, value in changed.items():
        assert name in {"LANG", "TERM"} or name.startswith("LC_")
        assert 0 < len(value) <= 256
        assert value.isascii()
        assert all(one.isalnum() or one in "-_.@+" for one in value)


def test_without_a_terminal() -> None:
    """A session without one has neither TERM nor SSH_TTY."""
    found = account.environment(ACCOUNT, {}, term="xterm", tty="", connection=CONNECTION)

    assert not {"TERM", "SSH_TTY"} & set(found)
