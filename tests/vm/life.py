"""What tests ask a machine of their own: the daemon's status and events, waited for."""

import json
import time
from collections.abc import Callable
from typing import Any

from dev.vm import Booted

SECONDS = 600.0


def status(host: Booted, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the daemon's status, once it answers."""
    found: dict[str, Any] = {}

    def answers() -> bool:
        answer = host.port.run("hostd", "status", "--json")
        if not answer.status:
            found.update(json.loads(answer.out))
        return bool(found)

    wait_for("the daemon answers", answers, seconds)
    return found


def events(host: Booted, code: str) -> list[dict[str, Any]]:
    """Return the events of a kind from the audit."""
    lines = host.run("hostd", "events", "--json").splitlines()
    found = [json.loads(line)["record"]["event"] for line in lines]
    return [one for one in found if one["code"] == code]


def wait_for(what: str, true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until `true()`; fail with `what` when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:.0f} s: {what}")
        time.sleep(1)  # a probe of a machine has no event to wait for
