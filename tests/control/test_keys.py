"""Keys from the command line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import SheltieError, UsageError
from control.keys import FILE_MAX, gather
from tests.contract.fakehost import key_line


def nothing(_size: int) -> bytes:
    """Stand for a standard input that nobody may read."""
    raise AssertionError("standard input was read")


def test_a_file_holds_many_keys(tmp_path: Path) -> None:
    """Comments and blank lines are skipped; each key comes once, in order."""
    path = tmp_path / "keys"
    path.write_text(f"# mine\n{key_line(1)}\n\n{key_line(2)}\n{key_line(1, 'again')}\n")

    assert [key.comment for key in gather([str(path)], nothing)] == ["k1", "k2"]


def test_a_bad_line_is_named_by_its_place(tmp_path: Path) -> None:
    """The line's number is said; the line itself is not repeated."""
    path = tmp_path / "keys"
    path.write_text(f"{key_line(1)}\nssh-ed25519 SECRETSECRET\n")

    with pytest.raises(UsageError) as caught:
        gather([str(path)], nothing)
    assert "line 2" in caught.value.message
    assert "SECRET" not in caught.value.line()


def test_too_much_input_is_refused_before_it_is_read() -> None:
    """No more than the limit and a byte is ever asked for."""
    asked = []

    def read(size: int) -> bytes:
        asked.append(size)
        return b"x" * size

    with pytest.raises(UsageError, match="holds more than"):
        gather(["-"], read)
    assert asked == [FILE_MAX + 1]


@given(st.text(max_size=200))
def test_any_word_is_a_key_or_an_error(word: str) -> None:
    """Whatever is typed, it ends in keys or in one of our errors."""
    try:
        keys = len(gather([word], lambda _size: b""))
    except SheltieError as error:
        keys = 1 - error.line().count("\n")
    assert keys > 0
