"""The last lines of a log that may have turned."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import NotFoundError
from host.logs import follow

texts = st.lists(st.text(alphabet="ab ", max_size=40), max_size=30)


def write(path: Path, lines: list[str]) -> None:
    """Write lines."""
    path.write_text("".join(f"{line}\n" for line in lines))


async def tail(path: Path, count: int) -> list[bytes]:
    """Return the last lines."""
    parts = [data async for data in follow.lines(path, count, wait=False)]
    return b"".join(parts).splitlines(keepends=True)


@given(texts, texts, st.integers(0, 70))
async def test_the_last_lines_go_over_a_turn(before: list[str], now: list[str], count: int) -> None:
    """What the file has too few of is taken from the part before the turn, in order."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        write(path.with_name("log.1"), before)
        write(path, now)
        every = [f"{line}\n".encode() for line in (*before, *now)]

        assert await tail(path, count) == (every[-count:] if count else [])


async def test_a_log_that_never_turned(tmp_path: Path) -> None:
    """Fewer lines than asked for are all there are, also without the newline of the last."""
    path = tmp_path / "log"
    write(path, ["one", "two"])
    path.write_bytes(path.read_bytes()[:-1])

    assert await tail(path, 10) == [b"one\n", b"two"]
    assert await tail(path, 1) == [b"two"]


def test_no_log_is_said(tmp_path: Path) -> None:
    """A container that has written nothing is named."""
    with pytest.raises(NotFoundError, match="'admin' has written no log"):
        follow.check(tmp_path / "log", "admin")
