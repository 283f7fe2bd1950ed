"""Each layer of a look alone does its part, and without all of them the attempts are real."""

import json
from typing import Any

import pytest

from tests.admin.look.conftest import Ground

pytestmark = [pytest.mark.privileged]

# What each layer refuses when it is the only one: the process is root then, but for `uid`.
ALONE = {
    "mounts": [
        "chmod", "chown", "utime", "utimensat:path", "setxattr", "open to append", "openat2",
        "create a new file", "mkdir", "symlink", "mknod:fifo", "rename", "unlink",
        "sysctl kernel/hostname", "sysctl vm/drop_caches", "make a cgroup",
        "write our own oom_score_adj", "the_access_time",
    ],
    "landlock": [
        "open to append", "openat2", "create a new file", "mkdir", "symlink", "mknod:fifo",
        "rename", "unlink", "sysctl kernel/hostname", "make a cgroup",
        "connect to an abstract socket",
        "connect to the loopback kubelet", "connect to link-local metadata",
        "read the FIFO {place}/fifo-in", "read the FIFO /run/deep/er/fifo",
        "write the FIFO /run/initctl", "both ends of the FIFO {place}/fifo-out",
        "open /proc/1/root", "open /proc/1/mem",  "a signal to somebody",
        "mount:bind", "umount2", "ptrace:seize",
    ],
    "seccomp": [
        "chmod", "chown", "utime", "utimensat:path", "setxattr", "symlink", "mknod:fifo",
        "connect to containerd", "connect to our API", "connect to D-Bus",
        "connect to an abstract socket", "connect to the loopback kubelet",
        "send to link-local metadata", "send_to_a_datagram_socket", "socketpair_and_sendto",
        "flock", "a record lock", "an open file's lock", "somebody's nice value",
        "somebody's limits", "unshare:user", "clone:user", "unshare:mount", "mount:bind",
        "add_key", "shmget", "semget", "msgget", "personality", "io_uring_setup",
        "the calls of i386", "ptrace:seize",
    ],
    "uid": [
        "open /proc/1/root", "open /proc/1/mem", "open /proc/1/environ", "a signal to somebody",
        "somebody's nice value", "somebody's limits", "sysctl kernel/hostname",
        "sysctl vm/drop_caches", "make a cgroup", "unshare:mount", "mount:bind", "chown",
        "add_an_address_by_netlink", "write to root's file",
    ],
    "devices": ["read a foreign terminal", "write a foreign terminal", "open /dev/ptmx"],
}  # fmt: skip
# With no layer at all each of these is done; in this order none stands in another's way.
LAST = (
    "unshare:mount",
    "rename",
    "unlink",
    "ptrace:seize",
    "make a cgroup",
    "create a new file",
    "unshare:user",
)


def met(ground: Ground, layers: str, names: list[str]) -> dict[str, Any]:
    """Return what became of the attempts with these layers only."""

    def run(*command: str, **options: Any) -> Any:
        return ground.layered(layers, *command, **options)

    return ground.attempts(run, "attempts.py", json.dumps(ground.where()), *names)


def test_each_layer_alone_and_none(ground: Ground) -> None:
    """A layer refuses its part by itself; the same attempts without it are done."""
    done: dict[str, list[str]] = {}
    for layer, names in ALONE.items():
        found = met(ground, layer, names)
        done[layer] = [name for name, how in found.items() if how == "DONE"]
    assert done == {layer: [] for layer in ALONE}

    every = {name for names in ALONE.values() for name in names}
    names = sorted(every - {*LAST}) + [name for name in LAST if name in every]
    naked = met(ground, "", names)
    assert {name: how for name, how in naked.items() if how != "DONE"} == {}
    assert ground.where()["happened"] != []


def test_masks_alone(ground: Ground) -> None:
    """A mask covers by itself; without it root reads the secret."""
    ground.box.on_host("sh", "-c", "mkdir -p /run/secrets; echo a >/run/secrets/s")
    listing = ("ls", "-A", "/run/secrets")

    assert ground.layered("masks", *listing).stdout == b""
    assert ground.layered("", *listing).stdout == b"s\n"
