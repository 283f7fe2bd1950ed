"""podman on the host, with all that it keeps in a place of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.admin.sheltie.conftest import Box

__all__ = ["engine"]


@contextmanager
def engine(box: Box, cgroups: str = "disabled") -> Iterator[list[str]]:
    """Make the host's podman usable; yields the words that end a `run`, but for the seconds."""
    place = Path(tempfile.mkdtemp(prefix="podman-", dir=box.state))
    (place / "storage").mkdir()
    root = place / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sleep").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/sleep").chmod(0o755)
    (place / "storage.conf").write_text(
        f'[storage]\ndriver="vfs"\ngraphroot="{place}/storage"\nrunroot="/run/pod"\n'
    )
    (place / "containers.conf").write_text(
        '[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\nruntime="crun"\n'
        f'[containers]\nnetns="host"\ncgroupns="host"\ncgroups="{cgroups}"\n'
    )
    box.on_host("mount", "-t", "tmpfs", "tmpfs", "/etc/containers")
    box.on_host("sh", "-c", f"cp {place}/*.conf /etc/containers")
    try:
        yield ["--rootfs", str(root), "/bin/sleep"]
    finally:
        box.on_host("podman", "pod", "rm", "--all", "--force", "--time", "0")
        box.on_host("podman", "rm", "--all", "--force", "--time", "0")
        box.on_host("umount", "/etc/containers")
