"""The command line of sheltie: options before the command, never behind it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from admin.sheltie.options import COPIES, parse
from contract import __version__
from contract.errors import UsageError

CLONE = Path(__file__).resolve().parents[3]

words = st.text(min_size=1).filter(lambda word: "\0" not in word)


@pytest.mark.parametrize(
    ("arguments", "shell", "command", "show"),
    [
        ([], "", [], ""),
        (["--"], "", [], ""),
        (["ls", "--help"], "", ["ls", "--help"], ""),
        (["--", "--help"], "", ["--help"], ""),
        (["--", "--", "x"], "", ["--", "x"], ""),
        (["-"], "", ["-"], ""),
        (["--busybox"], "busybox", [], ""),
        (["--shell=busybox", "--busybox"], "busybox", [], ""),
        (["--shell", "busybox"], "busybox", [], ""),
        (["--shell=bash", "--"], "bash", [], ""),
        (["-h"], "", [], "help"),
        (["--version", "ls"], "", ["ls"], "version"),
    ],
)
def test_options_end_where_the_command_starts(
    arguments: list[str], shell: str, command: list[str], show: str
) -> None:
    """Each command line means what the help says."""
    parsed = parse(arguments)

    assert (shell, command, show) == (parsed.shell, parsed.command, parsed.show)


@pytest.mark.parametrize(
    ("arguments", "look", "report"),
    [
        (["--look"], "look", False),
        (["--look", "ls", "--look-secrets"], "look", False),
        (["--look-secrets", "--look"], "look-secrets", False),
        (["netstat", "--json"], "", True),
        (["--look-secrets", "environ", "1"], "look-secrets", True),
        (["--", "netstat"], "", False),
        (["ls", "netstat"], "", False),
        (["/usr/bin/netstat"], "", False),
    ],
)
def test_looks_and_reports(arguments: list[str], look: str, report: bool) -> None:
    """The wider look wins; a report is the first word, unless `--` stands before it."""
    parsed = parse(arguments)

    assert (look, report) == (parsed.look, parsed.report)


@pytest.mark.parametrize(
    "arguments",
    [["--foo"], ["--look=1"],
     ["--look", "act", "x"], ["--tools", "act"], ["--no-net", "act", "x"],
      ["--without-layer", "uid"], ["-x"], ["--shell"], ["--shell", "zsh"],
     ["--shel=bash"], ["--", ""], ["-hx"], ["--shell=bash", "ls"],
     ["--help=1"], ["--shell=bash", "--busybox"], ["--busybox=1"],
     ["--busybox", "ls"], ["--no-user"], ["--no-mnt=1"], ["--no-"], ["--no-no-mnt"],
     ["--target"], ["--target=0"], ["--target=-1"], ["--target=1x"], ["--target=²"],
     ["--target=99999999999"], ["--pod"], ["--pod="], ["--pod=-x"], ["--pod=a\nb"],
     ["--target=1", "--pod=x"], ["--tools"], ["--tools", "get", "/x"], ["--look", "--tools", "ls"],
     ["--look", "--target=7"], ["--look", "--no-net"], ["get"], ["get", ""], ["get", "a", "b", "c"],
     ["put", "a"], ["put", "a", ""], ["--no-mnt", "get", "/x"], ["--look", "get", "/x"]],
)  # fmt: skip
def test_anything_else_is_refused(arguments: list[str]) -> None:
    """Unknown, abbreviated and contradicting options are usage errors."""
    with pytest.raises(UsageError) as raised:
        parse(arguments)
    assert raised.value.code == "SHELTIE_USAGE"


def test_each_switch_says_where_to_go() -> None:
    """Namespaces, target, pod and tools are what the help says of them."""
    assert parse(["--no-net", "--no-uts"]).left_out == {"net", "uts"}
    assert (parse(["--target", "17"]).target, parse(["--pod=web", "ls"]).pod) == (17, "web")
    tools = parse(["--tools", "--no-net", "ip", "a"])
    assert tools.tools
    assert tools.left_out == {"mnt", "uts", "cgroup", "net"}


def test_our_words_are_the_hosts_behind_two_dashes() -> None:
    """`get` and `put` copy; behind `--` they are commands of the host's."""
    assert parse(["get", "/etc/hosts"]).copy
    assert parse(["put", "-", "/tmp/x"]).copy
    assert not parse(["--", "get", "/etc/hosts"]).copy
    assert not parse(["cat", "get"]).copy


@given(first=words.filter(lambda word: not word.startswith("-")), rest=st.lists(st.text()))
def test_the_command_is_passed_on_untouched(first: str, rest: list[str]) -> None:
    """No argument of the command is ever taken for ours."""
    assume(first not in COPIES)
    assert [first, *rest] == parse([first, *rest]).command == parse(["--", first, *rest]).command


@given(st.lists(st.text()))
def test_no_command_line_breaks_the_parser(arguments: list[str]) -> None:
    """Any list of words is parsed or refused in one line."""
    try:
        parse(arguments)
    except UsageError as error:
        assert "\n" not in error.line()  # noqa: PT017  both outcomes are right


def run(*arguments: str, code: str = "") -> str:
    """Run sheltie's own pages, or `code`, in a fresh interpreter."""
    argv = ["-c", code] if code else ["-m", "admin.sheltie", *arguments]
    done = subprocess.run([sys.executable, "-I", *argv], capture_output=True, check=True, text=True)
    return done.stdout


def test_help_and_version_need_nothing() -> None:
    """Both pages are printed by anybody, anywhere."""
    assert run("--version").strip() == __version__
    assert "--shell auto|bash|busybox" in run("--help")


def test_start_up_is_light() -> None:
    """None of the modules that cost milliseconds is imported."""
    code = "import sys, admin.sheltie.__main__; print(*sys.modules)"
    heavy = {"typing", "signal", "re", "enum", "argparse", "pathlib", "ctypes", "msgspec"}

    assert not heavy & set(run(code=code).split())
    # A look makes its system calls by ctypes, and adds nothing else.
    code = code.replace(";", ", admin.look.confine;")
    assert not (heavy - {"ctypes"} | {"json", "dataclasses"}) & set(run(code=code).split())


def test_the_launcher_needs_neither_site_nor_os() -> None:
    """Started as the image's launcher starts it, even `os` is left out: it costs 1.3 ms."""
    code = f"import sys; sys.path.insert(0, {str(CLONE)!r}); import admin.sheltie.__main__"
    argv = [sys.executable, "-IS", "-c", f"{code}; print(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)

    assert not {"os", "site", "fcntl", "typing"} & set(done.stdout.split())
    launcher = CLONE / "images/admin/rootfs/usr/bin/sheltie"
    assert launcher.read_text().startswith("#!/usr/bin/python3 -IS\n")
