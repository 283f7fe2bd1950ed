"""Which images may go. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["Claim", "superfluous"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The images that one container holds on to, by digest; empty where there is none.

    What it runs from, what was last handed out for it, what was last brought for its source, and
    what it last ran well from.
    """

    running: str = ""
    handed: str = ""
    brought: str = ""
    good: str = ""


def superfluous(
    present: Collection[str], claims: Iterable[Claim], mounted: Collection[str] = ()
) -> set[str]:
    """Return which of the images nobody claims; what is mounted is never among them."""
    kept = set(mounted)
    for claim in claims:
        kept |= {claim.running, claim.handed, claim.brought, claim.good}
    return set(present) - kept
