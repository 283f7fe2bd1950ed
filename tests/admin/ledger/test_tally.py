"""What a session did to files, summed up, agrees with the files: against a played file system."""

import stat
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from admin.ledger.fanotify import ATTRIB, CLOSE_WRITE, CREATE, DELETE, MODIFY, RENAME
from admin.ledger.tally import DOUBTS_MAX, PATHS_MAX, File, Tally

NAMES = ("/a", "/b", "/c", "/d")
PLAIN = File(stat.S_IFREG | 0o644, 0, 0, 100.0)
Step = tuple[str, str, str]


def named(tally: Tally, found: Mapping[str, File | None], began: float = 50.0) -> dict[str, str]:
    """Return what is said of each file."""
    return {one.name: one.what for one in tally.changes(found, began) if one.table == "file"}


@settings(max_examples=300)
@given(
    st.sets(st.sampled_from(NAMES)),
    st.lists(
        st.tuples(
            st.sampled_from(["create", "write", "remove", "rename"]),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
        ),
        max_size=12,
    ),
)
def test_whatever_happens_the_end_is_told(before: set[str], steps: list[Step]) -> None:
    """Every name whose file is another or has other contents than before is named; others not."""
    files = {name: (name, 0) for name in before}  # which file it is, and how often it was written
    tally, fresh = Tally(), 0
    for what, name, to in steps:
        if what == "create" and name not in files:
            fresh += 1
            files[name] = (f"new {fresh}", 0)
            tally.add(CREATE, name)
        elif what == "write" and name in files:
            files[name] = (files[name][0], files[name][1] + 1)
            tally.add(MODIFY | CLOSE_WRITE, name)
        elif what == "remove" and name in files:
            del files[name]
            tally.add(DELETE, name)
        elif what == "rename" and name in files and name != to:
            taken = to in files
            files[to] = files.pop(name)
            tally.add(RENAME, name, to)
            if taken:
                tally.replaced(to)
    found = {name: PLAIN if name in files else None for name in NAMES}
    said = {one.name: one for one in tally.changes(found, 50.0)}
    places = {one.after for one in said.values() if one.what == "renamed"}

    for name in NAMES:
        was, now = (name, 0) if name in before else None, files.get(name)
        if was == now:
            assert name not in said, said
        elif now is None:
            assert said[name].what == ("renamed" if said[name].after else "removed"), said
        elif was is None:
            assert name in places or said[name].what in ("created", "put in place"), said
        else:
            assert name in places or said[name].what == "changed", said


def test_a_file_that_came_and_went_is_nothing() -> None:
    """Whatever was written to it meanwhile."""
    tally = Tally()
    for mask in (CREATE, MODIFY, CLOSE_WRITE, ATTRIB, DELETE, ATTRIB):
        tally.add(mask, "/a")

    assert named(tally, {"/a": None}) == {}


def test_opened_for_writing_is_no_change() -> None:
    """Unless its times say that something was stored."""
    tally = Tally()
    tally.add(CLOSE_WRITE, "/a")

    assert named(tally, {"/a": PLAIN}, began=200.0) == {}
    assert named(tally, {"/a": PLAIN}, began=50.0) == {"/a": "changed"}


def test_what_is_in_a_new_directory_is_counted() -> None:
    """One line for a tree, but one more for each setuid file in it."""
    tally = Tally()
    for path in ("/t", "/t/u", "/t/u/v", "/t/s"):
        tally.add(CREATE, path)
    found: dict[str, File | None] = dict.fromkeys(["/t", "/t/u", "/t/u/v"], PLAIN)
    found["/t/s"] = File(stat.S_IFREG | 0o4755, 0, 0, 100.0)

    lines = [one.line() for one in tally.changes(found, 50.0)]
    assert lines == [
        "file created: /t (-rw-r--r-- 0:0, and 3 things in it)",
        "setuid added: /t/s (-rwsr-xr-x 0:0)",
    ]


def test_devices_are_not_files() -> None:
    """Writing to a terminal or to /dev/null changes nothing; to a disk it does."""
    tally = Tally()
    tally.add(MODIFY, "/null")
    tally.add(MODIFY, "/disk")
    found = {
        "/null": File(stat.S_IFCHR | 0o666, 0, 0, 100.0),
        "/disk": File(stat.S_IFBLK | 0o660, 0, 6, 100.0),
    }

    assert named(tally, found) == {"/disk": "device written"}


def test_a_renamed_directory_takes_its_files_along() -> None:
    """What was written in it is told of by its new name."""
    tally = Tally()
    tally.add(MODIFY, "/d/x")
    tally.add(RENAME, "/d", "/e")

    assert named(tally, {"/d": None, "/e": PLAIN, "/e/x": PLAIN}) == {
        "/d": "renamed",
        "/e/x": "changed",
    }


def test_doubt_ends_when_it_is_known() -> None:
    """A path is the session's once one event is; and of doubtful ones only a few are kept."""
    tally = Tally()
    tally.add(CREATE, "/a", doubt=True)
    tally.add(CREATE, "/b", doubt=True)
    tally.add(MODIFY, "/a")
    for number in range(2 * DOUBTS_MAX):
        tally.add(CREATE, f"/x{number}", doubt=True)

    whose = {one.name: one.whose for one in tally.changes(dict.fromkeys(["/a", "/b"], PLAIN), 0)}
    assert whose == {"/a": "session", "/b": "perhaps"}
    assert len(tally.paths()) == DOUBTS_MAX
    assert tally.touched() == ["/a"]


def test_it_is_bounded() -> None:
    """Of what finds no room the number is kept."""
    tally = Tally()
    for number in range(PATHS_MAX + 7):
        tally.add(CREATE, f"/{number}")

    assert (len(tally.paths()), tally.more) == (PATHS_MAX, 7)
