"""A client that takes a window of 2 GiB and reads no more: `python -I -m dev.deaf PORT USER KEY`.

It reads some megabytes, so that what a transfer takes is there, and says "deaf"; it ends with its
stdin. The command waits a moment, then writes without an end.
"""

import asyncio
import sys

import asyncssh

__all__ = ["BEGINS_SECONDS", "main"]

WINDOW = (1 << 31) - 1
BEGINS_SECONDS = 1.5
READS = 4 << 20
COMMAND = f"head -c {READS} /dev/zero; sleep {BEGINS_SECONDS}; exec cat /dev/zero"


class Deaf(asyncssh.SSHClientSession[bytes]):
    """Reads at first; then the whole process stands still."""

    def __init__(self) -> None:
        self._got = 0

    def data_received(self, data: bytes, datatype: object) -> None:
        """Count."""
        self._got += len(data)
        if self._got == READS:
            print("deaf", flush=True)
            sys.stdin.read()
            sys.exit(0)


async def _visit(port: int, user: str, key: str) -> None:
    connection = await asyncssh.connect(
        "127.0.0.1", port, username=user, client_keys=[key], known_hosts=None, config=None,
        agent_path=None, kex_algs=["curve25519-sha256"],
        encryption_algs=["aes128-gcm@openssh.com"],
    )  # fmt: skip
    channel, _ = await connection.create_session(Deaf, COMMAND, encoding=None, window=WINDOW)
    await channel.wait_closed()


def main(argv: list[str]) -> None:
    """Visit a server."""
    asyncio.run(_visit(int(argv[0]), *argv[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
