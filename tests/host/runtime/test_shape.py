"""Both shapes against the contract's table (upstream's host-ctr)."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import MachineError
from contract.status import Limits
from host.runtime import capabilities, seccomp
from host.runtime.limits import UNLIMITED
from host.runtime.mounts import OPTIONAL_PROGRAMS, OPTIONAL_SOURCES, HostFacts
from host.runtime.shape import ImageProcess, Wish, config

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
        {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["amd"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["mount"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
    ],
}
ALL = (1 << 41) - 1


def facts(**changes: Any) -> HostFacts:
    """Return the facts of a host that has everything."""
    known: dict[str, Any] = {
        "machine": "x86_64",
        "bounding": ALL,
        "open_files": 20000,
        "present": (*OPTIONAL_SOURCES, *OPTIONAL_PROGRAMS),
        "effective": ALL,
        "seccomp": PROFILE,
    }
    return HostFacts(**{**known, **changes})


def shaped(
    *,
    superpowered: bool,
    name: str = "admin",
    limits: Limits = UNLIMITED,
    protected: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Return the configuration of a container on a host with these facts."""
    process = ImageProcess(("/init", "x"), ("A=b",), "/home", {"uid": 3, "gid": 4})
    wish = Wish(
        name,
        superpowered,
        process,
        "/rootfs",
        "/sheltie/x",
        "/state/x",
        "/run/s/api/x",
        limits=limits,
        protected=protected,
        certificates="/run/s/certs",
    )
    return config(wish, facts(**changes))


def mounts(document: dict[str, Any]) -> dict[str, tuple[str, set[str]]]:
    """Return {destination: (source, options)}."""
    return {one["destination"]: (one["source"], set(one["options"])) for one in document["mounts"]}


def kinds(document: dict[str, Any]) -> set[str]:
    """Return the namespaces that are the container's own."""
    return {one["type"] for one in document["linux"]["namespaces"]}


def test_the_process_is_the_images() -> None:
    """Arguments, environment, directory and user come from the image, the cgroup from us."""
    process = shaped(superpowered=False)["process"]

    assert process["args"] == ["/init", "x"]
    assert process["env"] == ["A=b"]
    assert process["cwd"] == "/home"
    assert process["user"] == {"uid": 3, "gid": 4}
    assert shaped(superpowered=True)["linux"]["cgroupsPath"] == "/sheltie/x"


@pytest.mark.parametrize("superpowered", [False, True])
def test_the_environment_of_the_host_comes_on_top(*, superpowered: bool) -> None:
    """What the host says replaces what the image says of the same variable, and is added."""
    process = ImageProcess(("/init",), ("PATH=/bin", "no_proxy=x", "A=b=c"), "/", {})
    own = (("no_proxy", "localhost"), ("HTTPS_PROXY", "http://p:1"))
    wish = Wish("x", superpowered, process, "/r", "/c", "/s", "/a", own, certificates="/c")

    assert config(wish, facts())["process"]["env"] == [
        "PATH=/bin",
        "A=b=c",
        "no_proxy=localhost",
        "HTTPS_PROXY=http://p:1",
    ]


def test_an_unprivileged_container_has_its_own_namespaces_and_the_hosts_network() -> None:
    """Pid, ipc, uts, mount and cgroup are its own, net and user the host's."""
    assert kinds(shaped(superpowered=False)) == {"pid", "ipc", "uts", "mount", "cgroup"}


def test_a_superpowered_container_shares_pid_net_and_cgroup() -> None:
    """Only ipc, uts and mount are its own."""
    assert kinds(shaped(superpowered=True)) == {"ipc", "uts", "mount"}


def test_an_unprivileged_container_may_do_what_containerd_allows() -> None:
    """Fourteen capabilities, no new privileges, a filter, masked and read-only paths."""
    document = shaped(superpowered=False)
    caps = document["process"]["capabilities"]

    assert set(caps) == {"bounding", "effective", "permitted"}
    assert {tuple(words) for words in caps.values()} == {tuple(caps["bounding"])}
    assert set(caps["bounding"]) == capabilities.DEFAULT
    assert len(capabilities.DEFAULT) == 14
    assert document["process"]["noNewPrivileges"] is True
    assert document["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "/proc/kcore" in document["linux"]["maskedPaths"]
    assert "/sys/firmware" not in document["linux"]["maskedPaths"]
    assert "/proc/sys" in document["linux"]["readonlyPaths"]
    assert document["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert document["linux"]["rootfsPropagation"] == "rprivate"


def test_a_superpowered_container_may_do_everything_that_we_may() -> None:
    """All of our bounding set and no bit more; no filter, nothing masked, every device."""
    document = shaped(superpowered=True, bounding=ALL & ~(1 << 24))
    caps = document["process"]["capabilities"]["bounding"]

    assert len(caps) == 40
    assert "CAP_SYS_RESOURCE" not in caps
    assert document["process"]["noNewPrivileges"] is False
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & set(document["linux"])
    assert document["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert document["linux"]["rootfsPropagation"] == "rshared"


@pytest.mark.parametrize("superpowered", [False, True])
def test_the_contracts_mounts_are_in_both(superpowered: bool) -> None:
    """What every host container finds, with the options that upstream gives."""
    found = mounts(shaped(superpowered=superpowered))

    assert found["/.bottlerocket/host-containers/admin"] == (
        "/state/x",
        {"rbind", "rw", "rprivate"},
    )
    assert found["/.bottlerocket/host-containers/current"][0] == "/state/x"
    assert found["/run/host-api"][0] == "/run/s/api/x"
    assert "ro" in found["/run/host-api"][1]
    for destination, source in {
        "/etc/hosts": "/etc/hosts",
        "/etc/resolv.conf": "/etc/resolv.conf",
        "/etc/bottlerocket-release": "/etc/os-release",
        "/.bottlerocket/support": "/var/log/support",
        "/.bottlerocket/certs": "/run/s/certs",
        "/usr/local/bin/apiclient": "/usr/bin/apiclient",
        "/var/lib/bottlerocket/inventory/application.json": (
            "/usr/share/bottlerocket/application-inventory.json"
        ),
    }.items():
        assert found[destination] == (source, {"bind", "ro", "rprivate"})


@pytest.mark.parametrize("superpowered", [False, True])
def test_what_the_host_lacks_is_left_out(superpowered: bool) -> None:
    """No mount names a source that is not there."""
    sources = {
        source for source, _ in mounts(shaped(superpowered=superpowered, present=())).values()
    }

    assert not sources & {*OPTIONAL_SOURCES, *OPTIONAL_PROGRAMS}


def test_a_container_named_current_has_one_persistent_mount() -> None:
    """Its name is the other mount's."""
    found = [one["destination"] for one in shaped(superpowered=False, name="current")["mounts"]]

    assert found.count("/.bottlerocket/host-containers/current") == 1


def test_an_unprivileged_container_sees_sys_read_only() -> None:
    """Neither /sys nor a cgroup can be written to, and nothing of the host's root is there."""
    found = mounts(shaped(superpowered=False))

    assert "ro" in found["/sys"][1]
    assert "ro" in found["/sys/fs/cgroup"][1]
    assert not any(place.startswith("/.bottlerocket/rootfs") for place in found)


def test_a_superpowered_container_sees_the_host() -> None:
    """The host's root read-only, its modules, /sys with all below, and /mnt shared both ways."""
    found = mounts(shaped(superpowered=True))

    assert found["/.bottlerocket/rootfs"] == ("/", {"rbind", "ro", "rslave"})
    assert found["/.bottlerocket/rootfs/mnt"] == ("/mnt", {"rbind", "rw", "rshared"})
    assert found["/lib/modules"] == ("/lib/modules", {"rbind", "ro", "rprivate"})
    assert found["/usr/src/kernels"] == ("/usr/src/kernels", {"rbind", "rw", "rprivate"})
    assert found["/sys"] == ("/sys", {"rbind", "rw", "rslave"})


@pytest.mark.parametrize("superpowered", [False, True])
def test_the_usual_file_systems(superpowered: bool) -> None:
    """As containerd mounts them: /proc, a private /dev, /run; all with its options."""
    found = mounts(shaped(superpowered=superpowered))

    quiet = {"nosuid", "noexec", "nodev"}
    assert found["/proc"] == ("proc", quiet)
    assert found["/dev"] == ("tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"})
    assert found["/dev/pts"] == (
        "devpts",
        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
    )
    assert found["/dev/shm"] == ("shm", {*quiet, "mode=1777", "size=65536k"})
    assert found["/dev/mqueue"] == ("mqueue", quiet)
    assert found["/run"] == ("tmpfs", {"nosuid", "nodev", "mode=755", "tmpcopyup"})


def test_only_a_superpowered_container_gets_the_hosts_modules() -> None:
    """/lib/modules, kernel sources and the program that loads modules."""
    extra = {"/.bottlerocket/rootfs", "/.bottlerocket/rootfs/mnt", "/lib/modules"}
    extra |= {"/usr/src/kernels", "/usr/local/sbin/modprobe"}
    normal, powerful = (set(mounts(shaped(superpowered=power))) for power in (False, True))

    assert powerful - normal == extra
    assert normal - powerful == {"/sys/fs/cgroup"}
    modprobe = mounts(shaped(superpowered=True))["/usr/local/sbin/modprobe"]
    assert modprobe == ("/usr/bin/kmod", {"bind", "ro", "rprivate"})


def test_masked_and_read_only_paths_are_containerds() -> None:
    """All of them but /sys/firmware, as upstream."""
    linux = shaped(superpowered=False)["linux"]

    assert set(linux["maskedPaths"]) == {
        *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
        *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"),
        "/sys/devices/virtual/powercap",
    }
    assert set(linux["readonlyPaths"]) == {
        *("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),
    }


@pytest.mark.parametrize("superpowered", [False, True])
def test_limits_are_beside_the_devices(superpowered: bool) -> None:
    """Limits take no device away, and what is not limited is not named."""
    found = shaped(superpowered=superpowered, limits=Limits(1 << 30, 1.0, 99))
    resources = found["linux"]["resources"]

    assert resources["devices"] == [{"allow": superpowered, "access": "rwm"}]
    assert resources["memory"] == {"limit": 1 << 30}
    assert resources["pids"] == {"limit": 99}
    assert set(shaped(superpowered=superpowered)["linux"]["resources"]) == {"devices"}


def test_the_door_is_spared_when_memory_ends() -> None:
    """And nobody else; where we may not say so nothing is asked for."""
    without = ALL & ~(1 << 24)

    assert shaped(superpowered=True, protected=True)["process"]["oomScoreAdj"] == -999
    assert shaped(superpowered=True)["process"]["oomScoreAdj"] == 0
    poor = shaped(superpowered=True, protected=True, effective=without)["process"]
    assert "oomScoreAdj" not in poor


@pytest.mark.parametrize("hard", [512, 1024, 20000])
def test_no_limit_is_above_our_own(hard: int) -> None:
    """The hard limit of open files is ours, the soft one 1024 at most."""
    (limit,) = shaped(superpowered=False, open_files=hard)["process"]["rlimits"]

    assert limit == {"type": "RLIMIT_NOFILE", "soft": min(hard, 1024), "hard": hard}


def test_the_filter_holds_only_what_applies() -> None:
    """Rules for another architecture or other capabilities are left out."""
    resolved = seccomp.resolve(PROFILE, "x86_64", ["CAP_SYS_CHROOT"])

    assert resolved["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert resolved["defaultErrnoRet"] == 38
    allowed = [one["names"] for one in resolved["syscalls"] if "args" not in one]
    assert allowed == [["read"], ["amd"], ["chroot"], list(seccomp.WITHHELD), ["clone3"]]
    with_all = seccomp.resolve(PROFILE, "x86_64", ["CAP_SYS_ADMIN"])["syscalls"]
    assert ["mount"] in [one["names"] for one in with_all if one["action"] == "SCMP_ACT_ALLOW"]


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {**PROFILE, "defaultAction": "SCMP_ACT_ALLOW"},
        {**PROFILE, "syscalls": []},
        {**PROFILE, "syscalls": [{}]},
        {**PROFILE, "syscalls": 7},
        {**PROFILE, "archMap": [7]},
    ],
)
def test_a_profile_that_filters_nothing_is_refused(profile: dict[str, Any]) -> None:
    """No container starts without a filter because the profile is odd."""
    with pytest.raises(MachineError, match="seccomp"):
        shaped(superpowered=False, seccomp=profile)


def test_an_unknown_architecture_is_refused() -> None:
    """There the profile would not apply."""
    with pytest.raises(MachineError, match="riscv64"):
        shaped(superpowered=False, machine="riscv64")


def test_the_installed_profile_resolves() -> None:
    """containers-common's own file works for both architectures and refuses to mount."""
    path = Path(seccomp.PROFILE)
    if not path.exists():
        pytest.fail(f"{path} is missing: install golang-github-containers-common")
    for machine in ("x86_64", "aarch64"):
        resolved = seccomp.resolve(json.loads(path.read_text()), machine, capabilities.DEFAULT)
        refused = {
            name
            for rule in resolved["syscalls"]
            if rule["action"] == "SCMP_ACT_ERRNO"
            for name in rule["names"]
        }
        assert {"mount", "unshare", "setns", "bpf", "kexec_load"} <= refused
