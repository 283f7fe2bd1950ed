"""The table of endpoints below /sheltie/v1/; a word in braces stands for any one segment."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from host.api import about, actions
from host.api.message import Call, Response, Stream
from host.api.v1 import changes, containers, events, generations, metrics
from host.house import House

__all__ = ["PREFIX", "handler"]

PREFIX: Final = "/sheltie/v1/"

Handler = Callable[[House, Call], Awaitable[Response | Stream]]

_ROUTES: Final[dict[str, Callable[..., Any]]] = {
    "GET status": about.status,
    "POST stop": about.stop,
    "GET containers": containers.show,
    "GET containers/{name}": containers.one,
    "GET containers/{name}/logs": containers.logs,
    "GET events": events.show,
    "GET generations": generations.names,
    "GET generations/diff": generations.diff,
    "GET generations/{number}": generations.show,
    "POST generations/{number}/restore": generations.restore,
    "DELETE settings": changes.delete,
    "POST commit_and_apply": changes.commit_and_apply,
    "GET metrics": metrics.show,
    "POST touched": actions.touched,
    "GET updates": actions.report,
    "POST updates/rollback": actions.rollback,
}


def handler(method: str, path: str) -> Handler | None:
    """Return what answers; None for an unknown path, and for a method that a path does not know."""
    if not path.startswith(PREFIX):
        return None
    segments = path.removeprefix(PREFIX).split("/")
    for route, function in _ROUTES.items():
        known_method, _, pattern = route.partition(" ")
        if known_method == method and (words := _matched(pattern.split("/"), segments)) is not None:
            return partial(_call, function, words)
    return None


async def _call(
    function: Callable[..., Any], words: list[str], house: House, call: Call
) -> Response | Stream:
    response: Response | Stream = await function(house, call, *words)
    return response


def _matched(pattern: list[str], segments: list[str]) -> list[str] | None:
    """Return the segments that stand where the pattern has braces; None where it does not fit."""
    if len(pattern) != len(segments):
        return None
    pairs = list(zip(pattern, segments, strict=True))
    if any(one != word and not (word and one.startswith("{")) for one, word in pairs):
        return None
    return [word for one, word in pairs if one.startswith("{")]
