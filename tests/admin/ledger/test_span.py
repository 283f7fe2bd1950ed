"""Whose a change is, and when nothing needs to be looked at: without a kernel."""

import pytest

from admin.end.deputies import Moment
from admin.ledger.fanotify import CREATE
from admin.ledger.messages import EXEC
from admin.ledger.span import Span, still
from admin.ledger.tables import (
    Change,
    Fact,
    Kept,
    Module,
    Mount,
    Namespace,
    Process,
    Snapshot,
    Socket,
    Sysctl,
    Unit,
)

ROOT = Mount("/", "ext4", "/dev/vda", "/", "rw", "8:1")


def span(before: Snapshot, key: str = "session-1") -> Span:
    """Return a span that began at tick 100."""
    return Span(key, "ec2-user", "", Moment(100, None, b""), 0.0, audit=7, before=before)


def whose(one: Span, after: Snapshot) -> dict[str, str]:
    """Return whose each change is, by its name."""
    return {change.name: change.whose for change in one.changes(after, {})}


def process(
    pid: int, parent: int = 1, audit: int = 0, started: int = 200, cgroup: str = "/"
) -> Process:
    """Return a process that the session may have begun."""
    return Process(pid, parent, started, "p", audit, cgroup)


def test_what_the_kernel_tells_is_the_sessions() -> None:
    """Mounts and sysctls by who did it; others' mounts are left out, others' sysctls are not."""
    one = span(Snapshot(mounts=(ROOT,), sysctls=(Sysctl("a", "0"), Sysctl("b", "0"))))
    one.points.add("/mnt")
    one.sysctls.add("a")
    after = Snapshot(
        mounts=(
            ROOT,
            Mount("/mnt", "tmpfs", "t", "/", "rw"),
            Mount("/pod", "tmpfs", "t", "/", "rw"),
        ),
        sysctls=(Sysctl("a", "1"), Sysctl("b", "1")),
    )

    assert whose(one, after) == {"/mnt": "session", "a": "session", "b": "perhaps"}
    one.mounts_told = False
    assert whose(one, after)["/pod"] == "perhaps"


def test_what_nobody_tells_is_perhaps() -> None:
    """Modules, sockets, units and the kernel's taint have no author."""
    one = span(Snapshot(facts=(Fact("taint", "none"),)))
    after = Snapshot(
        modules=(Module("m"),),
        sockets=(Socket("tcp", "0.0.0.0:1", "5"),),
        units=(Unit("u.service"),),
        facts=(Fact("taint", "OE"),),
    )

    assert set(whose(one, after).values()) == {"perhaps"}
    assert len(whose(one, after)) == 4


def test_an_entrance_is_the_sessions_by_each_way_to_it() -> None:
    """What was written below another mount of the same file system is the same file."""
    etc = Mount("/etc", "ext4", "/dev/vda", "/data/etc", "rw", "8:1")
    one = span(Snapshot(mounts=(ROOT, etc)))
    after = Snapshot(mounts=(ROOT, etc), entrances=(Kept("/etc/crontab", "d", "0644 0:0"),))

    assert whose(one, after) == {"/etc/crontab": "perhaps"}
    one.tally.add(CREATE, "/data/etc/crontab")
    assert whose(one, after) == {"/etc/crontab": "session"}


def test_who_is_left_is_told_by_each_mark() -> None:
    """Audit session id and cgroup; orphans perhaps; what a unit or a parent looks after not."""
    left = (
        process(10, audit=7),
        process(11, cgroup="/x/session-1/y"),
        process(12),
        process(13, cgroup="/system.slice/a.service"),
        process(14, parent=13),
        process(15, started=50),
    )

    assert whose(span(Snapshot()), Snapshot(processes=left)) == {
        "10 p": "session",
        "11 p": "session",
        "12 p": "perhaps",
    }


def test_who_descends_from_an_entry_is_the_entrys() -> None:
    """Without a session it is descent from the sheltie that was started."""
    one = span(Snapshot(), EXEC)
    one.pids.add(20)
    left = (process(20, parent=2), process(21, parent=20), process(22, parent=3))

    assert whose(one, Snapshot(processes=left)) == {"20 p": "session", "21 p": "session"}


def test_a_kept_namespace_is_named_and_a_processes_own_is_not() -> None:
    """Only what a mount keeps outlives its processes."""
    one = span(Snapshot())
    one.points.add("/run/ns")
    after = Snapshot(namespaces=(Namespace("net", 1, "/run/ns"), Namespace("net", 2, "99")))

    assert whose(one, after) == {"net:[1]": "session"}


@pytest.mark.parametrize("name", ["root", "entered", "lost", "overflowed"])
def test_without_a_way_to_be_root_nothing_can_differ(name: str) -> None:
    """A session that never was root is not looked at; whatever leaves a doubt is a reason to."""
    one = span(Snapshot())
    assert not one.may_differ()
    setattr(one, name, 1)
    assert one.may_differ()


def test_still_there_or_not() -> None:
    """A change is a leftover for as long as things are as it left them."""
    now = Snapshot(sysctls=(Sysctl("a", "1"),), modules=(Module("m"),))

    assert still(Change("sysctl", "changed", "a", "0", "1"), now, {})
    assert not still(Change("sysctl", "changed", "a", "0", "2"), now, {})
    assert still(Change("module", "added", "m"), now, {})
    assert not still(Change("module", "removed", "m"), now, {})
    assert still(Change("file", "removed", "/x"), now, {"/x": None})
    assert not still(Change("file", "created", "/x"), now, {"/x": None})
