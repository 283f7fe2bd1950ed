"""What the sessions' zygote is asked for: a session, or a socket for a forward."""

from collections.abc import Sequence

import msgspec

from admin.session import carry, process

__all__ = ["TASK", "work"]

TASK = msgspec.msgpack.Decoder(process.Task | carry.Reach | carry.Attend | carry.AttendAgent)


def work(task: bytes, descriptors: Sequence[int]) -> int:
    """Do one task in this process, which is fresh, and ends with it."""
    told = TASK.decode(task)
    if isinstance(told, process.Task):
        return process.work(told, descriptors)
    return carry.carry(told, descriptors)
