"""What pam_exec runs: PAM's word on a login at a console goes to who attends it.

`python -I -m admin.console.told`, with PAM_TYPE, PAM_USER and PAM_TTY (pam_exec(8)).
"""

import os
import socket
import sys
from pathlib import Path

__all__ = ["place", "word"]

CONSOLES = Path("/run/sheltie/consoles")
"""Sockets of those who attend: root's alone."""
WORDS = {"auth": "refused", "open_session": "open", "close_session": "close"}
USER_MAX = 64


def place(tty: str) -> Path:
    """Return the socket for a terminal, however its device is named."""
    return CONSOLES / tty.removeprefix("/dev/").replace("/", "-")


def word(variables: dict[str, str]) -> bytes:
    """Return what is sent: a word and the user, cut and made printable."""
    user = variables.get("PAM_USER", "")[:USER_MAX]
    shown = "".join(one if one.isprintable() and one != " " else "?" for one in user)
    return f"{WORDS.get(variables.get('PAM_TYPE', ''), '')} {shown}".encode(errors="replace")


def main() -> int:
    """Send it; a console that nobody attends is nobody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.setblocking(False)  # noqa: FBT003  its only form
        try:
            end.sendto(word(dict(os.environ)), str(place(os.environ.get("PAM_TTY", ""))))
        except OSError as error:
            sys.stderr.write(f"sheltie: {error.strerror}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
