"""What the control container does once at its start, as root, before it waits to be entered."""

from pathlib import Path
from typing import Final

from contract.durable import read_file
from contract.errors import SheltieError
from contract.userdata import LIMIT, decode
from control import remembered

__all__ = ["boot"]

NO_AGENT: Final = (
    "user-data asks for ssm, and this release brings no agent: enter by `apiclient exec control`"
    " on the host, or by a console"
)


def boot(persistent: Path) -> tuple[str, ...]:
    """Prepare `persistent` and return a sentence for each thing that somebody should know.

    Never raises for what is wrong with the container's own files: it stays up and says so.
    """
    said: list[str] = []
    try:
        remembered.prepare(persistent)
    except SheltieError as error:
        said.append(error.line())
    try:
        raw = read_file(persistent / "user-data", LIMIT)
    except FileNotFoundError:
        return tuple(said)
    except (OSError, SheltieError) as error:
        return (*said, f"user-data cannot be read: {error}")
    if raw.strip():
        data, problems = decode(raw)
        said.extend(problem.removesuffix(": nobody can log in") for problem in problems)
        if data.has_ssm:
            said.append(NO_AGENT)
    return tuple(said)
