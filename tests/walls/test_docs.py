"""What the docs promise to list, they list: error codes, make targets, tests."""

import ast
import re
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
ROOMS = ("contract", "host", "admin", "control", "dev")


def codes() -> set[str]:
    """Return every error code that the rooms' sources name: `code="X"` and `kind = "X"`."""
    found = set()
    for room in ROOMS:
        for path in (CLONE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.keyword(arg="code", value=value):
                        found.add(literal(value))
                    case ast.Assign(targets=[ast.Name(id="kind")], value=value):
                        found.add(literal(value))
                    case ast.AnnAssign(target=ast.Name(id="kind"), value=value):
                        found.add(literal(value))
    return {code for code in found if re.fullmatch(r"[A-Z][A-Z0-9_]+", code)}


def literal(node: ast.expr | None) -> str:
    """Return the string that a literal node holds, or nothing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_error_code_is_documented() -> None:
    """docs/errors.md lists exactly the codes that the sources use."""
    text = (CLONE / "docs/errors.md").read_text()
    listed = re.findall(r"^\| `([A-Z0-9_]+)` \|", text, re.MULTILINE)

    assert sorted(codes()) == sorted(listed)


def test_every_make_target_is_explained() -> None:
    """Each phony target but the internal ones says in `make help` what it does."""
    text = (CLONE / "Makefile").read_text()
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
