"""`admin serve`: door, watch and socket in one process that ends within two seconds of TERM."""

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path
from typing import NoReturn

from admin.boot import machine
from admin.keeper import place
from admin.keeper.consoles import found
from admin.keeper.door import Boot, Door, Wishes
from admin.keeper.ledger import keep
from admin.keeper.log import event, set_up
from admin.keeper.records import Records
from admin.keeper.rpc import Service
from admin.keeper.watch import watch

__all__ = ["serve"]

_log = logging.getLogger(__name__)

GRACE_SECONDS = 1.5
"""For the monitor and its sessions to end; DESIGN gives the keeper two."""


def serve(wishes: Wishes, boot: Boot, path: Path, audit: Path, *, ledger: bool = False) -> NoReturn:
    """Serve until TERM or INT, then end the process. Raises SheltieError before it serves.

    The socket is at `path`, the audit's directory is `audit`. `ledger` says whether this is the
    admin container, whose sessions' changes are kept.
    """
    set_up()
    held = place.lock(path.parent)
    listening = place.bind(path)
    if os.geteuid():
        _log.warning(event("not-root", what="login is as the current user, and sheltie needs root"))
    records = Records(audit)
    # On somebody's own machine the consoles are not ours to attend.
    door = Door(wishes, boot, records.heard, found() if boot is machine.boot else ())
    working = _run(door, records, wishes, listening, ledger=ledger)
    status = asyncio.new_event_loop().run_until_complete(working)
    path.unlink(missing_ok=True)
    os.close(held)
    logging.shutdown()
    # Not sys.exit: it would wait for a thread that makes an account or waits for the monitor, which
    # gets its TERM as we go.
    os._exit(status)


async def _run(
    door: Door, records: Records, wishes: Wishes, listening: socket.socket, *, ledger: bool
) -> int:
    """Run all parts until a signal; return the exit status, 1 when a part failed."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # First: its marks are to stand before anybody can be in.
    tasks = [loop.create_task(keep(), name="ledger")] if ledger else []
    tasks += [
        loop.create_task(door.run(), name="door"),
        loop.create_task(watch(wishes.user_data, door.changed), name="watch"),
        loop.create_task(records.run(), name="records"),
        loop.create_task(door.consoles.run(), name="consoles"),
        loop.create_task(Service(door).serve(listening), name="rpc"),
    ]
    over = loop.create_task(ended.wait())
    await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in tasks if task.done()]
    for task in failed:
        _log.critical(event("failed", part=task.get_name(), why=repr(task.exception())))
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    _log.info(event("ended", late=len(left) or ""))
    return 1 if failed else 0
