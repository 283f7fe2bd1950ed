"""A request as handlers see it, and what they answer: upstream's statuses, texts and shapes.

Errors are one plain line, data is compact JSON, and success without data is 204.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from contract.errors import SheltieError, UsageError
from contract.peer import Peer
from host.callers import Caller

__all__ = ["Call", "Response", "Stream", "done", "failed", "json", "parse_target"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: by whom, what, with which body. Header names are in lower case."""

    caller: Caller
    peer: Peer
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def words(self, name: str) -> list[str] | None:
        """Return the comma-separated words of query `name`, or None; UsageError when empty."""
        text = self.text(name)
        return None if text is None else text.split(",")

    def text(self, name: str) -> str | None:
        """Return query `name`, or None; UsageError (INPUT_MISSING) when it is empty."""
        text = self.query.get(name)
        if text == "":
            raise UsageError(f"Input '{name}' cannot be empty", code="INPUT_MISSING")
        return text

    def json_body(self) -> bytes:
        """Return the body, which must say that it is JSON (UsageError CONTENT_TYPE)."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise UsageError("Content type error", code="CONTENT_TYPE")
        return self.body


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in pieces, as they come; it ends when they do, or when the client goes."""

    kind: str
    chunks: AsyncGenerator[bytes, None]


def json(value: Any) -> Response:
    """Return 200 with compact JSON."""
    return Response(200, msgspec.json.encode(value), "application/json")


def done() -> Response:
    """Return 204: it worked and there is nothing to say."""
    return Response(204)


def failed(error: SheltieError) -> Response:
    """Return the error's status and its one line: upstream's words alone where they are known."""
    hint = f"; {error.hint}" if error.hint else ""
    line = " ".join(f"{error.message}{hint}".splitlines())
    return Response(error.http_status, line.encode("utf-8", "replace"), "text/plain; charset=utf-8")


def parse_target(target: bytes) -> tuple[str, dict[str, str]]:
    """Return the decoded path and query of a request target; of equal names the last counts.

    Raises UsageError (TARGET_INVALID).
    """
    try:
        parts = urlsplit(target.decode("ascii"))
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise UsageError("the request's target cannot be read", code="TARGET_INVALID") from error
    return unquote(parts.path) or "/", query
