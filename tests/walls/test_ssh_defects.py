"""Each class of defects of other SSH servers has its tests, and they are there."""

import ast
import re
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
PAGE = CLONE / "docs/ssh-defects.md"


def rows() -> list[list[str]]:
    """Return the tests that each row names."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    return [re.findall(r"`([\w/.]+\.py[\w:]*)`", line.rsplit(" | ", 1)[1]) for line in lines]


def has(reference: str) -> bool:
    """Whether a file has the class or function that `FILE::NAME…` names."""
    file, *names = reference.split("::")
    path = CLONE / (file if file.startswith("tests/") else f"tests/admin/ssh/{file}")
    if not path.is_file():
        return False
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for name in names:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [one for one in body if isinstance(one, kinds) and one.name == name]
        if not found:
            return False
        body = found[0].body
    return True


def test_every_row_names_tests_that_exist() -> None:
    """A renamed test is noticed here."""
    named = rows()

    assert len(named) >= 19
    assert all(named)
    assert [one for row in named for one in row if not has(one)] == []


def test_the_look_can_fail() -> None:
    """A test that is not there is missed."""
    assert has("test_defects.py::TestNames")
    assert not has("test_defects.py::TestNothing")
    assert not has("test_nothing.py")
