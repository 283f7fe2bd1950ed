"""The audit's files: rotation, repair, damage, and what an offline check makes of them."""

import os
import stat
from pathlib import Path

import pytest

from contract.audit import check
from contract.audit.segments import Segments, in_order
from contract.chain import Head
from contract.errors import NotFoundError
from contract.event import AuditDamaged, AuditDropped, AuditRepaired, DaemonEnded, DaemonStarted
from host.audit.trail import Trail


def opened(directory: Path, segment_max: int = 1000, kept: int = 50) -> Trail:
    """Return a started audit of small segments."""
    trail = Trail(Segments(directory, segment_max, kept))
    trail.start()
    return trail


def filled(directory: Path, count: int = 30, segment_max: int = 1000, kept: int = 50) -> Trail:
    """Return an audit of some events."""
    trail = opened(directory, segment_max, kept)
    for number in range(count):
        assert trail.note(DaemonEnded(f"event {number}"))
    return trail


def events(directory: Path) -> list[object]:
    """Return every event that can be read."""
    return [entry.event for _, entry in check.entries(directory)]


def test_one_chain_through_all_segments(tmp_path: Path) -> None:
    """Segments follow one another, each named after its first record, none larger than told."""
    trail = filled(tmp_path / "a")
    names = in_order(tmp_path / "a")
    report = check.check(tmp_path / "a", witness=Head.parse(trail.status().head))

    assert len(names) > 5
    assert (report.segments, report.first, report.head.seq) == (len(names), 1, 30)
    assert report.faults == ()
    for name in names:
        found = (tmp_path / "a" / name).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_size <= 1000) == (0o600, True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_goes_on(tmp_path: Path) -> None:
    """The next daemon goes on where the last one ended, and knows its settings' number."""
    filled(tmp_path, 5).note(DaemonStarted("1", 1, "none", 12))
    trail = Trail(Segments(tmp_path, 1000))

    assert trail.start() == 12
    assert trail.note(DaemonEnded("x")) == 7
    assert check.check(tmp_path).faults == ()


@pytest.mark.parametrize("torn", [b'{"hash":"00', b"\0" * 100, b"x"])
def test_torn_last_line(tmp_path: Path, torn: bytes) -> None:
    """What a power cut left of a line is cut off, loudly."""
    filled(tmp_path, 2)
    path = tmp_path / in_order(tmp_path)[-1]
    with path.open("ab") as file:
        file.write(torn)
    assert check.check(tmp_path).faults
    trail = opened(tmp_path)
    trail.note(DaemonEnded("x"))

    repaired = events(tmp_path)[2]
    assert isinstance(repaired, AuditRepaired)
    assert (repaired.segment, repaired.size) == (path.name, len(torn))
    assert check.check(tmp_path).faults == ()


def test_damage_is_left_and_told(tmp_path: Path) -> None:
    """A segment that is not as written stays as evidence; the chain goes on in a new one."""
    filled(tmp_path, 3)
    path = tmp_path / in_order(tmp_path)[-1]
    bent = path.read_bytes().replace(b"event 1", b"event X")
    path.write_bytes(bent)
    opened(tmp_path).note(DaemonEnded("x"))

    assert path.read_bytes() == bent
    assert any(isinstance(event, AuditDamaged) for event in events(tmp_path))
    faults = check.check(tmp_path).faults
    assert any("its hash does not fit" in fault for fault in faults)
    assert all(fault.startswith(path.name) for fault in faults)


@pytest.mark.parametrize("harm", ["removed", "cut", "grown", "directory"])
def test_damage_while_running(tmp_path: Path, harm: str) -> None:
    """What is done to the file under the daemon's hands is told, and writing goes on."""
    directory = tmp_path / "a"
    trail = filled(directory, 2)
    path = directory / in_order(directory)[-1]
    if harm == "removed":
        path.unlink()
    elif harm == "cut":
        os.truncate(path, 10)
    elif harm == "grown":
        with path.open("ab") as file:
            file.write(b"x")
    else:
        path.unlink()
        directory.rmdir()
    trail.note(DaemonEnded("x"))
    trail.note(DaemonEnded("y"))

    assert any(isinstance(event, AuditDamaged) for event in events(directory))
    assert events(directory)[-1] == DaemonEnded("y")
    assert not trail.problems
    assert check.check(directory, Head(2, "0" * 64)).faults


def test_the_oldest_goes_and_the_chain_tells(tmp_path: Path) -> None:
    """With too many segments the oldest goes; its end is a record, so the gap is explained."""
    filled(tmp_path, 60, kept=4)
    report = check.check(tmp_path)

    assert (report.segments, report.faults) == (4, ())
    assert report.first > 1
    assert any(isinstance(event, AuditDropped) for event in events(tmp_path))


def test_a_beginning_that_somebody_removed(tmp_path: Path) -> None:
    """Segments that no record dropped are missed."""
    filled(tmp_path, 30)
    (tmp_path / in_order(tmp_path)[0]).unlink()

    (fault,) = check.check(tmp_path).faults
    assert "are missing, and no record tells why" in fault


@pytest.mark.parametrize("which", [1, -1])
def test_missing_segments(tmp_path: Path, which: int) -> None:
    """A segment missing in the middle is seen by itself, one at the end by a witness."""
    witness = Head.parse(filled(tmp_path, 30).status().head)
    (tmp_path / in_order(tmp_path)[which]).unlink()

    assert check.check(tmp_path, witness).faults
    assert bool(check.check(tmp_path).faults) == (which == 1)


def test_renamed_segments(tmp_path: Path) -> None:
    """Segments in another order are seen."""
    filled(tmp_path, 30)
    first, second = (tmp_path / name for name in in_order(tmp_path)[1:3])
    first.rename(tmp_path / "x")
    second.rename(first)
    (tmp_path / "x").rename(second)

    assert check.check(tmp_path).faults


def test_no_audit(tmp_path: Path) -> None:
    """A directory without segments is named."""
    with pytest.raises(NotFoundError, match="no audit in"):
        check.check(tmp_path)
    with pytest.raises(NotFoundError):
        check.check(tmp_path / "nothing")


def test_lines_from_a_number(tmp_path: Path) -> None:
    """Reading begins at any record, whatever segment holds it."""
    filled(tmp_path, 30)
    segments = Segments(tmp_path, 1000)

    for since in (0, 1, 7, 29, 30, 99):
        assert [seq for seq, _ in segments.lines(since)] == list(range(since + 1, 31))
