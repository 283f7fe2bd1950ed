"""The host API's requests as calls: reading, and changing settings in one transaction.

Only upstream's endpoints are used here. JSON stays plain Python objects: this is also the command
line's path, where decoding into types would cost its start-up.
"""

import contextlib
import json
import os
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from contract import places
from contract.apiclient.exchange import SECONDS, exchange
from contract.apiclient.failure import failure
from contract.errors import FailedError, SheltieError

__all__ = ["HostApi", "merge", "without"]

_ALPHABET: Final = string.ascii_letters + string.digits
_DROP_SECONDS: Final = 5.0


class HostApi:
    """The API at one socket. Every method raises the SheltieError of what went wrong.

    `note` gets a line for each answer, for people who want to see them.
    """

    def __init__(
        self, path: str = places.API_SOCKET, *, note: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self._note = note

    def call(self, method: str, uri: str, body: bytes = b"", *, seconds: float = SECONDS) -> bytes:
        """Return the body of a successful answer; RefusedError for 403 and so on (`failure`)."""
        response = exchange(self.path, method, uri, body, seconds=seconds)
        if self._note is not None:
            self._note(f"{method} {uri}: {_phrase(response.status)}")
        if not 200 <= response.status < 300:  # noqa: PLR2004  RFC 9110: success
            raise failure(method, uri, response.status, response.body)
        return response.body

    def read(self, uri: str) -> Any:
        """Return the JSON document at `uri`."""
        return _decode(self.call("GET", uri))

    def get(self, prefixes: Iterable[str]) -> dict[str, Any]:
        """Return all that starts with one of the dotted `prefixes`, merged into one document."""
        from urllib.parse import quote

        merged: dict[str, Any] = {}
        for prefix in prefixes:
            part = self.read(f"/?prefix={quote(prefix, safe='')}")
            if not isinstance(part, dict):
                raise FailedError("the host API's answer is no JSON object", code="API_BROKEN")
            merged = merge(merged, part)
        return merged

    def set_pairs(self, pairs: Sequence[str]) -> list[str]:
        """Make `NAME=VALUE` pairs live and return the names of what changed."""
        body = json.dumps({"request_payload": list(pairs)}).encode()
        return self._change("set", "/settings/keypair", [body])

    def set_document(self, document: Mapping[str, Any]) -> list[str]:
        """Make a nested document live (without an outer "settings"); return what changed."""
        return self._change("set", "/settings", [json.dumps(document).encode()])

    def apply(self, documents: Sequence[bytes]) -> list[str]:
        """Make nested documents (JSON, without an outer "settings") live, all or none."""
        return self._change("apply", "/settings", documents)

    def _change(self, verb: str, uri: str, bodies: Sequence[bytes]) -> list[str]:
        """Stage and commit in a transaction of our own, of which nothing stays when it fails."""
        name = f"apiclient-{verb}-" + "".join(_ALPHABET[byte % 62] for byte in os.urandom(16))
        try:
            for body in bodies:
                self.call("PATCH", f"{uri}?tx={name}", body)
            changed = _decode(self.call("POST", f"/tx/commit_and_apply?tx={name}"))
        except BaseException:
            with contextlib.suppress(SheltieError):
                self.call("DELETE", f"/tx?tx={name}", seconds=_DROP_SECONDS)
            raise
        return list(map(str, changed)) if isinstance(changed, list) else []


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both documents in one; where both hold a value that is no object, the second's."""
    merged = dict(first)
    for key, value in second.items():
        present = merged.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            merged[key] = merge(present, value)
        else:
            merged[key] = value
    return merged


def without(document: Mapping[str, Any], prefix: str, path: str = "") -> dict[str, Any]:
    """Return the document without what lies at dotted names that start with `prefix`."""
    kept: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{path}{key}"
        if name.startswith(prefix):
            continue
        if isinstance(value, dict) and value:
            if inner := without(value, prefix, f"{name}."):
                kept[key] = inner
        else:
            kept[key] = value
    return kept


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FailedError("the host API's answer is no JSON", code="API_BROKEN") from error


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
