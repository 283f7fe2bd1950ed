"""Which consoles are attended, and how."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.console.plan import Console, consoles
from admin.console.told import CONSOLES, place, word

THERE = {"ttyS0", "ttyS1", "tty1", "ttyAMA0", "hvc0"}


@pytest.mark.parametrize(
    ("cmdline", "names"),
    [
        ("", []),
        ("quiet root=/dev/vda", []),
        ("console=ttyS0", ["ttyS0"]),
        ("console=tty0 console=ttyS0,115200n8", ["tty1", "ttyS0"]),
        ("console=tty console=tty1", ["tty1"]),
        ("console=ttyS0 console=ttyS0,9600", ["ttyS0"]),
        ("console=hvc0 console=ttyAMA0", ["hvc0", "ttyAMA0"]),
        ("console=ttyS9", []),
        ("console=null console= console=/dev/ttyS0 console=../ttyS0 console=ttyS0000", []),
        ("xconsole=ttyS0", []),
    ],
)
def test_the_kernels_consoles(cmdline: str, names: list[str]) -> None:
    """By the words of its command line, as far as the host has the device."""
    assert [one.name for one in consoles(cmdline, THERE.__contains__)] == names


@given(st.text(max_size=200))
def test_no_word_leads_elsewhere(text: str) -> None:
    """Names are plain: no path, no option of agetty's."""
    for one in consoles(f"console={text} {text}", lambda _: True):
        assert "/" not in one.name
        assert not one.name.startswith("-")


def test_how_agetty_is_run() -> None:
    """Serial lines with upstream's speeds and terminal."""
    assert Console("ttyS0").argv("agetty")[2:] == [
        "115200,57600,38400,9600",
        "ttyS0",
        "xterm-256color",
    ]
    assert Console("tty1").argv("agetty") == ["agetty", "--noclear", "tty1", "linux"]


def test_pams_word() -> None:
    """A word and a user, whatever the user is."""
    assert word({"PAM_TYPE": "open_session", "PAM_USER": "op"}) == b"open op"
    assert word({"PAM_TYPE": "auth", "PAM_USER": "a b\nc" + "x" * 100})[:14] == b"refused a?b?cx"
    assert len(word({"PAM_TYPE": "auth", "PAM_USER": "ü" * 1000})) < 256
    assert word({}) == b" "
    assert place("/dev/ttyS0") == place("ttyS0") == CONSOLES / "ttyS0"
    assert place("/dev/pts/3") == Path(CONSOLES, "pts-3")
