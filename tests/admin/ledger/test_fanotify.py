"""Events as the kernel writes them: from bytes, and from a file system of our own."""

import contextlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.ledger import fanotify
from admin.ledger.fanotify import Event, Handle

HANDLES = st.builds(
    Handle,
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
    st.binary(min_size=4, max_size=16).map(lambda one: one[: len(one) // 4 * 4]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)
EVENTS = st.builds(
    Event,
    st.sampled_from([fanotify.CREATE, fanotify.RENAME | fanotify.ONDIR, fanotify.OVERFLOW]),
    st.integers(0, 4194304),
    st.integers(-2, 100),
    st.integers(-1, 100),
    st.none() | HANDLES,
    st.none() | HANDLES,
    st.none() | HANDLES.map(lambda one: Handle(one.fsid, one.kind, one.handle)),
)


def packed(event: Event) -> bytes:
    """Return an event as the kernel would write it."""
    infos = struct.pack("=BBHi", 4, 0, 8, event.pidfd)
    for kind, handle in ((10, event.place), (12, event.to), (1, event.target)):
        if handle is not None:
            body = struct.pack("=QIi", handle.fsid, len(handle.handle), handle.kind)
            body += handle.handle + (handle.name.encode() + b"\0" if kind != 1 else b"")
            body += b"\0" * (-len(body) % 4)
            infos += struct.pack("=BBH", kind, 0, 4 + len(body)) + body
    head = struct.pack("=IBBHQii", 24 + len(infos), 3, 0, 24, event.mask, event.fd, event.pid)
    return head + infos


@given(st.lists(EVENTS, max_size=5))
def test_events_are_read_as_they_were_written(events: list[Event]) -> None:
    """Any number of them, with any records behind each."""
    assert list(fanotify.parse(b"".join(map(packed, events)))) == events


@given(EVENTS, st.integers(4, 255))
def test_another_version_is_refused(event: Event, version: int) -> None:
    """What is not known is not guessed."""
    data = bytearray(packed(event))
    data[4] = version
    with pytest.raises(ValueError, match="version"):
        list(fanotify.parse(bytes(data)))


@given(EVENTS, st.data())
def test_broken_lengths_are_refused(event: Event, data: st.DataObject) -> None:
    """Lengths that lead out of the buffer never read beyond it."""
    broken = bytearray(packed(event))
    place = data.draw(st.sampled_from([0, 6, 26]))
    broken[place : place + 2] = data.draw(st.binary(min_size=2, max_size=2))
    with contextlib.suppress(ValueError, struct.error):
        list(fanotify.parse(bytes(broken)))


@pytest.mark.privileged
def test_the_kernel_speaks_as_we_read(tmp_path: Path) -> None:
    """A file that is made in a marked directory is told of, by name and pid."""
    if os.geteuid():
        pytest.skip("needs root")
    group = fanotify.plain_group()
    try:
        fanotify.mark_directory(group, str(tmp_path))
        (tmp_path / "one").write_text("x")
        assert fanotify.waiting(group) == 1
        (event,) = fanotify.parse(os.read(group, 4096))
        assert event.pid == os.getpid()
        assert Path(f"/proc/self/fd/{event.fd}").readlink() == tmp_path / "one"
        for descriptor in (event.fd, event.pidfd):
            os.close(descriptor)
    finally:
        os.close(group)
