"""An action with its values: what would be run, word for word. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from admin.act import values
from admin.act.declare import Action, Way
from contract.errors import UsageError

__all__ = ["Plan", "judged"]


@dataclass(frozen=True)
class Plan:
    """An action that somebody wants, its values judged."""

    name: str
    action: Action
    values: Mapping[str, str]

    def filled(self, words: list[str]) -> list[str]:
        """Return words with the values in them: each stays one word."""
        return [self._filled(word) for word in words]

    def when(self, way: Way) -> list[str]:
        """Return the command that tells whether a way is open."""
        return [way.program, *self.filled(way.when)]

    def steps(self, way: Way) -> list[list[str]]:
        """Return the commands of a way."""
        return [[way.program, *self.filled(words)] for words in way.steps]

    def _filled(self, word: str) -> str:
        for name, value in self.values.items():
            word = word.replace(f"{{{name}}}", value)  # no value holds a brace
        return word


def judged(name: str, action: Action, given: Mapping[str, str]) -> Plan:
    """Return the plan of an action. Raises UsageError (ACT_PARAMETER)."""
    known = {one.name: one for one in action.parameter}
    for other in given:
        if other not in known:
            raise UsageError(f"{name} has no parameter {other[:40]!r}", code="ACT_PARAMETER")
    found = {}
    for one in action.parameter:
        value = given.get(one.name, one.default)
        if value is None:
            raise UsageError(f"{name} wants its {one.name}", code="ACT_PARAMETER")
        found[one.name] = values.check(one.name, one.kind, value, one.choices)
    return Plan(name, action, found)
