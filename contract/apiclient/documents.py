"""Settings documents for `apply`: TOML or JSON with a top-level `settings`."""

from typing import Any

from contract.errors import UsageError

__all__ = ["body", "parse"]


def parse(name: str, data: bytes) -> dict[str, Any]:
    """Return what is below `settings`. Raises UsageError (DOCUMENT_INVALID) that names it."""
    try:
        text = data.decode()
        # No TOML document begins with a brace, and every JSON object does.
        document = _json(text) if text.lstrip().startswith("{") else _toml(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(name, f"it is neither TOML nor JSON: {error}") from error
    settings = document.pop("settings", None)
    if not isinstance(settings, dict):
        raise _invalid(name, "it has no top-level table `settings`")
    if document:
        raise _invalid(name, f"beside `settings` it has `{next(iter(document))}`")
    return settings


def body(name: str, settings: dict[str, Any]) -> bytes:
    """Return the settings as the API takes them. Raises UsageError for what JSON does not have."""
    import json

    try:
        return json.dumps(settings, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # TOML has dates, and numbers without end
        raise _invalid(name, f"it holds a value that no setting has: {error}") from error


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _json(text: str) -> dict[str, Any]:
    import json

    document = json.loads(text)
    return document if isinstance(document, dict) else {}


def _invalid(name: str, why: str) -> UsageError:
    return UsageError(f"cannot apply {name[:100]}: {why}", code="DOCUMENT_INVALID")
