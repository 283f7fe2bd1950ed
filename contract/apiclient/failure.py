"""What a status of 400 and above means, in upstream's words and as one of our errors."""

from typing import Final

from contract.errors import (
    ConflictError,
    FailedError,
    NotFoundError,
    RefusedError,
    SheltieError,
    TimedOutError,
    UnavailableError,
    UsageError,
)

__all__ = ["StatusError", "failure", "status_of"]

TEXT_MAX: Final = 2000
"""Characters of the server's text that are shown."""

_KINDS: Final[dict[int, tuple[type[SheltieError], str]]] = {
    400: (UsageError, "API_BAD_REQUEST"),
    403: (RefusedError, "API_REFUSED"),
    404: (NotFoundError, "API_NOT_FOUND"),
    409: (ConflictError, "API_CONFLICT"),
    413: (UsageError, "API_BAD_REQUEST"),
    422: (ConflictError, "API_CONFLICT"),
    423: (ConflictError, "API_CONFLICT"),
    503: (UnavailableError, "API_UNAVAILABLE"),
    504: (TimedOutError, "API_TIMED_OUT"),
}


class StatusError(Exception):
    """An answer of 400 and above; its text is upstream's, whose number after "Status" is parsed."""

    def __init__(self, method: str, uri: str, status: int, text: str) -> None:
        super().__init__(
            f"Failed {method} request to '{uri}': Status {status} when {method}ing {uri}: {text}"
        )
        self.status = status


def failure(method: str, uri: str, status: int, body: bytes) -> SheltieError:
    """Return the error of the status's kind with the server's one line; a StatusError caused it."""
    text = " ".join(body.decode("utf-8", "replace").split())[:TEXT_MAX]
    kind, code = _KINDS.get(status, (FailedError, "API_FAILED"))
    error = kind(text or f"the host API answers {method} {uri} with {status}", code=code)
    error.__cause__ = StatusError(method, uri, status, text)
    return error


def status_of(error: SheltieError) -> int | None:
    """Return the HTTP status that an error came of; None for one that the host did not answer."""
    return error.__cause__.status if isinstance(error.__cause__, StatusError) else None
