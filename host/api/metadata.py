"""Handlers of what upstream's datastore holds beside settings: services, files and metadata.

This daemon acts on settings itself: no configuration file is rendered, no command restarts
anything, no setting is generated. The answers say so in upstream's shapes.
"""

from collections.abc import Mapping
from typing import Any

from contract.errors import NotFoundError, UsageError
from host import wanted
from host.api.message import Call, Response, json
from host.api.settings import data_key
from host.house import House
from host.store import tree

__all__ = [
    "affected_services",
    "configuration_files",
    "configuration_files_model",
    "report",
    "services",
    "services_model",
    "setting_generators",
    "templates",
]


def services_model() -> dict[str, Any]:
    """Return what acts on settings, as upstream describes services."""
    return {name: {"configuration-files": [], "restart-commands": []} for name in wanted.SERVICES}


def configuration_files_model() -> dict[str, Any]:
    """Return the files that are rendered from settings: none."""
    return {}


async def services(_house: House, call: Call) -> Response:
    """GET /services: all, those of `names`, or those that start with `prefix`."""
    return _chosen("services", services_model(), call)


async def configuration_files(_house: House, call: Call) -> Response:
    """GET /configuration-files: all, those of `names`, or those that start with `prefix`."""
    return _chosen("configuration-files", configuration_files_model(), call)


async def affected_services(house: House, call: Call) -> Response:
    """GET /metadata/affected-services: what changes of `keys` concern."""
    found = {name: wanted.affected_services(data_key(name), house.policy) for name in _keys(call)}
    return json({name: names for name, names in found.items() if names})


async def setting_generators(_house: House, _call: Call) -> Response:
    """GET /metadata/setting-generators: no setting is generated here."""
    return json({})


async def templates(_house: House, call: Call) -> Response:
    """GET /metadata/templates: no setting of `keys` has a template."""
    _keys(call)
    return json({})


async def report(_house: House, _call: Call) -> Response:
    """GET /report: the reports there are. Upstream's check Bottlerocket itself."""
    return json([])


def _chosen(root: str, model: Mapping[str, Any], call: Call) -> Response:
    names, prefix = call.words("names"), call.text("prefix")
    if names is not None:
        missing = next((name for name in names if name not in model), None)
        if missing is not None:
            raise NotFoundError(f"Found no '{root}.{missing}' in datastore", code="DATA_MISSING")
        return json({name: model[name] for name in names})
    if prefix is not None:
        full = prefix if prefix.startswith(root) else f"{root}.{prefix}"
        return json(tree.nest(tree.by_prefix(tree.flatten(model, root), full)))
    return json(model)


def _keys(call: Call) -> list[str]:
    names = call.words("keys")
    if names is None:
        raise UsageError("Missing required input 'keys'", code="INPUT_MISSING")
    return names
