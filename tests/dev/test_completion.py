"""Completion in the shell: made from the programs' own words, and working in bash."""

import subprocess
from pathlib import Path

import pytest

from dev import completion


def complete(path: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of `words`."""
    script = f'. {path}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sheltie_complete "$1"'
    argv = ["bash", "-c", f"{script}; echo ${{COMPREPLY[@]}}", "bash", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("path", completion.FILES, ids=lambda path: path.parts[-5])
def test_the_files_are_what_the_programs_say(path: Path) -> None:
    """`make docs` writes them: no option is forgotten."""
    assert path.read_text() == completion.page(completion.FILES[path])


def test_bash_completes_commands_and_options() -> None:
    """The first word is a command, later ones are its options; other words are files."""
    path = next(iter(completion.FILES))

    assert complete(path, "control", "st") == ["status"]
    assert complete(path, "control", "status", "--j") == ["--json"]
    assert "--key" in complete(path, "enable-admin-container", "--")
    assert "exec" in complete(path, "apiclient", "")
    assert complete(path, "control", "status", "file") == []
