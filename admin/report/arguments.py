"""The reports' command line. Whatever is parsed is checked again where it is decoded."""

import argparse
from dataclasses import dataclass
from typing import NoReturn

from admin.report import wire
from contract.errors import UsageError

__all__ = ["Asked", "parse"]


@dataclass(frozen=True)
class Asked:
    """A request, and the form of its answer."""

    request: wire.Request
    json: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help", code="SHELTIE_USAGE")


def parse(words: list[str]) -> Asked:
    """Parse `[--look-secrets] REPORT …`. Raises UsageError (SHELTIE_USAGE)."""
    secrets = words[:1] == ["--look-secrets"]
    given = vars(_parser().parse_args(words[1:] if secrets else words))
    json, kind = given.pop("json"), given.pop("kind")
    if kind is wire.Environ:
        given["values"] = secrets
    return Asked(kind(**given), json)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sheltie", add_help=False, allow_abbrev=False)
    reports = parser.add_subparsers(required=True, metavar="REPORT", parser_class=_Parser)

    def add(kind: type, title: str) -> argparse.ArgumentParser:
        one = reports.add_parser(
            kind.__name__.lower(), description=title, allow_abbrev=False,
            epilog="It reads and changes nothing.",
        )  # fmt: skip
        one.add_argument("--json", action="store_true", help="one JSON object instead of columns")
        one.set_defaults(kind=kind)
        return one

    add(wire.Units, "systemd's units, with their states.")
    logs = add(wire.Logs, "The last lines that a unit wrote to the journal.")
    logs.add_argument("unit", metavar="UNIT", help="such as kubelet or kubelet.service")
    logs.add_argument("--lines", type=int, default=200, metavar="N", help="how many [200]")
    add(wire.Containers, "The host's containers, by its crictl, docker or ctr, else by cgroups.")
    add(wire.Pods, "The host's pods, by its crictl.")
    add(wire.Netstat, "The host's sockets, and the processes that hold them.")
    values = "`sheltie --look-secrets environ PID` shows the values too"
    for kind, title in (
        (wire.Files, "What a process has open."),
        (wire.Environ, f"The names in a process's environment; {values}."),
        (wire.Stacks, "Where a process's threads stand in the kernel."),
    ):
        add(kind, title).add_argument("pid", type=int, metavar="PID")
    add(wire.Firewall, "The rules of the host's packet filter, as nft lists them.")
    add(wire.Disk, "How full the host's file systems are, in bytes.")
    capture = add(wire.Capture, "Packets on the host's network, one line each, bounded.")
    capture.add_argument("filter", nargs="?", default="", metavar="FILTER",
                         help="one word, such as 'tcp port 443' (pcap-filter(7))")  # fmt: skip
    capture.add_argument("--interface", default="any", metavar="NAME", help="which [any]")
    capture.add_argument("--count", type=int, default=100, metavar="N", help="how many [100]")
    capture.add_argument("--seconds", type=int, default=10, metavar="S", help="how long [10]")
    return parser
