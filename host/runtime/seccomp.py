"""containers-common's seccomp profile turned into OCI's form. Pure.

The file (seccomp.json(5) of containers-common) holds rules for every architecture and capability
set; an OCI runtime wants only those that apply.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from contract.errors import MachineError

__all__ = ["PROFILE", "resolve"]

PROFILE: Final = "/usr/share/containers/seccomp.json"

# uname(2)'s machine: (name in the profile's conditions, name of libseccomp).
_ARCHES: Final = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
}


def resolve(
    profile: Mapping[str, Any], machine: str, capabilities: Collection[str]
) -> dict[str, Any]:
    """Return the OCI `linux.seccomp` of a process with `capabilities` on a `machine`.

    Raises MachineError (SECCOMP_UNUSABLE): a container without a filter is never the way out.
    """
    if machine not in _ARCHES:
        raise _unusable(f"it is not known for architecture {machine}")
    arch, native = _ARCHES[machine]
    try:
        subs = {one["architecture"]: one["subArchitectures"] for one in profile["archMap"]}
        rules = [_rule(one) for one in profile["syscalls"] if _applies(one, arch, capabilities)]
        result = {
            "defaultAction": profile["defaultAction"],
            "architectures": [native, *subs.get(native, [])],
            "syscalls": rules,
        }
        if "defaultErrnoRet" in profile:
            result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    except (KeyError, TypeError, AttributeError) as error:
        raise _unusable(f"it lacks {error}") from error
    if result["defaultAction"] == "SCMP_ACT_ALLOW" or not rules:
        raise _unusable("it allows whatever it does not name")
    return result


def _applies(rule: Mapping[str, Any], arch: str, capabilities: Collection[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if arch in excludes.get("arches", ()) or set(excludes.get("caps", ())) & set(capabilities):
        return False
    wanted = includes.get("arches")
    if wanted and arch not in wanted:
        return False
    # A condition on the kernel's version (minKernel) names versions older than any we run on.
    return set(includes.get("caps", ())) <= set(capabilities)


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"names": rule["names"], "action": rule["action"]}
    if "errnoRet" in rule:
        kept["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        kept["args"] = [
            {key: one[key] for key in ("index", "value", "valueTwo", "op")} for one in rule["args"]
        ]
    return kept


def _unusable(why: str) -> MachineError:
    return MachineError(
        f"the seccomp profile {PROFILE} cannot be used: {why}",
        hint="install Debian's package golang-github-containers-common",
        code="SECCOMP_UNUSABLE",
    )
