"""docs/errors.md, written from the sources: each stable code with its message and the next step.

`python -I -m dev.errors` prints it; a test compares the file with what this prints.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract import errors
from dev.site import CLONE

__all__ = ["codes", "page"]

ROOMS = ("contract", "host", "admin", "control", "dev")
HEAD = """# Error codes

An error is one line on stderr, `COMMAND: MESSAGE; NEXT STEP [CODE]`, and an exit status that is not 0.
Codes are stable; messages may change. This page is made from the sources (`make docs`), and a test compares.

| exit status | means |
|---|---|
{statuses}
| 130 | interrupted |

| code | message | next step | said by |
|---|---|---|---|
{rows}
"""  # noqa: E501  the page's own lines


@dataclass(frozen=True, order=True)
class Said:
    """One place that raises or reports a code."""

    code: str
    message: str
    hint: str
    room: str


def codes() -> list[Said]:
    """Return every place in the rooms that names a code, sorted."""
    found = set()
    for room in ROOMS:
        for path in sorted((CLONE / room).rglob("*.py")):
            found |= set(_in_module(ast.parse(path.read_text()), room))
    return sorted(found)


def page() -> str:
    """Return the whole page."""
    grouped = defaultdict(list)
    for said in codes():
        grouped[said.code].append(said)
    rows = []
    for code, places in grouped.items():
        messages = "<br>".join(dict.fromkeys(one.message for one in places if one.message))
        hints = "<br>".join(dict.fromkeys(one.hint for one in places if one.hint))
        rooms = ", ".join(dict.fromkeys(one.room for one in places))
        rows.append(f"| `{code}` | {messages} | {hints} | {rooms} |")
    return HEAD.format(statuses="\n".join(_statuses()), rows="\n".join(rows))


def _statuses() -> Iterator[str]:
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "SheltieError"]
    for kind in sorted(kinds, key=lambda kind: int(kind.exit_status)):
        first = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
        yield f"| {kind.exit_status} | {first} |"


def _in_module(tree: ast.Module, room: str) -> Iterator[Said]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = {word.arg: word.value for word in node.keywords}
            code = _text(words.get("code"))
            if re.fullmatch(r"[A-Z][A-Z0-9_]+", code):
                message = _text(node.args[0]) if node.args else ""
                yield Said(code, message, _text(words.get("hint")), room)
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                kind = _kind(statement)
                if kind:
                    first = (ast.get_docstring(node) or "").splitlines()[0]
                    yield Said(kind, first.rstrip("."), "", room)


def _kind(statement: ast.stmt) -> str:
    """Return the value of `kind = "CODE"` in a class of errors."""
    match statement:
        case ast.Assign(targets=[ast.Name(id="kind")], value=value):
            return _text(value)
        case ast.AnnAssign(target=ast.Name(id="kind"), value=value):
            return _text(value)
    return ""


def _text(node: ast.expr | None) -> str:
    """Return a literal's text; what is filled in at run time stands in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return _cell(text)
        case ast.JoinedStr(values=parts):
            return _cell("".join(_part(part) for part in parts))
        case ast.IfExp(body=body, orelse=other):
            return " / ".join(filter(None, (_text(body), _text(other))))
    return ""


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    names = [
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(value)
        if isinstance(node, ast.Attribute | ast.Name)
    ]
    return f"⟨{names[0].strip('_').lower()}⟩" if names else "⟨…⟩"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        Path(CLONE / "docs/errors.md").write_text(page())
    else:
        sys.stdout.write(page())
