"""Handlers of /settings: reading what is live, staging changes."""

import json as numbers
import sys
from typing import Any, Final

import msgspec

from contract import settings as model
from contract.errors import UsageError
from host import callers, wanted
from host.api.message import Call, Response, done, json
from host.house import House
from host.store import key, tree
from host.store.transactions import DEFAULT

__all__ = ["data_key", "keypair", "patch", "show"]

_U64_MAX: Final = 2**64 - 1


class _Pairs(msgspec.Struct, forbid_unknown_fields=True):
    request_payload: list[str]


async def show(house: House, call: Call) -> Response:
    """GET /settings: all, those named by `keys`, or those that start with `prefix`."""
    live = wanted.shown(house.transactions.live, call.caller)
    names, prefix = call.words("keys"), call.query.get("prefix")
    if names is not None:
        live = tree.by_names(live, map(data_key, names))
    elif prefix is not None:
        text = call.text("prefix") or ""
        live = tree.by_prefix(live, text if text.startswith("settings") else f"settings.{text}")
    return json(tree.nest(live))


async def patch(house: House, call: Call) -> Response:
    """PATCH /settings: stage a nested document, without an outer "settings"."""
    settings = model.decode(call.json_body())
    return _stage(house, call, settings)


async def keypair(house: House, call: Call) -> Response:
    """PATCH /settings/keypair: stage `NAME=VALUE` pairs whose types are guessed."""
    try:
        pairs = msgspec.json.decode(call.json_body(), type=_Pairs).request_payload
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"Json deserialize error: {error}", code="SETTINGS_INVALID") from error
    try:
        document = msgspec.json.encode(tree.nest(dict(map(_pair, pairs))))
        return _stage(house, call, model.decode(document))
    except UsageError as error:
        if error.code != "SETTINGS_INVALID":
            raise
        raise _mismatch(error) from error


def guess(text: str) -> bool | float | str:
    """Return the value that `text` most likely means, in upstream's order.

    A boolean, a number of 64 bits without sign, a number, else the string itself.
    """
    if text.strip() in {"true", "false"}:
        return text.strip() == "true"
    try:
        # parse_constant refuses NaN and Infinity, which are Python's and not JSON's.
        value = numbers.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, int) and 0 <= value <= _U64_MAX:
        return value
    if isinstance(value, int | float) and abs(value) <= sys.float_info.max:
        return float(value)
    return text


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _pair(pair: str) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"Failed to split the string: {pair}", code="KEY_PAIR_INVALID")
    try:
        segments = key.split(name)
        if segments[0] != "settings":
            segments = key.split(key.join(("settings", *segments)))
    except UsageError as error:
        why = f"Prefix '{name}' is not a valid key: {error.message}"
        raise UsageError(why, code="KEY_NAME_INVALID") from error
    return key.join(segments), guess(value)


def data_key(text: str) -> str:
    """Return the canonical name of a setting. Raises UsageError (KEY_NAME_INVALID)."""
    try:
        return key.join(key.split(text))
    except UsageError as error:
        why = f"Unable to make data key '{text}': {error.message}"
        raise UsageError(why, code="KEY_NAME_INVALID") from error


def _stage(house: House, call: Call, settings: model.Settings) -> Response:
    for name in settings.host_containers or {}:
        callers.check_name(name)
    values = tree.flatten(msgspec.to_builtins(settings))
    house.transactions.stage(call.caller, call.query.get("tx", DEFAULT), values)
    return done()


def _mismatch(error: UsageError) -> UsageError:
    cause = error.message.removeprefix("Json deserialize error: ")
    return UsageError(
        "Unable to match your input to the data model.  We may not have enough type information."
        f"  Please try the --json input form.  Cause: {cause}",
        code="SETTINGS_MISMATCH",
    )
