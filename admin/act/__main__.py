"""The entry point of `sheltie act`, which sheltie executes as root: judge, run, record."""

import os
import shlex
import sys
from dataclasses import dataclass

import msgspec

from admin import audit
from admin.act import arguments, declared, plan, record, running
from admin.outcome import outcome
from admin.sheltie import userdata
from contract.errors import RefusedError, SheltieError, UsageError

__all__ = ["main"]

LOOK = "--look"
"""Our own first word, where a login may only look."""


@dataclass(frozen=True)
class Actions:
    """Whose actions: `allowed` is None for whoever may do everything."""

    allowed: frozenset[str] | None

    def judge(self, name: str) -> None:
        """Raise RefusedError (LOOK_ONLY) where this login may not run an action."""
        if self.allowed is not None and name not in self.allowed:
            raise RefusedError(
                f"this login may only look, and {name} is not opened to it",
                hint="the owner names it in sheltie.look-acts",
                code="LOOK_ONLY",
            )

    def shown(self) -> list[str]:
        """Return the names of what may be run."""
        return [one for one in declared.names() if self.allowed is None or one in self.allowed]


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    words = sys.argv[1:]
    look = words[:1] == [LOOK]
    rest = words[1:] if look else words
    return outcome(lambda: _run(Actions(_opened() if look else None), rest))


def _opened() -> frozenset[str]:
    """Return `sheltie.look-acts` of user-data; nothing where it cannot be understood."""
    try:
        found = userdata.section(b"look").get("look-acts", [])
    except (OSError, ValueError):
        found = []
    whole = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return frozenset(found) if whole and isinstance(found, list) else frozenset()


def _run(actions: Actions, words: list[str]) -> int:
    asked = arguments.common(words, actions.shown())
    if asked.list:
        _list(actions, json=asked.json)
        return 0
    action = declared.find(asked.name)
    wanted = arguments.parse(asked.name, action, asked.words)
    actor = record.find()
    planned = plan.judged(asked.name, action, wanted.values)
    try:
        actions.judge(asked.name)
    except RefusedError as error:
        actor.did(planned, f"refused: {error.message}")
        raise
    _act(planned, actor, wanted)
    return 0


def _act(planned: plan.Plan, actor: record.Actor, wanted: arguments.Asked) -> None:
    """Run an action, or say what would be run."""
    action, outcome = planned.action, running.Outcome()
    ways = running.open_ways(planned) if action.way else []
    outcome.commands = [argv for way in ways for argv in planned.steps(way)]
    if wanted.dry_run:
        _tell(planned, outcome, "would run", json=wanted.json)
        return
    if action.collect and os.isatty(1):
        raise UsageError(
            f"{planned.name} writes an archive to standard output",
            hint=f"send it to a file: sheltie act {planned.name} >FILE.tar.gz",
            code="SHELTIE_USAGE",
        )
    audit.check()
    actor.begins(planned)
    try:
        running.run(planned, outcome, ways, sys.stdout.buffer)
    except (SheltieError, OSError) as error:
        actor.did(planned, f"failed: {getattr(error, 'message', '') or error}")
        raise
    actor.did(planned, "done")
    _tell(planned, outcome, "done", json=wanted.json)


def _tell(planned: plan.Plan, outcome: running.Outcome, result: str, *, json: bool) -> None:
    # An archive has standard output for itself.
    out = sys.stderr if planned.action.collect and result == "done" else sys.stdout
    if json:
        shown = {
            "action": planned.name,
            "parameters": planned.values,
            "result": result,
            "commands": outcome.commands,
            "output": outcome.said,
        }
        out.write(msgspec.json.encode(shown).decode() + "\n")
        return
    lines = [shlex.join(argv) for argv in outcome.commands] if result != "done" else outcome.said
    lines = lines or _inner(planned)
    out.write("".join(f"{_plain(line)}\n" for line in lines))
    out.write(f"{planned.name}: {result}\n" if result == "done" else "")


def _inner(planned: plan.Plan) -> list[str]:
    """Return what is done without a program of the host's."""
    if planned.action.signal is not None:
        name, pid = (planned.values[one] for one in planned.action.signal)
        return [f"send SIG{name} to process {pid}"]
    return [shlex.join(one.report or one.look) for one in planned.action.collect]


def _plain(text: str) -> str:
    """Return text that a terminal only prints: programs print what others chose."""
    return "".join(
        one if one.isprintable() or one == "\t" else "\N{REPLACEMENT CHARACTER}" for one in text
    )


def _list(actions: Actions, *, json: bool) -> None:
    known = {name: declared.find(name) for name in actions.shown()}
    if json:
        sys.stdout.write(msgspec.json.encode(known).decode() + "\n")
        return
    for name, action in known.items():
        words = [
            one.name.upper() if one.default is None else f"[--{one.name} {one.default}]"
            for one in action.parameter
        ]
        sys.stdout.write(f"{' '.join([name, *words])}\n    {action.title}\n")


if __name__ == "__main__":
    sys.exit(main())
