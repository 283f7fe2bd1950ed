"""A declaration: TOML, parsed strictly; what is not understood in it makes it no action at all."""

import re
import tomllib
from typing import Annotated, Final, Literal

import msgspec

from admin.act import values
from contract.errors import SheltieError, UsageError

__all__ = ["SIZE_MAX", "Action", "Item", "Parameter", "Way", "placeholders", "read"]

SIZE_MAX: Final = 64 << 10
"""Largest declaration in bytes."""

_Text = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,200}\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
_Program = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9._-]{0,63}\Z")]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,500}\Z")]
_Words = Annotated[list[_Word], msgspec.Meta(min_length=1, max_length=50)]
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that whoever acts chooses. Without `default` it must be given."""

    name: _Name
    kind: Literal["unit", "container", "pid", "size", "number", "choice"]
    help: _Text
    default: str | None = None
    choices: Annotated[tuple[str, ...], msgspec.Meta(max_length=50)] = ()


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an action is done by one program of the host's.

    The way is open where `when`, words of the program that change nothing, end with 0. Then `steps`
    are run in order, until one fails.
    """

    program: _Program
    when: _Words
    steps: Annotated[list[_Words], msgspec.Meta(min_length=1, max_length=10)]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a bundle: what a `report` tells, or what a command prints in a `look`."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
    report: list[_Word] = []
    look: list[_Word] = []


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one file declares: exactly one of `way`, `signal` and `collect`.

    With `take` = `first` the first open way is taken, with `each` every one. `signal` names the
    parameters of a signal and of the process that gets it. `seconds` bounds each command.
    """

    title: _Text
    parameter: Annotated[list[Parameter], msgspec.Meta(max_length=10)] = []
    way: Annotated[list[Way], msgspec.Meta(max_length=10)] = []
    take: Literal["first", "each"] = "first"
    signal: tuple[str, str] | None = None
    collect: Annotated[list[Item], msgspec.Meta(max_length=100)] = []
    seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = 60


def read(text: bytes, where: str) -> Action:
    """Return the action that `text` declares. Raises UsageError (ACT_DECLARATION)."""
    if len(text) > SIZE_MAX:
        raise _wrong(where, f"it is larger than {SIZE_MAX} bytes")
    try:
        found = msgspec.convert(tomllib.loads(text.decode()), Action)
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8 and msgspec alike
        raise _wrong(where, str(error)) from error
    for why in _faults(found):
        raise _wrong(where, why)
    return found


def placeholders(words: list[str]) -> list[str]:
    """Return the names in braces."""
    return [name for word in words for name in _PLACEHOLDER.findall(word)]


def _faults(action: Action) -> list[str]:
    names = [one.name for one in action.parameter]
    faults = [f"parameter {one} stands twice" for one in names if names.count(one) > 1]
    if sum((bool(action.way), action.signal is not None, bool(action.collect))) != 1:
        faults.append("it must have exactly one of way, signal and collect")
    required = [one.default is None for one in action.parameter]
    if required != sorted(required, reverse=True):
        faults.append("parameters without a default come first")
    for one in action.parameter:
        faults += _faults_of(one)
    used = [name for words in _all_words(action) for name in placeholders(words)]
    used += action.signal or ()
    faults += [f"{{{name[:40]}}} is no parameter" for name in used if name not in names]
    faults += [f"parameter {name} is not used" for name in names if name not in used]
    faults += [
        f"{word[:40]!r} has a brace that is no parameter's"
        for words in _all_words(action)
        for word in words
        if set(_PLACEHOLDER.sub("", word)) & {"{", "}"}
    ]
    if action.signal is not None:
        kinds = {one.name: one.kind for one in action.parameter}
        if [kinds.get(name) for name in action.signal] != ["choice", "pid"]:
            faults.append("signal takes the name of a choice and that of a pid")
    items = [one.name for one in action.collect]
    faults += [f"item {one} stands twice" for one in items if items.count(one) > 1]
    faults += [
        f"item {one.name} must have either report or look"
        for one in action.collect
        if bool(one.report) == bool(one.look)
    ]
    return faults


def _faults_of(parameter: Parameter) -> list[str]:
    if bool(parameter.choices) != (parameter.kind == "choice"):
        return [f"parameter {parameter.name}: choices belong to the kind choice"]
    given = [*parameter.choices, *([] if parameter.default is None else [parameter.default])]
    try:
        for value in given:
            values.check(parameter.name, parameter.kind, value, parameter.choices)
    except SheltieError as error:
        return [error.message]
    return []


def _all_words(action: Action) -> list[list[str]]:
    ways = [words for way in action.way for words in (way.when, *way.steps)]
    return [*ways, *(words for item in action.collect for words in (item.report, item.look))]


def _wrong(where: str, why: str) -> UsageError:
    return UsageError(f"{where} declares no action: {why[:300]}", code="ACT_DECLARATION")
