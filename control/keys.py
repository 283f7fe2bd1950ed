"""Public keys from the command line: a line, a file, or standard input."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from contract import keyline
from contract.durable import read_file
from contract.errors import SheltieError, UsageError
from contract.keyline import KeyLine

__all__ = ["gather"]

FILE_MAX: Final = 1 << 20
"""Largest file or input of keys in bytes."""
PASTE: Final = (
    "paste the key line itself, or pipe it: `ssh-add -L | … enable-admin-container --key -`"
)


def gather(words: Iterable[str], read_stdin: Callable[[int], bytes]) -> tuple[KeyLine, ...]:
    """Return the keys that `words` name, each once, in their order.

    `read_stdin` gets the most bytes to read. Raises UsageError (KEY_UNUSABLE, KEY_FILE_MISSING).
    """
    found: dict[bytes, KeyLine] = {}
    for word in words:
        for where, line in _lines(word, read_stdin):
            try:
                key = keyline.parse_plain(line)
            except UsageError as error:
                raise UsageError(
                    f"{where}: {error.message}", hint=error.hint, code=error.code
                ) from error
            found.setdefault(key.blob, key)
    return tuple(found.values())


def _lines(word: str, read_stdin: Callable[[int], bytes]) -> Iterator[tuple[str, str]]:
    """Yield each line with the words that name its place."""
    text = word.strip()
    if text == "-":
        yield from _split("standard input", read_stdin(FILE_MAX + 1))
    elif _is_line(text):
        yield from _split("--key", text.encode("utf-8", "surrogateescape"))
    else:
        yield from _split(text, _read(Path(text)))


def _is_line(text: str) -> bool:
    """Whether this is meant as a key rather than as a path."""
    return "\n" in text or any(f"{kind} " in f"{text} " for kind in keyline.KEY_TYPES)


def _read(path: Path) -> bytes:
    try:
        return read_file(path, FILE_MAX)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"there is no key file {str(path)[:80]!r} in this container",
            hint=f"your files are not here: {PASTE}",
            code="KEY_FILE_MISSING",
        ) from error
    except SheltieError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot read key file {str(path)[:80]!r}: {why}", hint=PASTE, code="KEY_FILE_MISSING"
        ) from error


def _split(where: str, data: bytes) -> Iterator[tuple[str, str]]:
    if len(data) > FILE_MAX:
        raise UsageError(f"{where} holds more than {FILE_MAX} bytes", code="FILE_TOO_LARGE")
    if b"PRIVATE KEY" in data:
        raise UsageError(
            f"{where}: unusable key: this is a private key",
            hint="hand over the .pub file beside it, and keep this one to yourself",
            code="KEY_UNUSABLE",
        )
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    wanted = [(number, line) for number, line in enumerate(lines, 1) if _holds_key(line)]
    if not wanted:
        raise UsageError(f"{where} holds no key", hint=PASTE, code="KEY_UNUSABLE")
    for number, line in wanted:
        yield (f"{where}, line {number}" if len(lines) > 1 else where), line


def _holds_key(line: str) -> bool:
    return bool(line) and not line.startswith("#")
