"""What `GET /os` tells: the host's release, in upstream's words (bottlerocket-release).

Clients parse `version_id` as a semantic version (semver.org 2.0.0). Other systems write less
strictly: up to three leading numbers of VERSION_ID count, missing ones are 0, leading zeros go
("13" is 13.0.0, "24.04" is 24.4.0), and a system without numbers is 0.0.0.
"""

import re
from collections.abc import Mapping

from contract.values import SEMVER

__all__ = ["boot_id", "os_info", "read"]

_NUMBERS = re.compile(r"[0-9]{1,18}")


def read() -> dict[str, str]:
    """Return this host's release; a host without os-release(5) has an unnamed one."""
    import os
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return os_info(release, os.uname().machine)


def boot_id() -> str:
    """Return the kernel's id of this boot (random(4)); empty where it does not tell."""
    from pathlib import Path

    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def os_info(release: Mapping[str, str], arch: str) -> dict[str, str]:
    """Return the members of `GET /os` for an os-release(5) and a machine's name."""
    return {
        "pretty_name": release.get("PRETTY_NAME") or release.get("NAME") or "Linux",
        "variant_id": release.get("VARIANT_ID") or release.get("ID") or "linux",
        "version_id": _semver(release.get("VERSION_ID", "")),
        "build_id": release.get("BUILD_ID") or release.get("IMAGE_VERSION") or "unknown",
        "arch": arch,
    }


def _semver(text: str) -> str:
    if SEMVER.fullmatch(text):
        return text
    numbers = [int(number) for number in _NUMBERS.findall(text.partition("-")[0])[:3]]
    return ".".join(str(number) for number in [*numbers, 0, 0, 0][:3])
