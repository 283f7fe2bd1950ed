"""The owner's wishes for `sheltie --look`: the `sheltie.look-*` keys of admin's user-data, judged.

The keeper names what is wrong with them in its status, sheltie refuses to look. Nothing heavy is
imported: sheltie's look has 10 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's constant without its import
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEYS", "Wishes", "judge"]

KEYS = ("look-uids", "look-masks", "look-syslog")
UIDS = (1879048192, 2147352575)
"""Above every range that systemd, containers and directories use (systemd: UIDS-GIDS)."""
_NOBODY = 0xFFFFFFFF
"""(uid_t) -1, which no process can have."""


class Wishes:
    """What user-data says, or the defaults."""

    __slots__ = ("first", "last", "masks", "syslog")

    def __init__(
        self, uids: tuple[int, int] = UIDS, masks: tuple[str, ...] = (), *, syslog: bool = True
    ) -> None:
        self.first, self.last = uids
        """One uid for each look, between these."""
        self.masks = masks
        """Paths to cover beside the built-in ones."""
        self.syslog = syslog
        """Whether CAP_SYSLOG is held where the host keeps its kernel messages from users."""


def judge(section: Mapping[str, object]) -> tuple[Wishes, tuple[str, ...]]:
    """Return the wishes of user-data's `sheltie` section, and a sentence for each unusable one."""
    uids, masks = _range(section.get("look-uids")), section.get("look-masks", [])
    syslog = section.get("look-syslog", True)
    problems = []
    if uids is None:
        problems.append("sheltie.look-uids must be FIRST-LAST")
    if not isinstance(masks, list) or not all(map(_usable, masks)):
        problems.append("sheltie.look-masks must be a list of absolute paths, one * in a component")
        masks = []
    if not isinstance(syslog, bool):
        problems.append("sheltie.look-syslog must be true or false")
        syslog = False
    return Wishes(uids or UIDS, tuple(masks), syslog=syslog), tuple(problems)


def _range(value: object) -> tuple[int, int] | None:
    """Return both ends; the default where nothing is said, None where it is unusable."""
    if value is None:
        return UIDS
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not dash or not all(one.isascii() and one.isdigit() and len(one) <= len(str(_NOBODY))
                           for one in (first, last)):  # fmt: skip
        return None
    uids = int(first), int(last)
    return uids if 0 < uids[0] <= uids[1] < _NOBODY else None


def _usable(pattern: object) -> bool:
    if not isinstance(pattern, str) or not pattern.startswith("/") or "\0" in pattern:
        return False
    parts = pattern.split("/")[1:]
    return all(part not in ("", ".", "..") and part.count("*") <= 1 for part in parts)
