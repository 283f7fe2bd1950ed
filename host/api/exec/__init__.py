"""GET /exec: a process in a container, over a WebSocket (core-kit api-exec.md)."""

from host.api.exec.handshake import opening
from host.api.exec.session import serve

__all__ = ["opening", "serve"]
