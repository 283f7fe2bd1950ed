"""Settings as a nested document and as {dotted name: value}, and choosing among the latter."""

from collections.abc import Iterable, Mapping
from typing import Any

from host.store import key

__all__ = ["by_names", "by_prefix", "flatten", "nest"]

ROOT = "settings"


def flatten(document: Mapping[str, Any], root: str = ROOT) -> dict[str, Any]:
    """Return {dotted name: value} of a nested document; nulls are absent, lists are values."""
    flat: dict[str, Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((root,), document)]
    while waiting:
        segments, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(((*segments, name), part) for name, part in value.items())
        elif value is not None:
            flat[key.join(segments)] = value
    return dict(sorted(flat.items()))


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested document below the first segment of `flat`'s names.

    Raises UsageError (KEY_NAME_INVALID) when one name is another's parent.
    """
    document: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = key.split(name)[1:] or ("",)
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise key.invalid(f"'{name}' lies below a value")
        if not last or isinstance(place.get(last), dict):
            raise key.invalid(f"'{name}' is no value")
        place[last] = value
    return document


def by_names(flat: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the values of the names that are there; a group's name chooses nothing."""
    return {name: flat[name] for name in names if name in flat}


def by_prefix(flat: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the values whose full dotted names start with `prefix`, inside a segment too."""
    return {name: value for name, value in flat.items() if name.startswith(prefix)}
