"""hostd's command line, as far as it is no daemon."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from contract.errors import NotFoundError
from host.__main__ import main

Calls = list[tuple[Any, ...]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand in for the runtime: note what it is asked for, and end with 7."""
    noted: Calls = []

    def exec_attached(
        state: Path, run: Path, name: str, argv: tuple[str, ...], *, tty: bool, user: str | None
    ) -> int:
        if name == "gone":
            raise NotFoundError("container 'gone' is not running", code="CONTAINER_NOT_RUNNING")
        noted.append((state, run, name, argv, tty, user))
        return 7

    runtime = ModuleType("host.runtime")
    runtime.exec_attached = exec_attached  # type: ignore[attr-defined]  # a module made up here
    monkeypatch.setitem(sys.modules, "host.runtime", runtime)
    return noted


def hostd(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run hostd with these words and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["hostd", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--state /s --run /r admin -- ls --tty", ("admin", ("ls", "--tty"), False, None)),
        (
            "--run /r --state /s control --tty --user ssm-user -- bash -l",
            ("control", ("bash", "-l"), True, "ssm-user"),
        ),
        ("--state /s --run /r x ls -l --user y", ("x", ("ls", "-l", "--user", "y"), False, None)),
    ],
)
def test_exec(
    monkeypatch: pytest.MonkeyPatch, calls: Calls, words: str, expected: tuple[Any, ...]
) -> None:
    """Words before the command are ours, the command's are its own, and its status is ours."""
    assert hostd(monkeypatch, "exec", *words.split()) == 7
    assert calls == [(Path("/s"), Path("/r"), *expected)]


def test_exec_refused(
    monkeypatch: pytest.MonkeyPatch, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is one line and its exit status."""
    assert hostd(monkeypatch, "exec", "gone", "true") == 4
    assert capsys.readouterr().err == (
        "hostd: container 'gone' is not running [CONTAINER_NOT_RUNNING]\n"
    )


@pytest.mark.parametrize(
    "words", ["nonsense", "serve --nope", "serve --runtime x", "exec", "exec --nope x", "exec a"]
)
def test_usage(
    monkeypatch: pytest.MonkeyPatch,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    """A wrong command line is exit status 2 and no traceback."""
    assert hostd(monkeypatch, *words.split()) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert calls == []
