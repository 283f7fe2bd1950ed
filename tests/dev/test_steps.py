"""The steps of a long job as people see them."""

import io

import pytest

from dev.steps import Steps


def test_a_step_says_ok_with_its_note() -> None:
    """A step that ends well is one line with its time and what it had to say."""
    stream = io.StringIO()
    with Steps(stream).step("do it") as note:
        note.text = "done twice"

    line = stream.getvalue()
    assert line.startswith("  ok ")
    assert line.endswith("do it: done twice\n")


def test_a_step_that_fails_says_so_and_the_error_goes_on() -> None:
    """The line says FAILED, and the error reaches the caller."""
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Steps(stream).step("do it"):
        raise ValueError("no")

    assert "FAILED" in stream.getvalue()


def test_a_long_step_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes longer than people's patience says what it is doing."""
    import threading

    from dev import steps

    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.01)
    said = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "unpacking" in text:
                said.set()
            return super().write(text)

    with Steps(Stream()).step("build") as note:
        note.update("unpacking")
        assert said.wait(10)
