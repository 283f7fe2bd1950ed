"""What is ours below /sheltie/v1/: a stock host answers 404 to all of it."""

from host.api.v1.routes import handler

__all__ = ["handler"]
