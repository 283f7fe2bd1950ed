"""containers-common's seccomp profile turned into OCI's form. Pure.

The file (seccomp.json(5) of containers-common) holds rules for every architecture and capability
set; an OCI runtime wants only those that apply.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from contract.errors import MachineError

__all__ = ["PROFILE", "WITHHELD", "resolve"]

PROFILE: Final = "/usr/share/containers/seccomp.json"

# uname(2)'s machine: (name in the profile's conditions, name of libseccomp).
_ARCHES: Final = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
}

WITHHELD: Final = (
    "add_key",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "request_key",
    "setns",
    "umount",
    "umount2",
    "unshare",
)
"""Calls that the profile allows, because podman's own users make user namespaces, and containerd's
default (upstream's) does not without CAP_SYS_ADMIN: EPERM."""
_EPERM: Final = 1
_ENOSYS: Final = 38
_CLONE_NEW: Final = 0x7E020000  # every CLONE_NEW* flag of clone(2)


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
    if "CAP_SYS_ADMIN" not in capabilities:
        result["syscalls"] = _without_namespaces(rules)
    return result


def _without_namespaces(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules such that nobody mounts or makes a namespace, by whatever call."""
    taken = {*WITHHELD, "clone", "clone3"}
    kept = []
    for rule in rules:
        names = [name for name in rule["names"] if name not in taken]
        if names:
            kept.append({**rule, "names": names})
    flags = {"index": 0, "value": _CLONE_NEW, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return [
        *kept,
        {"names": list(WITHHELD), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]},
        # Its flags lie in memory, where no filter sees them: the C library then takes clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ]


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
