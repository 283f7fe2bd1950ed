"""The declarations that admin brings with it, each in a file of its own."""

from pathlib import Path

from admin.act.declare import Action, read
from contract.errors import NotFoundError

__all__ = ["find", "names"]

ACTIONS = Path(__file__).parent / "actions"


def names(directory: Path = ACTIONS) -> list[str]:
    """Return the names of all actions."""
    return sorted(path.stem for path in directory.glob("*.toml"))


def find(name: str, directory: Path = ACTIONS) -> Action:
    """Return an action. Raises NotFoundError (NO_ACTION), UsageError (ACT_DECLARATION)."""
    if name not in names(directory):
        raise NotFoundError(
            f"there is no action {name[:40]!r}", hint="see sheltie act --list", code="NO_ACTION"
        )
    path = directory / f"{name}.toml"
    return read(path.read_bytes(), path.name)
