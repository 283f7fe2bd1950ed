"""What the docs promise to list, they list: error codes, make targets, tests."""

import re
from pathlib import Path

from dev import errors

CLONE = Path(__file__).resolve().parents[2]


def test_every_error_code_is_documented() -> None:
    """docs/errors.md is what the sources make of it: `make docs` writes it."""
    assert (CLONE / "docs/errors.md").read_text() == errors.page()
    assert len({said.code for said in errors.codes()}) > 50


def test_every_make_target_is_explained() -> None:
    """Each phony target but the internal ones says in `make help` what it does."""
    text = (CLONE / "Makefile").read_text().replace("\\\n", " ")
    match = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert match is not None
    explained = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE))

    assert set(match[1].split()) == explained


def test_the_threat_model_names_tests_that_exist() -> None:
    """Each test file that a `prevented` names is there, and each test function in it."""
    text = (CLONE / "docs/threat-model.md").read_text()
    named = re.findall(r"`(tests/[\w/.-]+)(?:::(\w+))?`", text)

    assert named
    for path, function in named:
        assert (CLONE / path).exists(), path
        assert not function or f"def {function}(" in (CLONE / path).read_text(), function
