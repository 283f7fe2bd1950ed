"""The command line of `sheltie act`, made from an action's declaration."""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from admin.act.declare import Action, Parameter
from contract.errors import UsageError

__all__ = ["Asked", "Common", "common", "parse"]


@dataclass(frozen=True)
class Common:
    """What stands before the action's own words."""

    name: str
    words: list[str]
    list: bool = False
    json: bool = False


@dataclass(frozen=True)
class Asked:
    """An action's values, and how it is to be told."""

    values: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    json: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help", code="SHELTIE_USAGE")


def common(words: Sequence[str], actions: Sequence[str]) -> Common:
    """Parse up to the action's name. Raises UsageError (SHELTIE_USAGE)."""
    parser = _Parser(
        prog="sheltie act",
        allow_abbrev=False,
        description="Do one of a few things by name, on the host, with an entry in admin's audit.",
        epilog=f"Actions: {', '.join(actions)}. Each has --help.",
    )
    parser.add_argument("--list", action="store_true", help="say what each action does")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    own = list(itertools.takewhile(lambda word: word.startswith("-"), words))
    rest = list(words[len(own) :])
    given = parser.parse_args(own)
    if given.list:
        if rest:
            parser.error("--list takes no action")
        return Common("", [], list=True, json=given.json)
    if not rest:
        parser.error("which action?")
    return Common(rest[0], [*rest[1:], *(["--json"] if given.json else [])])


def parse(name: str, action: Action, words: Sequence[str]) -> Asked:
    """Parse an action's own words. Raises UsageError (SHELTIE_USAGE)."""
    parser = _Parser(prog=f"sheltie act {name}", description=action.title, allow_abbrev=False)
    parser.add_argument("--dry-run", action="store_true", help="say what would be run")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    for one in action.parameter:
        _add(parser, one)
    given = vars(parser.parse_args(list(words)))
    dry_run, json = given.pop("dry_run"), given.pop("json")
    return Asked({one.name: given[one.name] for one in action.parameter}, dry_run, json)


def _add(parser: _Parser, one: Parameter) -> None:
    words = one.help + (f": {', '.join(one.choices)}" if one.choices else "")
    if one.default is None:
        parser.add_argument(one.name, metavar=one.name.upper(), help=words)
    else:
        parser.add_argument(
            f"--{one.name}",
            dest=one.name,
            metavar=one.name.upper(),
            default=one.default,
            help=f"{words} [{one.default}]",
        )
