"""What each verb of `apiclient` does: adapters between the command line and the client."""

import os
import sys
from argparse import Namespace
from typing import Any

from contract.apiclient.client import HostApi, merge, without
from contract.errors import UsageError

__all__ = ["perform"]

STDIN = "-"
DEFAULT_PREFIXES = ("os.", "settings.")


def perform(options: Namespace) -> int:
    """Do what the options say and return the exit status. Raises SheltieError."""
    match options.verb:
        case "get":
            return _get(_api(options), options)
        case "set":
            return _set(_api(options), options.pairs, options.json)
        case "apply":
            return _apply(_api(options), options.uris or [STDIN])
        case "update":
            return _update(_api(options), options)
        case "reboot":
            _api(options).call("POST", "/actions/reboot")
            return 0
        case "report":
            return _report(_api(options), options)
        case "raw":
            return _raw(_api(options), options)
        case _:
            return _exec(options)


def _api(options: Namespace) -> HostApi:
    loud = options.verbose or options.log_level in {"trace", "debug"}
    return HostApi(options.socket_path, note=_note if loud else None)


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _get(api: HostApi, options: Namespace) -> int:
    words = options.prefixes
    found: Any = api.get([word for word in words if not word.startswith("/")] or _default(words))
    for uri in words:
        if uri.startswith("/"):
            answer = api.read(uri)
            found = merge(found, answer) if isinstance(answer, dict) and found else answer
    for prefix in options.exclude:
        found = without(found, prefix) if isinstance(found, dict) else found
    _show(found, canonical=options.canonicalize)
    return 0


def _show(document: Any, *, canonical: bool = False) -> None:
    import json

    shape: dict[str, Any] = {"separators": (",", ":")} if canonical else {"indent": 2}
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, **shape)
    sys.stdout.write(f"{text}\n")


def _default(words: list[str]) -> tuple[str, ...]:
    return () if words else DEFAULT_PREFIXES


def _set(api: HostApi, pairs: list[str], text: str | None) -> int:
    if text is not None and not pairs:
        api.set_document(_document(text))
    elif pairs and text is None:
        bad = next((pair for pair in pairs if "=" not in pair), None)
        if bad is not None:
            raise UsageError(f"{bad[:60]!r} is no NAME=VALUE", code="KEY_PAIR_INVALID")
        api.set_pairs(pairs)
    else:
        raise UsageError("nothing to set", hint="give NAME=VALUE pairs, or --json and an object")
    return 0


def _document(text: str) -> dict[str, Any]:
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is no JSON: {error}", code="JSON_INVALID") from error
    # Upstream takes both forms: with an outer "settings" and without.
    inner = document.get("settings", document) if isinstance(document, dict) else None
    if not isinstance(inner, dict):
        raise UsageError("settings must be a JSON object", code="JSON_INVALID")
    return inner


def _apply(api: HostApi, uris: list[str]) -> int:
    from contract.apiclient import documents
    from contract.apiclient.fetch import fetch_all
    from contract.apiclient.progress import Progress

    with Progress("fetching") as progress:
        found = fetch_all(uris, tick=progress.tick)
    # All are read and understood before anything is asked of the host.
    pairs = list(zip(uris, found, strict=True))
    api.apply([documents.body(name, documents.parse(name, data)) for name, data in pairs])
    return 0


def _update(api: HostApi, options: Namespace) -> int:
    from contract.apiclient import updating

    if options.step == "cancel":
        updating.order(api, updating.DEACTIVATE)
        return 0
    if options.step == "check" or options.check:
        status = updating.order(api, updating.REFRESH)
        _show(status)
        if options.step == "check" or not updating.required(status):
            return 0
    updating.order(api, updating.PREPARE)
    updating.order(api, updating.ACTIVATE)
    if options.reboot:
        api.call("POST", "/actions/reboot")
    elif options.log_level not in {"warn", "error"}:
        _note("Update has been applied and will take effect on next reboot.")
    return 0


def _report(api: HostApi, options: Namespace) -> int:
    if options.kind is None:
        _show(api.read("/report"))
        return 0
    name, _, flavour = options.kind.partition("-")
    query = {"format": options.format}
    if name == "cis":
        kind = "kubernetes" if flavour else "bottlerocket"
        query |= {"level": options.level, "type": kind}
    words = "&".join(f"{key}={value}" for key, value in query.items() if value)
    body = api.call("GET", f"/report/{name}" + (f"?{words}" if words else ""), seconds=120)
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    return 0


def _raw(api: HostApi, options: Namespace) -> int:
    data = options.data.encode("utf-8", "surrogateescape")
    body = api.call(options.method.upper(), options.uri, data)
    if body:
        sys.stdout.flush()
        sys.stdout.buffer.write(body + b"\n")
    return 0


def _exec(options: Namespace) -> int:
    from contract.apiclient.attach import attach

    words = options.command
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        raise UsageError("exec needs a command", hint=f"apiclient exec {options.target} bash")
    argv = list(map(os.fsencode, words))
    return attach(options.socket_path, options.target, argv, tty=options.tty)
