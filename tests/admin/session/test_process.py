"""A session at its seam: bytes, terminals, signals, exits, and a client that is slow or lost."""

import contextlib
import hashlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from admin.session import start
from admin.session.signals import SIGNALS
from admin.ssh.protocol import (
    Began,
    Environment,
    Execute,
    Exited,
    Pty,
    Shell,
    Signal,
    Subsystem,
    Window,
)
from tests.admin.session.seam import SECONDS, pieces, session

pytestmark = pytest.mark.timeout(90)
MEGABYTE = 1 << 20
SCREEN = Pty("xterm", 31, 97)
# Not a shell: bash forgets a signal that comes while its trap for the one before still runs.
SHOW_SIZE = """
import os, signal
def show(*_):
    cols, rows = os.get_terminal_size()
    os.write(1, b"%d %d\\n" % (rows, cols))
signal.signal(signal.SIGWINCH, show)
show()
while True:
    signal.pause()
"""


def test_a_hundred_megabytes_to_a_reader_who_dawdles() -> None:
    """No byte is lost, the code comes after the last one, and the session keeps no more of them."""
    size = 100 * MEGABYTE
    with session() as seam:
        seam.ask(Execute(f"head -c {size} /dev/urandom | tee >(sha256sum >&2); exit 3".encode()))
        digest, got = hashlib.sha256(), 0
        seam.stalled()
        for piece in pieces(seam.stream, 1000):
            digest.update(piece)
            got += len(piece)
            if got > 4 * MEGABYTE:
                break
        seam.stalled()
        for piece in pieces(seam.stream):
            digest.update(piece)
            got += len(piece)
        memory = seam.memory()
        told = seam.rest(seam.errors).split()[0]

        assert (got, digest.hexdigest().encode()) == (size, told)
        assert seam.exited() == Exited(status=3)
        assert memory < 60 * MEGABYTE


def test_both_ways_at_once() -> None:
    """Input and output flow side by side, and the end of the input is seen."""
    data = os.urandom(20 * MEGABYTE)
    with session() as seam:
        seam.ask(Execute(b"cat; echo end >&2"))

        def write() -> None:
            seam.stream.sendall(data)
            seam.stream.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        back = seam.rest()
        writer.join(SECONDS)

        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
        assert seam.rest(seam.errors) == b"end\n"
        assert seam.exited() == Exited()


def test_unread_errors_hold_no_output_up() -> None:
    """Each stream has a buffer of its own."""
    with session() as seam:
        seam.ask(Execute(b"head -c 5000000 /dev/zero >&2 & echo out; wait; exec 2>&-; echo late"))
        assert seam.line() == b"out\n"
        seam.stalled()
        assert len(seam.rest(seam.errors)) == 5_000_000
        assert seam.rest() == b"late\n"
        assert seam.exited() == Exited()


def test_a_program_that_reads_nothing() -> None:
    """Input that nobody takes neither blocks the end nor is an error."""
    with session() as seam:
        seam.ask(Execute(b"echo up; sleep 1; exit 4"))
        assert seam.line() == b"up\n"
        _fill(seam.stream)
        assert seam.exited() == Exited(status=4)


def _fill(end: socket.socket) -> None:
    """Send until no more fits."""
    end.setblocking(False)  # noqa: FBT003  its only form
    with contextlib.suppress(BlockingIOError):
        for _ in range(1000):
            end.send(b"x" * 65536)
    end.settimeout(SECONDS)


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
@pytest.mark.parametrize("screen", [(), (SCREEN,)])
def test_exit_codes(code: int, screen: tuple[Pty, ...]) -> None:
    """The code is the program's, on a terminal and without one."""
    with session() as seam:
        seam.ask(*screen, Execute(f"exit {code}".encode()))

        assert seam.exited() == Exited(status=code)


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_signals_reach_the_program(name: str) -> None:
    """Each signal of RFC 4254 section 6.10 ends a program that does not mind it, and is named."""
    with session() as seam:
        seam.ask(Execute(b"ulimit -c 0; exec cat"))
        seam.stream.sendall(b"up\n")
        assert seam.line() == b"up\n"  # cat's own word: the shell before it ignores QUIT
        seam.ask(Signal(name))

        assert seam.exited() == Exited(signal=name)


def test_signals_reach_the_whole_group() -> None:
    """Without a terminal the program's children have their share."""
    with session() as seam:
        seam.ask(Execute(b"trap 'wait; exit 5' TERM; sleep 100 & echo up; wait"))
        assert seam.line() == b"up\n"
        seam.ask(Signal("TERM"))

        assert seam.exited() == Exited(status=5)


def test_signals_on_a_terminal_reach_the_foreground() -> None:
    """On a terminal only what is in its foreground is meant."""
    with session() as seam:
        seam.ask(SCREEN, Execute(b"set -m; sh -c 'echo up; exec sleep 100'; echo code $?"))
        assert seam.line() == b"up\n"
        seam.ask(Signal("USR1"))

        assert b"code 138" in seam.rest()
        assert seam.exited() == Exited()


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGRTMIN + 3])
def test_a_death_by_another_signal_is_named_as_sshd_names_it(number: int) -> None:
    """A signal beyond the RFC's list has a name too, and ends the session in order."""
    with session() as seam:
        seam.ask(Execute(f"ulimit -c 0; kill -{int(number)} $$".encode()))

        assert seam.exited() == Exited(signal="SIG@openssh.com")


def test_other_signals_are_ignored() -> None:
    """Names beyond the list do nothing, and the session goes on."""
    with session() as seam:
        seam.ask(Execute(b"echo up; cat"))
        assert seam.line() == b"up\n"
        seam.ask(Signal("STOP"), Signal("SIGTERM"), Signal(""), Signal("CHLD"))
        seam.stream.sendall(b"still\n")

        assert seam.line() == b"still\n"


def test_window_changes() -> None:
    """The first size, a new one with its WINCH, one beyond what the kernel counts."""
    with session() as seam:
        command = f"exec {sys.executable} -I -c {shlex.quote(SHOW_SIZE)}"
        seam.ask(Window(1, 1), SCREEN, Execute(command.encode()))
        assert seam.line() == b"31 97\n"
        seam.ask(Window(40, 120))
        assert seam.line() == b"40 120\n"
        seam.ask(Window(1 << 31, 1 << 31))
        assert seam.line() == b"65535 65535\n"


def test_requests_out_of_place_are_no_end() -> None:
    """A window change without a terminal and a second program change nothing."""
    with session() as seam:
        seam.ask(Signal("TERM"), Window(1, 1), Execute(b"echo up; cat"))
        assert seam.line() == b"up\n"
        seam.ask(Window(1, 1), Shell(), Execute(b"echo no"), Subsystem("sftp"), SCREEN)
        seam.stream.sendall(b"still\n")
        seam.stream.shutdown(socket.SHUT_WR)

        assert seam.rest() == b"still\n"
        assert seam.exited() == Exited()


def test_the_environment() -> None:
    """What the client wishes is picked by an allow-list; the rest is the account's."""
    wished = {"LANG": "C", "LC_ALL": "C.UTF-8", "LD_PRELOAD": "/x", "PATH": "/x", "LC_X": "a b"}
    with session() as seam:
        seam.ask(Environment(wished), Execute(b"exec env -0"))
        found = dict(one.split(b"=", 1) for one in seam.rest().split(b"\0") if one)

    assert (found[b"LANG"], found[b"LC_ALL"]) == (b"C", b"C.UTF-8")
    assert found[b"SSH_CONNECTION"] == b"192.0.2.1 1111 192.0.2.2 22"
    assert b"/x" not in found[b"PATH"].split(b":")  # what ~/.bashrc makes of it is the account's
    assert not {b"LD_PRELOAD", b"LC_X", b"SSH_TTY", b"TERM"} & set(found)


def test_the_last_words_on_a_terminal() -> None:
    """A slow reader gets all that was printed before the end, though others hold the terminal."""
    with session() as seam:
        script = b"trap '' HUP; sleep 5 & head -c 1000000 /dev/zero | tr '\\0' x; exit 7"
        seam.ask(SCREEN, Execute(script))
        seam.stalled()

        assert seam.rest().count(b"x") == 1_000_000
        assert seam.exited() == Exited(status=7)


@pytest.mark.parametrize("screen", [(), (SCREEN,)])
@pytest.mark.parametrize("trap", ["", "trap '' HUP; "])
def test_a_lost_client_ends_the_program(screen: tuple[Pty, ...], trap: str) -> None:
    """HUP, and KILL for who does not listen."""
    with session() as seam:
        seam.ask(*screen, Execute(f"{trap}echo $$; exec sleep 300".encode()))
        descriptor = os.pidfd_open(int(seam.line()))
        seam.hang_up()
        ended = select.select([descriptor], [], [], SECONDS)[0]
        os.close(descriptor)

    assert ended


@pytest.mark.parametrize("screen", [(), (SCREEN,)])
@pytest.mark.parametrize("trap", ["", "trap '' HUP; "])
def test_nothing_of_the_group_stays(screen: tuple[Pty, ...], trap: str) -> None:
    """What a program leaves in its process group, with other output than ours, ends with it."""
    with session() as seam:
        left = f"{trap}sleep 300 </dev/null >/dev/null 2>&1 & echo $!; read -r; exit 6"
        seam.ask(*screen, Execute(left.encode()))
        descriptor = os.pidfd_open(int(seam.line()))
        seam.stream.sendall(b"\n")
        assert seam.exited() == Exited(status=6)
        seam.hang_up()
        ended = select.select([descriptor], [], [], SECONDS)[0]
        os.close(descriptor)

    assert ended


def test_a_login_shell_reads_its_profile(tmp_path: Path) -> None:
    """Without a command it is a login shell, whose name starts with a dash; with one it is none."""
    show = b"echo $0; shopt login_shell; exit\n"
    for ask, login in ((Shell(), True), (Execute(b"exec bash -s"), False)):
        with session() as seam:
            seam.ask(ask)
            seam.stream.sendall(show)
            seam.stream.shutdown(socket.SHUT_WR)
            name, word = seam.rest().splitlines()[-2:]

        assert name.startswith(b"-") == login
        assert word.split()[-1] == (b"on" if login else b"off")


def test_only_an_interactive_login_is_greeted() -> None:
    """It is told of the login before, on a terminal; a command and a shell on pipes are not."""
    told = []
    for asked in ((SCREEN, Shell()), (SCREEN, Execute(b"true")), (Shell(),)):
        with session(last="yesterday from 192.0.2.9") as seam:
            seam.ask(*asked)
            assert seam.began() == Began(tty=SCREEN in asked, login=asked == (SCREEN, Shell()))
            seam.stream.sendall(b"exit\n")
            told.append(b"Last login: yesterday from 192.0.2.9\r\n" in seam.rest())

    assert told == [True, False, False]


@pytest.mark.parametrize(
    ("found", "left"), [("-999", "0"), ("-1", "0"), ("0", "0"), ("300", "300")]
)
def test_the_shield_of_the_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, left: str
) -> None:
    """A score below zero is not handed down; one above is not taken away."""
    score = tmp_path / "oom_score_adj"
    score.write_text(found)
    monkeypatch.setattr(start, "OOM_SCORE", str(score))
    start._be_mortal()

    assert score.read_text() == left


def test_a_session_may_be_killed_for_memory() -> None:
    """Whatever its parents have, a program's score is not below zero: by the kernel's own word.

    Where this machine does not let us go below, the file above has shown it.
    """
    before = ["choom", "-n", "-999", "--"]
    possible = not subprocess.run([*before, "true"], capture_output=True, check=False).returncode
    with session(before=before if possible else ["choom", "-n", "7", "--"]) as seam:
        seam.ask(Execute(b"cat /proc/self/oom_score_adj"))

        assert seam.rest() == (b"0\n" if possible else b"7\n")


def test_a_client_that_asks_for_nothing() -> None:
    """A session whose client leaves before a request ends with it."""
    with session() as seam:
        seam.ask(SCREEN)
        seam.hang_up()

        assert seam.process.wait(SECONDS) == 0


def test_no_descriptor_of_the_session_reaches_the_program() -> None:
    """The program has its three, and nothing of ours."""
    with session() as seam:
        seam.ask(Execute(b"exec ls /proc/self/fd"))

        assert seam.rest().split() == [b"0", b"1", b"2", b"3"]  # by 3 ls reads the directory
