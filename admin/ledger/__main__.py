"""`python -I -m admin.ledger SOCKET DIRECTORY [bounded]`: the ledger, a child of the keeper."""

import os
import signal
import socket
import sys
from pathlib import Path

from admin import audit
from admin.ledger.book import Book
from admin.ledger.ear import Ear
from admin.ledger.messages import Record
from admin.ledger.serve import Ledger
from admin.look.kernel import set_death_signal
from contract.durable import ensure_directory
from contract.errors import SheltieError
from contract.event import HostChanged, shortened

__all__ = ["main"]

BACKLOG = 64
LINES_MAX = 20


def main(argv: list[str]) -> None:
    """Serve sessions at SOCKET; keep records in DIRECTORY."""
    house = os.getppid()
    set_death_signal(signal.SIGTERM)
    if os.getppid() != house:
        return  # the keeper ended before we could be told
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who read
    os.umask(0o077)
    listening = _listen(Path(argv[0]))
    Ledger(listening, Book(Path(argv[1])), Ear(house, bounded="bounded" in argv[2:]), _note).run()


def _listen(path: Path) -> socket.socket:
    """Return the socket at `path`, which only root can reach. Raises OSError."""
    ensure_directory(path.parent)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(path))
    listening.listen(BACKLOG)
    listening.setblocking(False)  # noqa: FBT003  its only form
    return listening


def _note(record: Record) -> None:
    """Tell the audit and, in short, the log."""
    lines = [one.line() for one in record.changes]
    told = HostChanged(
        record.key, record.number, record.began, shortened(lines), shortened(record.notes)
    )
    said = [f"{record.key}: {line}" for line in lines[:LINES_MAX]]
    try:
        audit.note(told)
    except SheltieError as error:
        said.append(error.line())
    sys.stderr.write("".join(f"ledger: {line}\n" for line in said))
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
