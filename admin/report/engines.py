"""Units, logs, containers, pods: what the host's own programs tell of them."""

import datetime as dt
import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from admin.report import program
from admin.report.wire import Table, Text
from contract.errors import FailedError, MachineError, NotFoundError

__all__ = ["containers", "logs", "pods", "units"]

_ID = re.compile(
    r"(?:libpod-|docker-|crio-|cri-containerd-|/)([0-9a-f]{64})(?:\.scope)?$", re.MULTILINE
)
COLUMNS = ["id", "name", "image", "state", "created", "pod"]
Rows = list[list[str | int]]
SYSTEMD = "/run/systemd/system"
"""Exists where PID 1 is systemd (sd_booted(3))."""


def units() -> Table:
    """Return systemd's units, loaded ones."""
    argv = [_systemd("systemctl"), "list-units", "--all", "--no-pager", "--output=json"]
    columns = ["unit", "load", "active", "sub", "description"]
    found = _json(program.run(argv))
    return Table(columns, [[str(one.get(name, "")) for name in columns] for one in found])


def logs(unit: str, count: int) -> Text:
    """Return a unit's last lines of the journal."""
    argv = [_systemd("journalctl"), "--no-pager", "--quiet", "--output=short-iso"]
    said = program.lines(program.run([*argv, f"--lines={count}", f"--unit={unit}"]))
    return Text(said, [] if said else [f"the journal holds nothing of {unit}"])


def containers() -> Table:
    """Return the containers that the first of the host's engines knows which answers.

    podman is not asked: it takes locks and writes whatever it is asked. Its containers, and those
    of an engine that does not answer, are known by their cgroups while they run.
    """
    notes = []
    for name, tell in ENGINES.items():
        if path := program.find(name):
            try:
                return Table(COLUMNS, tell(path), [f"by {name}"])
            except FailedError as error:
                notes.append(error.message)  # a client without its daemon: another may have one
    note = "by the cgroups of running processes; the name is that of the first process"
    return Table(COLUMNS, _by_cgroup(), [*notes, note])


def _by_crictl(path: str) -> Rows:
    found = _json(program.run([path, "ps", "--all", "--output=json"]))
    return [_from_cri(one) for one in found["containers"]]


def _by_docker(path: str) -> Rows:
    said = program.lines(program.run([path, "ps", "--all", "--format={{json .}}"]))
    return [_from_docker(_json(one.encode())) for one in said]


def _by_ctr(path: str) -> Rows:
    said = program.lines(program.run([path, "--namespace=k8s.io", "containers", "list"]))[1:]
    found = [line.split() for line in said]
    return [[one[0][:13], "", one[1], "", "", ""] for one in found if len(one) > 1]


ENGINES: dict[str, Callable[[str], Rows]] = {
    "crictl": _by_crictl,
    "docker": _by_docker,
    "ctr": _by_ctr,
}


def pods() -> Table:
    """Return the pods that the host's CRI runtime knows."""
    path = program.find("crictl")
    if not path:
        raise MachineError(
            "this host has no crictl to ask for pods",
            hint="`sheltie containers` asks other engines",
            code="NO_ENGINE",
        )
    found = _json(program.run([path, "pods", "--output=json"]))
    rows: Rows = []
    for one in found["items"]:
        about = one.get("metadata", {})
        state = str(one.get("state", "")).removeprefix("SANDBOX_").lower()
        name, space = str(about.get("name", "")), str(about.get("namespace", ""))
        rows.append([str(one.get("id", ""))[:13], name, space, state, _when(one.get("createdAt"))])
    return Table(["id", "name", "namespace", "state", "created"], rows)


def _from_cri(one: dict[str, Any]) -> list[str | int]:
    state = str(one.get("state", "")).removeprefix("CONTAINER_").lower()
    pod = one.get("labels", {}).get("io.kubernetes.pod.name", "")
    image, name = one.get("image", {}).get("image", ""), one.get("metadata", {}).get("name", "")
    return [str(one.get("id", ""))[:13], name, image, state, _when(one.get("createdAt")), pod]


def _from_docker(one: dict[str, Any]) -> list[str | int]:
    return [
        *(str(one.get(name, "")) for name in ("ID", "Names", "Image", "State", "CreatedAt")),
        "",
    ]


def _by_cgroup() -> Rows:
    """Return the containers whose processes run, by the names that engines give their cgroups."""
    found: dict[str, list[tuple[int, str]]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  names are enough
        named = _ID.search(_read(f"/proc/{pid}/cgroup"))
        if named:
            found.setdefault(named[1], []).append((int(pid), _read(f"/proc/{pid}/comm").strip()))
    return [[one[:13], min(who)[1], "", "running", "", ""] for one, who in sorted(found.items())]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  likewise
            return file.read()
    except OSError:
        return ""  # it ended meanwhile


def _when(created: object) -> str:
    """Return a time that engines tell in seconds or, as text, in nanoseconds (CRI)."""
    seconds = int(created) / 1e9 if isinstance(created, str) and created.isdigit() else created
    if not isinstance(seconds, int | float):
        return str(created or "")
    at = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _systemd(name: str) -> str:
    """Return the path of one of systemd's programs. Raises MachineError, NotFoundError."""
    if not os.path.isdir(SYSTEMD):  # noqa: PTH112  pathlib would be one import more
        raise MachineError(
            "this host has no systemd: its PID 1 is something else",
            hint="`sheltie ps -ef` shows what runs",
            code="NO_SYSTEMD",
        )
    path = program.find(name)
    if not path:
        raise NotFoundError(f"this host has no {name}", code="NO_SYSTEMD")
    return path


def _json(said: bytes) -> Any:
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError as error:
        raise FailedError(
            f"the host's program did not answer in JSON: {error}", code="REPORT_PROGRAM"
        ) from error
