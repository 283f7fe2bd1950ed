"""Connecting to the host API's socket, and saying what to do when that is not possible."""

import socket

from contract import places
from contract.errors import SheltieError, UnavailableError, UsageError

__all__ = ["dial"]

CONNECT_SECONDS = 5.0
"""Longest wait for a place in the server's queue of connections."""


def dial(path: str) -> socket.socket:
    """Return a stream socket connected to `path`; its timeout is CONNECT_SECONDS.

    Raises UnavailableError (API_SOCKET_MISSING, API_SOCKET_DENIED, API_SILENT) or UsageError.
    """
    if len(path.encode("utf-8", "surrogateescape")) > places.SOCKET_PATH_MAX or "\0" in path:
        raise UsageError(
            f"{path[:60]!r} cannot be the path of a socket",
            hint=f"a socket's path has at most {places.SOCKET_PATH_MAX} bytes",
            code="API_SOCKET_PATH",
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise _unreachable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _unreachable(path: str, error: OSError) -> SheltieError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return UnavailableError(
                f"there is no host API at {path}",
                hint="run this inside a host container, or name the socket with --socket-path",
                code="API_SOCKET_MISSING",
            )
        case PermissionError():
            return UnavailableError(
                f"this user may not use the host API at {path}",
                hint=f"become root or a member of group api (gid {places.API_GID})",
                code="API_SOCKET_DENIED",
            )
        case ConnectionRefusedError() | TimeoutError() | BlockingIOError():
            return UnavailableError(
                f"nobody answers at {path}",
                hint="the host's daemon may be restarting: try again",
                code="API_SILENT",
            )
        case _:
            why = error.strerror or str(error)
            return UnavailableError(f"cannot reach the host API at {path}: {why}")
