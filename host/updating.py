"""Which engine updates this host: the own image's, or none."""

from collections.abc import Callable
from pathlib import Path

from contract.status import SystemStatus
from host.directories import Places
from host.image.access import RegistryAccess
from host.update.none import NoEngine
from host.update.seam import Engine

__all__ = ["engine"]


def engine(
    system: SystemStatus | None, places: Places, access: Callable[[], RegistryAccess]
) -> tuple[Engine, Path]:
    """Return the engine, and where the status of its commands is kept.

    Servers are reached as registries are: by the same proxy, with the same certificates.
    """
    if system is None:
        return NoEngine(), places.run / "updates.json"  # lost at a reboot, as upstream's is
    # It brings an HTTP client and TLS: a host that has no use for them does not load them.
    from host.update import places as engines
    from host.update.fetch import Source
    from host.update.sysupdate import Sysupdate

    def source() -> Source:
        found = access()
        proxies = {"https": found.https_proxy} if found.https_proxy else {}
        return Source(proxies, found.no_proxy, found.certificates)

    where = engines.Places(places.state / "updates")
    return Sysupdate(system.slot.rpartition("_")[0], where, source), where.status
