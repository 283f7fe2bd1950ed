"""How much input may be on its way: the client's half of /exec's flow control. Pure."""

from contract.errors import FailedError
from contract.execwire import Capacity

__all__ = ["Flow"]


class Flow:
    """Counts input messages; before the server's first word there is no room for any."""

    def __init__(self) -> None:
        self._sent = 0
        self._written = 0
        self._outstanding_max = 0

    @property
    def room(self) -> bool:
        """Whether one more message may be sent."""
        return self._sent - self._written < self._outstanding_max

    def sent(self) -> None:
        """Count a message."""
        self._sent += 1

    def update(self, capacity: Capacity) -> None:
        """Take the server's word. Raises FailedError (EXEC_PROTOCOL) where it cannot be true."""
        if not self._written <= capacity.messages_written <= self._sent:
            why = f"the host says {capacity.messages_written} of {self._sent} messages were written"
            raise FailedError(why, code="EXEC_PROTOCOL")
        self._written = capacity.messages_written
        self._outstanding_max = capacity.max_messages_outstanding
