"""The words behind `hostd exec NAME`."""

import pytest

from contract.errors import UsageError
from host.execline import ExecLine, parse


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ls -l", ExecLine(("ls", "-l"))),
        ("-- ls --tty", ExecLine(("ls", "--tty"))),
        ("--tty --user ops -- sh -c x", ExecLine(("sh", "-c", "x"), tty=True, user="ops")),
        ("-t -u 0 id", ExecLine(("id",), tty=True, user="0")),
        ("--user=ops -- -x", ExecLine(("-x",), user="ops")),
        ("sh -- -x", ExecLine(("sh", "--", "-x"))),
    ],
)
def test_parse(words: str, expected: ExecLine) -> None:
    """Our options come first; the command's own are its own."""
    assert parse(words.split()) == expected


@pytest.mark.parametrize("words", ["", "--", "--tty", "--nope x", "--user"])
def test_bad(words: str) -> None:
    """An unknown option or no command is an error of one line."""
    with pytest.raises(UsageError):
        parse(words.split())
