"""SSH's wire types (RFC 4251 section 5), as far as the monitor needs them."""

from contract.errors import UsageError

__all__ = ["Reader", "mpint", "string"]


def string(data: bytes) -> bytes:
    """Return `data` as an SSH string."""
    return len(data).to_bytes(4, "big") + data


def mpint(value: int) -> bytes:
    """Return a non-negative integer as an SSH mpint."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


class Reader:
    """Takes values off the front of `data`. Every method raises UsageError (BLOB_BAD)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise UsageError("data is cut off", code="BLOB_BAD")
        self._at += size
        return piece

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def string(self) -> bytes:
        """Return the next string."""
        return self.take(int.from_bytes(self.take(4), "big"))

    def text(self) -> str:
        """Return the next string as UTF-8."""
        try:
            return self.string().decode()
        except UnicodeDecodeError as error:
            raise UsageError("data is not UTF-8", code="BLOB_BAD") from error

    def mpint(self) -> int:
        """Return the next mpint."""
        return int.from_bytes(self.string(), "big", signed=True)

    def done(self) -> bool:
        """Whether everything was taken."""
        return self._at == len(self._data)

    def taken(self) -> bytes:
        """Return all that was taken so far."""
        return self._data[: self._at]

    def end(self) -> None:
        """Raise UsageError unless everything was taken."""
        if self._at != len(self._data):
            raise UsageError("data has a tail", code="BLOB_BAD")
