"""A command in a container from bytes to bytes: what programs need of /exec."""

import contextlib
import time
from collections.abc import Sequence
from typing import Final

from contract.apiclient.channel import Channel
from contract.apiclient.conversation import Conversation
from contract.apiclient.ends import BytesSink, BytesSource
from contract.execwire import INPUT_MAX, Initialize

__all__ = ["run"]

OUTPUT_MAX: Final = 1 << 20
"""Most output in bytes, unless the caller says otherwise."""


def run(
    path: str,
    target: str,
    argv: Sequence[bytes],
    data: bytes = b"",
    *,
    seconds: float = 30.0,
    limit: int = OUTPUT_MAX,
) -> tuple[int, bytes]:
    """Run `argv` in container `target` with input `data`; return exit status and output.

    Standard error is in the output too. Raises SheltieError: see Channel.open, Conversation.run.
    """
    deadline = time.monotonic() + seconds
    with contextlib.closing(Channel.open(path)) as channel:
        sink = BytesSink(limit)
        talk = Conversation(channel, BytesSource(data), sink, INPUT_MAX, deadline)
        status = talk.run(Initialize(tuple(argv), target))
    return status, bytes(sink.data)
