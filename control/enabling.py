"""Opening the door: enable admin, hand keys over, wait for its SSH server, say how to get in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.address import SSH_PORT, known_hosts_name
from contract.keyline import KeyLine
from control.addresses import reachable
from control.admin import Admin, Answer
from control.host import Effect, Host
from control.interrupt import InterruptedByUserError
from control.waiting import Wait

__all__ = ["DROPPED", "Opened", "document", "enable"]

DROPPED = "admin was up already, and this host starts it anew at every write: whoever was in is out"


@dataclass(frozen=True, slots=True)
class Opened:
    """The door after enabling. `answer` is None where nobody waited for it.

    `places` are (address, port) by which the SSH server can be reached, the likeliest first.
    """

    effect: Effect
    keys: tuple[str, ...] = ()
    answer: Answer | None = None
    places: tuple[tuple[str, int], ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.effect is not Effect.NOTHING

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what this did to others."""
        return (DROPPED,) if self.effect is Effect.RESTARTED else ()

    @property
    def command(self) -> str:
        """The exact ssh command, empty where there is none."""
        if self.answer is None or not self.places:
            return ""
        host, port = self.places[0]
        option = "" if port == SSH_PORT else f"-p {port} "
        return f"ssh {option}{self.answer.status.user}@{host}"

    @property
    def known_hosts(self) -> list[str]:
        """Lines for known_hosts (sshd(8)), one for each host key."""
        if self.answer is None or self.answer.host_keys is None or not self.places:
            return []
        names = ",".join(known_hosts_name(host, port) for host, port in self.places)
        return [f"{names} {key}" for key in self.answer.host_keys.keys]

    @property
    def problems(self) -> list[str]:
        """Sentences about what is wrong."""
        return [] if self.answer is None else list(self.answer.status.problems)


def enable(
    host: Host,
    admin: Admin,
    keys: Sequence[KeyLine],
    *,
    seconds: float | None,
    tell: Callable[[str], None],
) -> Opened:
    """Enable admin for `keys` and wait up to `seconds`; None does not wait.

    Raises SheltieError; InterruptedByUserError says that admin stays enabled.
    """
    effect = host.enable(keys)
    fingerprints = tuple(key.fingerprint for key in keys)
    if seconds is None:
        return Opened(effect, fingerprints)
    try:
        answer = Wait(host, admin, seconds, tell).until_open(frozenset(fingerprints))
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(
            "nobody waits any longer, and the admin container stays enabled",
            hint="disable-admin-container shuts it again",
        ) from error
    # The owner knows of forwarded ports and translated addresses; nobody in here does.
    places = answer.status.reached_at or reachable(answer.status.listen)
    return Opened(effect, fingerprints, answer, tuple(places))


def document(opened: Opened) -> dict[str, Any]:
    """Return what `--json` prints."""
    answer = opened.answer
    ssh = None
    if answer is not None and opened.places:
        host, port = opened.places[0]
        user = answer.status.user
        ssh = {"command": opened.command, "user": user, "host": host, "port": port}
    return {
        "enabled": True,
        "changed": opened.changed,
        "ready": answer is not None and answer.status.ready,
        "lease": None,
        "ssh": ssh,
        "known_hosts": opened.known_hosts,
        "keys": list(opened.keys),
        "notes": list(opened.notes),
        "problems": opened.problems,
    }
