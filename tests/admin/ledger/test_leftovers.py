"""`sheltie leftovers`: what is still there, and undoing it."""

import pytest

from tests.admin.ledger.ledgered import Ledgered

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]


def numbers(ledger: Ledgered, table: str, name: str) -> list[str]:
    """Return the numbers of what is left by that name."""
    return [
        str(number)
        for number, one in enumerate(ledger.listed(), 1)
        if (one["table"], one["name"]) == (table, name)
    ]


def test_a_mount_is_undone(ledger: Ledgered) -> None:
    """What a session mounted is listed until it is unmounted, and then no more."""
    ledger.session("mkdir -p /run/u1; mount -t tmpfs u /run/u1")
    (number,) = numbers(ledger, "mount", "/run/u1")

    done = ledger.leftovers("--undo", "--yes", number)

    assert (done.returncode, done.stdout.decode()) == (0, f"{number}: done: unmount /run/u1\n")
    assert "/run/u1 " not in ledger.box.mountinfo()
    assert numbers(ledger, "mount", "/run/u1") == []


def test_a_mount_that_is_covered_stays(ledger: Ledgered) -> None:
    """Who mounted something over it since keeps theirs."""
    ledger.session("mkdir -p /run/u2; mount -t tmpfs u /run/u2")
    ledger.box.on_host("mount", "-t", "tmpfs", "over", "/run/u2")
    (number,) = numbers(ledger, "mount", "/run/u2")

    done = ledger.leftovers("--undo", "--yes", number)

    assert done.returncode == 1
    assert b"/run/u2 has another mount now" in done.stderr
    assert ledger.box.mountinfo().count(" /run/u2 ") == 2


def test_a_sysctl_is_set_back(ledger: Ledgered) -> None:
    """A kernel setting gets the value that it had."""
    before = ledger.box.on_host("sysctl", "-n", "net.core.somaxconn")
    ledger.session("sysctl -w net.core.somaxconn=2001")
    # The last: an entry of the test before may still have been open, and saw it too.
    *_, number = numbers(ledger, "sysctl", "net/core/somaxconn")

    done = ledger.leftovers("--undo", "--yes", number)

    assert done.returncode == 0, done.stderr
    assert ledger.box.on_host("sysctl", "-n", "net.core.somaxconn") == before


def test_a_sysctl_that_changed_since_is_not_listed(ledger: Ledgered) -> None:
    """What somebody set anew is theirs."""
    ledger.box.on_host("sysctl", "-w", "net.ipv4.ip_default_ttl=60")
    ledger.session("sysctl -w net.ipv4.ip_default_ttl=61")
    ledger.box.on_host("sysctl", "-w", "net.ipv4.ip_default_ttl=62")

    # An entry of the test before may still have been open: to that one the last value is news.
    listed = [
        one
        for one in ledger.listed()
        if one["name"] == "net/ipv4/ip_default_ttl" and one["session"] != "exec"
    ]
    assert listed == []


def test_files_are_listed_and_not_undone(ledger: Ledgered) -> None:
    """A file that a session made is listed until it is gone."""
    ledger.session("touch /run/u3")
    (number,) = numbers(ledger, "file", "/run/u3")

    done = ledger.leftovers("--undo", "--yes", number)

    assert done.returncode == 1
    assert b"not undone, look at it yourself" in done.stdout
    ledger.box.on_host("rm", "/run/u3")
    assert numbers(ledger, "file", "/run/u3") == []


def test_nothing_is_undone_unasked(ledger: Ledgered) -> None:
    """Without a terminal to ask on, and without --yes, everything stays."""
    ledger.session("mkdir -p /run/u4; mount -t tmpfs u /run/u4")

    done = ledger.leftovers("--undo")

    assert done.returncode == 2
    assert b"[NOT_ASKED]" in done.stderr
    assert "/run/u4 " in ledger.box.mountinfo()


def test_people_read_it(ledger: Ledgered) -> None:
    """Each line says what it is and what --undo would do; what is not seen is on standard error."""
    ledger.session("mkdir -p /run/u5; mount -t tmpfs u /run/u5")

    done = ledger.leftovers()

    assert "mount added: /run/u5 (tmpfs u rw,relatime); --undo would unmount /run/u5\n" in (
        done.stdout.decode()
    )
    assert b"not seen: what is written to sysfs" in done.stderr


@pytest.mark.parametrize(
    "words", ["--yes", "3", "--undo x", "--json --undo", "--wrong", "--undo --yes 999999"]
)
def test_a_wrong_line_is_refused(ledger: Ledgered, words: str) -> None:
    """What makes no sense together is a usage error, and nothing is done."""
    done = ledger.leftovers(*words.split())

    assert done.returncode == 2
    assert b"[SHELTIE_USAGE]" in done.stderr
