"""Completion for bash, written from each program's own `--help`.

`python -I -m dev.completion --write` writes the files into the images; a test compares them. What a
program says of itself is what completes, whichever parser it has.
"""

import re
import subprocess
import sys
from collections.abc import Sequence

from dev.site import CLONE, PYTHON

__all__ = ["FILES", "page"]

# Program: how it is run here.
CONTROL = {
    "control": ["control"],
    "enable-admin-container": ["control", "enable-admin-container"],
    "disable-admin-container": ["control", "disable-admin-container"],
    "enter-admin-container": ["control", "enter-admin-container"],
    "apiclient": ["contract.apiclient"],
}
ADMIN = {"admin": ["admin"], "sheltie": ["admin.sheltie"], "apiclient": ["contract.apiclient"]}
FILES = {
    CLONE / "images/control/rootfs/etc/bash_completion.d/sheltie": CONTROL,
    CLONE / "images/admin/rootfs/etc/bash_completion.d/sheltie": ADMIN,
}
"""Each file with the programs that it completes."""

HEAD = """\
# Completion for bash, made by `make docs` from each program's --help.
_sheltie_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} place="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] || { place=${COMP_WORDS[i]}; break; }
    done
    case $1:$place in
"""
TAIL = """\
    *) COMPREPLY=() ;;
    esac
}
"""
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_COMMANDS = re.compile(r"^(?:Commands|positional arguments):$(.*)", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^  (?:  )?([a-z][a-z-]*)(?:\s|$)", re.MULTILINE)


def page(programs: dict[str, list[str]]) -> str:
    """Return the completion file of `programs`."""
    lines = [HEAD]
    for name, argv in programs.items():
        text = _help(argv)
        commands = _commands(text)
        for command in commands:
            words = _options(_help([*argv, command]))
            lines.append(_case(f"{name}:{command}", words))
        lines.append(_case(f"{name}:", [*commands, *_options(text)]))
    names = " ".join(programs)
    return "".join([*lines, TAIL, f"complete -o default -F _sheltie_complete {names}\n"])


def _case(pattern: str, words: Sequence[str]) -> str:
    made = f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(words)}" -- "$word")'
    return f"    {pattern}) {made} ;;\n"


def _help(argv: Sequence[str]) -> str:
    command = [PYTHON, "-I", "-m", *argv, "--help"]
    environment = {"COLUMNS": "100", "PATH": "/usr/bin:/bin"}  # pages are laid out by the width
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    return done.stdout or done.stderr


def _options(text: str) -> list[str]:
    """Return the long options that stand at the head of a line of the page."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        head = re.split(r"\s{2,}", line.strip())[0]
        if head.startswith("-"):
            found.update(dict.fromkeys(_OPTION.findall(head)))
    return list(found)


def _commands(text: str) -> list[str]:
    match = _COMMANDS.search(text)
    if match is None:
        return []
    section = re.split(r"^\S", match[1], maxsplit=1, flags=re.MULTILINE)[0]
    return list(dict.fromkeys(_COMMAND.findall(section)))


def main() -> int:
    """Write the files, or print them; return the exit status."""
    for path, programs in FILES.items():
        if sys.argv[1:] == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(programs))
        else:
            sys.stdout.write(page(programs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
