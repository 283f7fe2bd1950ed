"""Rows out of text: mounts, accounts, rules, processes, and where a path really lies."""

from hypothesis import given
from hypothesis import strategies as st

from admin.ledger import parse
from admin.ledger.tables import Account, Namespace, Rule

MOUNTINFO = """\
1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
2 1 8:2 /var /var rw - ext4 /dev/sda2 rw
3 1 8:2 /etc /etc rw - ext4 /dev/sda2 rw
4 1 0:4 net:[4026532283] /run/ns\\040one rw - nsfs nsfs rw
5 1 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
6 1 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
7 1 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
"""


def test_mounts_are_read() -> None:
    """Names are unescaped; what keeps a namespace is known."""
    mounts = parse.mounts(MOUNTINFO)

    assert [one.point for one in mounts[:4]] == ["/", "/var", "/etc", "/run/ns one"]
    assert list(parse.pinned(mounts)) == [Namespace("net", 4026532283, "/run/ns one")]
    assert parse.unit_trees(MOUNTINFO) == ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"]


def test_a_path_is_the_same_by_each_way() -> None:
    """Two mounts of parts of one file system, and the directory above both."""
    mounts = parse.mounts(MOUNTINFO)

    assert parse.inner("/etc/passwd", mounts) == ("8:2", "/etc/passwd")
    assert parse.inner("/var/lib", mounts) == ("8:2", "/var/lib")
    assert parse.inner("/etcetera", mounts) == ("8:1", "/etcetera")
    assert parse.inner("/", mounts) == ("8:1", "/")


def test_accounts_hold_no_password() -> None:
    """Of a password only a digest is kept, and it changes with the password."""
    (user, group, password) = parse.accounts("a:x:1:2:A:/a:/sh\n", "g:x:3:\n", "a:secret:1::::::\n")
    (_, _, other) = parse.accounts("a:x:1:2:A:/a:/sh\n", "g:x:3:\n", "a:another:1::::::\n")

    assert user == Account("user", "a", "1:2:A:/a:/sh")
    assert group == Account("group", "g", "3:")
    assert "secret" not in password.about
    assert password != other


def test_rules_stand_behind_their_blocks() -> None:
    """The same rule in two chains is two rules."""
    text = "table inet t {\n\tchain a {\n\t\taccept\n\t}\n\n\tchain b {\n\t\taccept\n\t}\n}"

    assert parse.rules(text.splitlines()) == (
        Rule("", "table inet t"),
        Rule("table inet t", "chain a"),
        Rule("table inet t chain a", "accept"),
        Rule("table inet t", "chain b"),
        Rule("table inet t chain b", "accept"),
    )


def test_a_process_is_read_whatever_its_name() -> None:
    """A name may hold blanks and parentheses; kernel threads and the dead are left out."""
    stat = "7 (a) (b c) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
    one = parse.process(7, stat, "12:cpu:/x\n0::/a.service\n", "4294967295\n")

    assert one is not None
    assert (one.command, one.parent, one.started) == ("a) (b c", 1, 4711)
    assert (one.cgroup, one.audit) == ("/a.service", parse.NO_AUDIT)
    assert parse.process(7, stat.replace(" S ", " Z ")) is None
    assert parse.process(7, stat.replace("4194560", str(0x00200040))) is None


@given(st.text())
def test_nothing_breaks_a_parser(text: str) -> None:
    """Anything may be read; it yields rows or none."""
    parse.mounts(text)
    parse.accounts(text, text, text)
    parse.rules(text.splitlines())
    parse.homes(text)
    parse.unit_trees(text)
