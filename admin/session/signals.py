"""The signals that SSH has names for (RFC 4254 section 6.10)."""

import signal

__all__ = ["SIGNALS", "name_of"]

SIGNALS = frozenset(
    [
        "ABRT",
        "ALRM",
        "FPE",
        "HUP",
        "ILL",
        "INT",
        "KILL",
        "PIPE",
        "QUIT",
        "SEGV",
        "TERM",
        "USR1",
        "USR2",
    ]
)
_OTHER = "SIG@openssh.com"
"""How sshd names a death by any other signal."""
_NAMES = {signal.Signals[f"SIG{name}"].value: name for name in SIGNALS}


def name_of(number: int) -> str:
    """Return a signal's name for an exit-signal request."""
    return _NAMES.get(number, _OTHER)
