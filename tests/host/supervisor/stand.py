"""A supervisor as a process of its own, which can be killed: told what to want by lines of JSON.

`python -I -m tests.host.supervisor.stand STATE RUN RUNTIME`: each line in is {name: fields of a
Desired}, each line out the status once everything is settled.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from host.desired import Desired
from host.supervisor.supervisor import Supervisor


async def main(state: Path, run: Path, runtime: str) -> None:
    """Serve until the input ends."""
    supervisor = Supervisor(state, run, runtime)
    await supervisor.start()
    show(supervisor)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wants = json.loads(line)
        await supervisor.apply({name: desired(name, one) for name, one in wants.items()})
        await supervisor.settled()
        show(supervisor)
    await supervisor.close()


def desired(name: str, fields: dict[str, Any]) -> Desired:
    """Return the Desired of a line's fields; user-data is base64."""
    data = fields.pop("user_data", None)
    user_data = None if data is None else base64.b64decode(data)
    command = tuple(fields.pop("command", ()))
    return Desired(name, command=command, user_data=user_data, **fields)


def show(supervisor: Supervisor) -> None:
    """Write the status as one line."""
    sys.stdout.buffer.write(msgspec.json.encode({one.name: one for one in supervisor.status()}))
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
