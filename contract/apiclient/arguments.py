"""The command line of `apiclient`: upstream's names (core-kit apiclient main.rs)."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from contract import __version__, places

__all__ = ["parse"]

LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_TAKE_A_VALUE: Final = frozenset({"-s", "--socket-path", "--log-level"})
_STAND_ALONE: Final = frozenset({"-v", "--verbose", "-h", "--help", "-V", "--version"})

_DESCRIPTION: Final = (
    "Ask the host: read and change its settings, run commands in host containers, update it."
)
_EXAMPLES: Final = """\
examples:
  apiclient get settings.host-containers        what the host's settings say
  apiclient get os                              what the host runs
  apiclient set host-containers.admin.enabled=true
  apiclient set -j '{"motd": "hello"}'          the same with JSON
  apiclient apply file:///etc/host.toml https://config.example/extra.json
  apiclient exec admin bash                     a shell in the admin container
  apiclient exec control cat /etc/motd > motd   a file out of a container
  apiclient update check                        is there a newer system?
  apiclient update apply --check --reboot       then fetch it and boot into it
  apiclient raw -u /os                          any request: GET /os
  apiclient raw -m POST -u '/tx/commit_and_apply?tx=mine'

Output is on stdout, everything else on stderr. Exit status: 0 when it worked, 1 when it did not,
2 for a wrong command line; `exec` exits as its command did.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see `{self.prog} --help` [USAGE]\n")
        sys.exit(2)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return verb and options; ends the process on --help, --version and a wrong command line."""
    parser = _Parser(
        prog="apiclient",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"apiclient {__version__}")
    parser.set_defaults(socket_path=places.API_SOCKET, log_level="info", verbose=False)
    everywhere = _everywhere()
    _add(parser, everywhere)
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    _get(_verb(verbs, "get", "show settings and facts as JSON"))
    _set(_verb(verbs, "set", "change settings"))
    _apply(_verb(verbs, "apply", "change settings as documents say, all of them or none"))
    _update(_verb(verbs, "update", "look for, apply or cancel an update of the host"))
    _verb(verbs, "reboot", "reboot the host")
    _report(_verb(verbs, "report", "show a report of the host on itself"))
    _raw(_verb(verbs, "raw", "send any request (what happens without a command)"))
    _exec(_verb(verbs, "exec", "run a command in a host container"))
    return parser.parse_args(_with_verb(words))


def _with_verb(words: Sequence[str]) -> list[str]:
    """Put in `raw`, upstream's default, where no command stands before the first other option."""
    position = 0
    while position < len(words):
        word = words[position]
        if word in _TAKE_A_VALUE:
            position += 2
        elif word in _STAND_ALONE or word.startswith(("--socket-path=", "--log-level=")):
            position += 1
        elif word.startswith("-"):
            return [*words[:position], "raw", *words[position:]]
        else:
            break
    return list(words)


def _everywhere() -> list[tuple[tuple[str, ...], dict[str, object]]]:
    """Return the options that may stand before and after the command, as upstream takes them."""
    # SUPPRESS: a command's default must not undo what stood before it.
    quiet = {"default": argparse.SUPPRESS}
    where = f"the API's socket ({places.API_SOCKET})"
    return [
        (("-s", "--socket-path"), {**quiet, "metavar": "PATH", "help": where}),
        (("--log-level",), {**quiet, "choices": LEVELS, "help": "how much to say on stderr"}),
        (
            ("-v", "--verbose"),
            {**quiet, "action": "store_true", "help": "say each request's status on stderr"},
        ),
    ]


def _add(
    parser: argparse.ArgumentParser, options: list[tuple[tuple[str, ...], dict[str, object]]]
) -> None:
    for names, details in options:
        parser.add_argument(*names, **details)  # type: ignore[arg-type]  # a table of options


def _verb(
    verbs: "argparse._SubParsersAction[_Parser]", name: str, about: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name, help=about, description=about.capitalize() + ".", allow_abbrev=False
    )
    _add(verb, _everywhere())
    return verb


def _get(verb: argparse.ArgumentParser) -> None:
    about = "a dotted prefix, or a URI such as /os; all settings and the os without one"
    verb.add_argument("prefixes", metavar="PREFIX", nargs="*", help=about)
    verb.add_argument(
        "--exclude",
        metavar="PREFIX",
        action="append",
        default=[],
        help="leave out what starts with this dotted prefix",
    )
    verb.add_argument(
        "--canonicalize", action="store_true", help="as one line with sorted names, to compare"
    )


def _set(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-j", "--json", metavar="OBJECT", help="the settings as a JSON object")
    verb.add_argument("pairs", metavar="NAME=VALUE", nargs="*", help="a dotted name and its value")


def _apply(verb: argparse.ArgumentParser) -> None:
    about = "a TOML or JSON document with a top-level `settings`: file://, http://, https://, "
    about += "base64:, or - for standard input (which it is without any)"
    verb.add_argument("uris", metavar="URI", nargs="*", help=about)


def _update(verb: argparse.ArgumentParser) -> None:
    steps = verb.add_subparsers(dest="step", metavar="STEP", required=True, parser_class=_Parser)
    _verb(steps, "check", "look for an update and show how things stand")
    apply = _verb(steps, "apply", "fetch the chosen update and let the next boot be into it")
    apply.add_argument("-c", "--check", action="store_true", help="look for an update first")
    apply.add_argument("-r", "--reboot", action="store_true", help="reboot when it is applied")
    _verb(steps, "cancel", "let the next boot be into what runs now")


def _report(verb: argparse.ArgumentParser) -> None:
    kinds = verb.add_subparsers(dest="kind", metavar="KIND", required=False, parser_class=_Parser)
    for name, about in (
        ("cis", "the CIS benchmark of Bottlerocket"),
        ("cis-k8s", "the CIS benchmark of Kubernetes"),
        ("fips", "whether FIPS mode is in force"),
    ):
        kind = _verb(kinds, name, about)
        kind.add_argument("-f", "--format", choices=("text", "json"), help="(text)")
        if name != "fips":
            kind.add_argument("-l", "--level", choices=("1", "2"), help="the benchmark's level")


def _raw(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-u", "--uri", required=True, metavar="URI", help="path and query")
    verb.add_argument("-m", "--method", "-X", default="GET", metavar="METHOD", help="(GET)")
    verb.add_argument("-d", "--data", default="", metavar="DATA", help="the body, as JSON")


def _exec(verb: argparse.ArgumentParser) -> None:
    terminal = verb.add_mutually_exclusive_group()
    terminal.add_argument(
        "-t",
        "--tty",
        dest="tty",
        action="store_true",
        default=None,
        help="give the command a terminal (by itself where stdin and stdout are one)",
    )
    terminal.add_argument(
        "-T", "--no-tty", dest="tty", action="store_false", help="give it no terminal"
    )
    verb.add_argument("target", metavar="TARGET", help="the container, such as admin")
    # All that follows is the command's own, options too.
    verb.add_argument("command", metavar="[--] COMMAND ...", nargs=argparse.REMAINDER)
