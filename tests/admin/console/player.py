"""The keeper's consoles alone, on accounts of its own: `player.py CONSOLE`.

Takes lines on stdin, `want USER` and `want`; tells events and who is shown as JSON lines.
"""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

from admin.boot.machine import boot
from admin.console.plan import Console
from admin.keeper.consoles import Consoles
from admin.ssh.control import Event
from contract.userdata import UserData

PAM = Path(__file__).resolve().parents[3] / "images/admin/rootfs/etc/pam.d/login"


async def play(console: str) -> None:
    """Attend one console for whom stdin says."""

    def tell(event: Event) -> None:
        shown = [one.user for one in consoles.shown.values()]
        line = {**msgspec.to_builtins(event), "shown": shown}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    consoles = Consoles((Console(console),), tell)
    attending = asyncio.ensure_future(consoles.run())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        consoles.want(line.strip().removeprefix("want").strip())
    attending.cancel()


def main(console: str, user: str, password_hash: str) -> None:
    """Make the account and the image's PAM file, and play."""
    text = PAM.read_text().replace("/usr/bin/python3", sys.executable)
    Path("/etc/pam.d/login").write_text(text)
    booted = boot(UserData(user=user, password_hash=password_hash), {})
    assert booted.usable, booted
    asyncio.run(play(console))


if __name__ == "__main__":
    main(*sys.argv[1:])
