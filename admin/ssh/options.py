"""The options of a key line: each one is known and enforced, or the line is refused. Pure.

Meanings: sshd(8) AUTHORIZED_KEYS FILE FORMAT. `environment` is refused, because it reaches what
runs before the login shell; X11 forwarding and ~/.ssh/rc do not exist here, so that their options
may stand and change nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from admin.ssh.sources import Sources, parse_sources
from contract.errors import SheltieError, UsageError
from contract.keyline import KeyLine

__all__ = ["Options", "Target", "merge", "parse"]

COMMAND_MAX = 8192
TARGETS_MAX = 256
PRINCIPALS_MAX = 256
PORTS = range(1, 65536)

Target = tuple[str, int]
"""A host and a port; "*" and 0 stand for any."""

_HOST = re.compile(r"[A-Za-z0-9._:*-]{1,255}")
_TIME = re.compile(r"(\d{8})(\d{4}(\d{2})?)?(Z?)")
_TIME_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a key may do. `expires` is a time in seconds since 1970; None stands for no limit."""

    sources: tuple[Sources, ...] = ()
    expires: float | None = None
    command: str | None = None
    pty: bool = True
    port_forwarding: bool = True
    agent_forwarding: bool = True
    opens: tuple[Target, ...] | None = None
    listens: tuple[Target, ...] | None = None
    touch: bool = True
    verify: bool = False
    authority: bool = False
    principals: tuple[str, ...] | None = None

    def refusal(self, address: str, now: float) -> str:
        """Return why a key with these options may not log in from here and now; "" if it may."""
        if self.expires is not None and now >= self.expires:
            return "the key has expired"
        if not all(sources.admits(address) for sources in self.sources):
            return f"the key may not be used from {address}"
        return ""

    def may_open(self, host: str, port: int) -> bool:
        """Whether a connection to `host` and `port` may be forwarded."""
        return self.port_forwarding and _targeted(self.opens, host, port)

    def may_listen(self, host: str, port: int) -> bool:
        """Whether `host` and `port` may be listened on for the client."""
        return self.port_forwarding and _targeted(self.listens, host, port)


def parse(line: KeyLine) -> Options:
    """Return the meaning of a key line's options.

    Raises UsageError (KEY_UNUSABLE), naming an option that is not known, or used wrongly.
    """
    options = Options()
    seen: set[str] = set()
    for name, value in line.options:
        if name in seen and name not in REPEATED:
            raise _unusable(f"option {name} stands twice")
        seen.add(name)
        options = _apply(options, name, value)
    if options.principals is not None and not options.authority:
        raise _unusable("option principals needs cert-authority")
    if not options.touch and not line.type.startswith("sk-") and not options.authority:
        raise _unusable("option no-touch-required is for FIDO keys")
    return options


def merge(key: Options, certificate: Options) -> Options:
    """Return what both allow. Raises UsageError (KEY_UNUSABLE) for two different commands."""
    commands = {one.command for one in (key, certificate) if one.command is not None}
    if len(commands) > 1:
        raise _unusable("its certificate forces another command")
    ends = [one.expires for one in (key, certificate) if one.expires is not None]
    return replace(
        key,
        sources=key.sources + certificate.sources,
        expires=min(ends) if ends else None,
        command=commands.pop() if commands else None,
        pty=key.pty and certificate.pty,
        port_forwarding=key.port_forwarding and certificate.port_forwarding,
        agent_forwarding=key.agent_forwarding and certificate.agent_forwarding,
        touch=key.touch or certificate.touch,
        verify=key.verify or certificate.verify,
    )


def _apply(options: Options, name: str, value: str | None) -> Options:
    if name in FLAGS:
        if value is not None:
            raise _unusable(f"option {name} takes no value")
        return replace(options, **FLAGS[name])
    if name in VALUES:
        if not value:
            raise _unusable(f"option {name} needs a value")
        field, read = VALUES[name]
        found = read(value)
        if name in REPEATED:
            found = (*(getattr(options, field) or ()), found)
            if len(found) > TARGETS_MAX:
                raise _unusable(f"option {name} stands more than {TARGETS_MAX} times")
        return replace(options, **{field: found})
    if name == "environment":
        raise _unusable("option environment is refused: it would reach what logs people in")
    raise _unusable(f"option {name[:40]} is not known here")


def _command(text: str) -> str:
    if len(text) > COMMAND_MAX:
        raise _unusable(f"the command is longer than {COMMAND_MAX} characters")
    return text


def _sources(text: str) -> tuple[Sources, ...]:
    try:
        return (parse_sources(text),)
    except SheltieError as error:
        raise _unusable(f"option from: {error.message}") from error


def _time(text: str) -> float:
    """Parse YYYYMMDD[HHMM[SS]], local time, or UTC with a Z behind it."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise _unusable("option expiry-time wants YYYYMMDD[HHMM[SS]][Z]")
    digits = match[1] + (match[2] or "")
    try:
        moment = datetime.strptime(digits, _TIME_FORMS[len(digits)])  # noqa: DTZ007  zone below
        return (moment.replace(tzinfo=UTC) if match[4] else moment.astimezone()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise _unusable("option expiry-time names no time that exists") from error


def _principals(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names) or len(names) > PRINCIPALS_MAX:
        raise _unusable(f"option principals wants 1 to {PRINCIPALS_MAX} names with commas between")
    return names


def _opens(text: str) -> Target:
    host, port = _target(text)
    if not host:
        raise _unusable("option permitopen wants HOST:PORT")
    return host, port


def _listens(text: str) -> Target:
    host, port = _target(text)
    return host or "*", port  # a bare port is any address (OpenSSH's auth-options.c)


def _target(text: str) -> Target:
    """Parse [HOST:]PORT, an IPv6 address in brackets, the port a number or *."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _unusable(f"{text[:60]!r} is no HOST:PORT: an IPv6 address stands in brackets")
    number = 0 if port == "*" else int(port) if port.isascii() and port.isdigit() else -1
    if (host and not _HOST.fullmatch(host)) or (port != "*" and number not in PORTS):
        raise _unusable(f"{text[:60]!r} is no HOST:PORT")
    return host.lower(), number


def _targeted(targets: tuple[Target, ...] | None, host: str, port: int) -> bool:
    if targets is None:
        return True
    return any(name in ("*", host.lower()) and number in (0, port) for name, number in targets)


FLAGS: dict[str, dict[str, Any]] = {
    "restrict": {"pty": False, "port_forwarding": False, "agent_forwarding": False},
    "pty": {"pty": True},
    "no-pty": {"pty": False},
    "port-forwarding": {"port_forwarding": True},
    "no-port-forwarding": {"port_forwarding": False},
    "agent-forwarding": {"agent_forwarding": True},
    "no-agent-forwarding": {"agent_forwarding": False},
    "touch-required": {"touch": True},
    "no-touch-required": {"touch": False},
    "verify-required": {"verify": True},
    "cert-authority": {"authority": True},
    # Neither exists here, for anybody.
    "x11-forwarding": {},
    "no-x11-forwarding": {},
    "user-rc": {},
    "no-user-rc": {},
}
VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "from": ("sources", _sources),
    "command": ("command", _command),
    "expiry-time": ("expires", _time),
    "principals": ("principals", _principals),
    "permitopen": ("opens", _opens),
    "permitlisten": ("listens", _listens),
}
REPEATED = ("permitopen", "permitlisten")


def _unusable(why: str) -> UsageError:
    return UsageError(f"unusable key: {why}", code="KEY_UNUSABLE")
