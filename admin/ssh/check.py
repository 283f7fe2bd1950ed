"""The door's self-check: another SSH implementation knocks at the real port, as a stranger does.

`python -I -m admin.ssh.check HOST PORT USER KEYS`, KEYS the directory of the host keys. It prints a
CheckShown as JSON. Its client is paramiko, which shares no code with the server.
"""

import logging
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import paramiko  # type: ignore[import-untyped]

from admin.ssh.hostkeys import NAMES
from admin.ssh.protocol import VERSION
from contract.address import format_address
from contract.durable import read_file
from contract.errors import FailedError, SheltieError
from contract.rpc import CheckShown

__all__ = ["check"]

SECONDS = 10.0
LINE_MAX = 64 * 1024


def check(host: str, port: int, user: str, directory: Path) -> CheckShown:
    """Knock, and tell what was seen; never raises."""
    when = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    where = format_address(host, port)
    seen: list[str] = []
    try:
        with socket.create_connection((host, port), SECONDS) as connection:
            transport = paramiko.Transport(connection)
            transport.banner_timeout = transport.auth_timeout = SECONDS
            try:
                seen.append(_banner(transport))
                seen.append(_host_key(transport, directory))
                seen.append(_refused("none", lambda: transport.auth_none(user)))
                stranger = paramiko.ECDSAKey.generate()
                seen.append(
                    _refused("a strange key", lambda: transport.auth_publickey(user, stranger))
                )
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException, SheltieError) as error:
        return CheckShown(when, where, ok=False, seen=[*seen, f"FAILED: {error}"])
    return CheckShown(when, where, ok=True, seen=seen)


def _banner(transport: paramiko.Transport) -> str:
    transport.start_client(timeout=SECONDS)
    if transport.remote_version.encode() != VERSION:
        raise _failed(f"another server answers: {transport.remote_version[:80]!r}")
    return f"version {transport.remote_version}, key exchange done"


def _host_key(transport: paramiko.Transport, directory: Path) -> str:
    """Compare with what is stored, not with what the server says of itself."""
    key = transport.get_remote_server_key()
    stored = set()
    for name in NAMES:
        try:
            stored.add(read_file(directory / f"{name}.pub", LINE_MAX).split()[1].decode())
        except (OSError, IndexError):
            continue
    if key.get_base64() not in stored:
        raise _failed(f"the host key {key.get_name()} {key.fingerprint} is not one that is stored")
    return f"host key {key.fingerprint} is the stored one"


def _refused(what: str, attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except paramiko.BadAuthenticationType as error:
        if error.allowed_types != ["publickey"]:
            raise _failed(f"the server offers {error.allowed_types}") from error
        return f"authentication by {what} is refused"
    except paramiko.AuthenticationException:
        return f"authentication by {what} is refused"
    raise _failed(f"{what} LETS IN")


def _failed(what: str) -> FailedError:
    return FailedError(what, code="CHECK_FAILED")


def main(argv: list[str]) -> None:
    """Check, and print what was seen."""
    # The library tells its story by the log, a traceback for each refusal; ours is the result.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    host, port, user, directory = argv
    shown = check(host, int(port), user, Path(directory))
    sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
