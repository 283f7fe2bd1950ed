"""Admin's audit: one chain, whoever writes, whatever the medium does."""

import subprocess
import sys
from pathlib import Path

import pytest

from admin import audit
from contract.audit import check
from contract.errors import MachineError
from contract.event import Login, SessionEnded, SessionStarted

LOGIN = Login("op", "192.0.2.1:1", "SHA256:x", "look")
WRITER = """
import sys
from pathlib import Path
from admin import audit
from contract.event import Login, SessionStarted
for number in range(20):
    one = SessionStarted(f"{sys.argv[2]}-{number}", Login("op", "", "", "root"))
    audit.note(one, Path(sys.argv[1]))
"""


def codes(directory: Path) -> list[str]:
    """Return the codes of the events; the chain must be whole."""
    assert check.check(directory).faults == ()
    return [type(entry.event).__struct_config__.tag for _, entry in check.entries(directory)]  # type: ignore[misc]


def test_what_is_noted_is_there(tmp_path: Path) -> None:
    """Events come in order, in files that nobody else reads."""
    place = tmp_path / "sheltie/audit"
    audit.note(SessionStarted("a", LOGIN), place)
    audit.note(SessionEnded("a", LOGIN), place)
    audit.check(place)

    assert codes(place) == ["session.started", "session.ended"]
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    assert place.stat().st_mode & 0o777 == 0o700


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    """Nobody's event is lost, and none breaks the chain."""
    argv = [sys.executable, "-I", "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*argv, str(number)]) for number in range(4)]
    assert [one.wait(60) for one in writers] == [0] * 4
    assert codes(tmp_path) == ["session.started"] * 80


def test_a_torn_line_is_told_and_written_over(tmp_path: Path) -> None:
    """After a power cut the chain goes on behind its last whole line."""
    audit.note(SessionStarted("a", LOGIN), tmp_path)
    (segment,) = tmp_path.glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"hash":"12')
    audit.note(SessionEnded("a", LOGIN), tmp_path)
    assert codes(tmp_path) == ["session.started", "session.ended", "audit.repaired"]


def test_it_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes when there is too much, and the chain tells of it."""
    monkeypatch.setattr(audit, "SEGMENT_MAX", 1000)
    monkeypatch.setattr(audit, "KEPT", 3)
    for number in range(30):
        audit.note(SessionStarted(str(number), LOGIN), tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) <= 4
    assert "audit.dropped" in codes(tmp_path)


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file in the way is one sentence with a code, before and at the writing."""
    (tmp_path / "audit").touch()
    for write in (audit.check, lambda place: audit.note(SessionStarted("a", LOGIN), place)):
        with pytest.raises(MachineError) as caught:
            write(tmp_path / "audit")
        assert caught.value.code == "AUDIT_UNWRITABLE"
    (tmp_path / audit.LOCK).symlink_to("/etc/passwd")
    with pytest.raises(MachineError):
        audit.check(tmp_path)
