"""The `sheltie` section of admin's user-data, for wishes that bear on each run."""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms

from contract import places

__all__ = ["section"]

LIMIT = 1 << 20


def section(word: bytes, path: str = places.USER_DATA) -> dict[str, object]:
    """Return the section, with dashes in its keys; empty where `word` is in none of them.

    Raises OSError where there is a file that cannot be read, ValueError where it is not JSON.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor
        raw = file.read(LIMIT)
    # Without the 4 ms that json costs, unless a key may be there: a letter may be written \\uXXXX.
    if word not in raw and b"\\" not in raw:
        return {}
    import json

    try:
        document = json.loads(raw)
    except RecursionError as error:
        raise ValueError("too deep") from error
    found = document.get("sheltie") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        return {}
    return {str(key).replace("_", "-"): value for key, value in found.items()}
