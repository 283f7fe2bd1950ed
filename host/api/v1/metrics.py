"""The daemon's figures in Prometheus's text format 0.0.4."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import contract
from contract.status import ContainerState, ContainerStatus
from host import callers
from host.api.message import Call, Response
from host.house import House

__all__ = ["escaped", "show"]

KIND: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


async def show(house: House, call: Call) -> Response:
    """GET metrics."""
    callers.check_watch(call.caller)
    text = "".join(_families(house))
    return Response(200, text.encode(), KIND)


def escaped(value: str) -> str:
    """Return the text of a label's value."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _families(house: House) -> Iterator[str]:
    containers = house.containers.status()
    audit = house.audit.status()
    status = [({"version": contract.__version__, "runtime": house.runtime}, 1.0)]
    yield _family("sheltie_build_info", "gauge", "The daemon's release and runtime.", status)
    yield from _of_containers(containers)
    answers = [
        ({"caller": caller, "status": str(code)}, float(count))
        for (caller, code), count in sorted(house.answers.items())
    ]
    yield _family("sheltie_api_requests_total", "counter", "Answers over the API.", answers)
    streams = [({"caller": label}, float(count)) for label, count in house.streams.items()]
    yield _family("sheltie_api_streams", "gauge", "Answers without an end under way.", streams)
    for name, kind, what, value in (
        ("audit_records_total", "counter", "Records of the audit.", audit.records),
        ("audit_waiting", "gauge", "Events that wait for a medium that fails.", audit.waiting),
        ("audit_lost", "gauge", "Events that found no room meanwhile.", audit.lost),
        ("audit_degraded", "gauge", "Whether the audit cannot be written.", bool(audit.degraded)),
        ("door_open", "gauge", "Whether admin is enabled.", house.admin_enabled),
        ("settings_generation", "gauge", "Number of the live settings.", _generation(house)),
        ("problems", "gauge", "What does not work, in number.", len(house.all_problems)),
    ):
        yield _family(f"sheltie_{name}", kind, what, [({}, float(value))])
    yield _family(
        "process_resident_memory_bytes", "gauge", "Resident memory.", [({}, float(_resident()))]
    )


def _of_containers(containers: Iterable[ContainerStatus]) -> Iterator[str]:
    found = list(containers)
    states = [
        ({"name": one.name, "state": state.value}, float(one.state is state))
        for one in found
        for state in ContainerState
    ]
    yield _family("sheltie_container_state", "gauge", "Where a container stands: 1.", states)
    for name, kind, what in (
        ("restarts", "counter", "Times that it was started again by itself."),
        ("memory_bytes", "gauge", "Memory in use."),
        ("cpu_seconds", "counter", "Processor time."),
        ("pids", "gauge", "Processes and threads."),
    ):
        values = [({"name": one.name}, getattr(one, name)) for one in found]
        known = [(labels, float(value)) for labels, value in values if value is not None]
        suffix = "_total" if kind == "counter" else ""
        yield _family(f"sheltie_container_{name}{suffix}", kind, what, known)


def _family(name: str, kind: str, what: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {what}\n# TYPE {name} {kind}\n"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
        number = str(int(value)) if value.is_integer() else repr(value)
        lines.append(f"{name}{{{inner}}} {number}\n" if inner else f"{name} {number}\n")
    return "".join(lines)


def _generation(house: House) -> int:
    return house.transactions.live.serial


def _resident() -> int:
    """Return the daemon's resident memory in bytes (proc(5): statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
