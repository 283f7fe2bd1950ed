"""A tiny image as an OCI layout, written by hand: busybox and nothing else."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["APPLETS", "PATH", "write"]

APPLETS = "awk cat chmod echo env grep head id kill ls mkdir mkfifo mount printf ps readlink rm"
APPLETS += " sh sleep stty tail test touch tr true umount wc"
PATH = "/bin"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write(
    layout: Path,
    args: Sequence[str] = ("sleep", "1000"),
    *,
    tag: str = "latest",
    env: Sequence[str] = (f"PATH={PATH}",),
    files: Mapping[str, bytes] | None = None,
    user: str = "",
) -> str:
    """Write (or add to) a layout and return the manifest's digest."""
    tar = _tree(files or {})
    layer = _blob(layout, gzip.compress(tar, mtime=0))
    config = _json(
        layout,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": list(args), "Env": list(env), "User": user},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        },
    )
    manifest = _json(
        layout,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer}],
        },
    )
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = layout / "index.json"
    entries = json.loads(index.read_text())["manifests"] if index.exists() else []
    name = {"org.opencontainers.image.ref.name": tag}
    entries.append({"mediaType": _MANIFEST, **manifest, "annotations": name})
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return str(manifest["digest"])


def _tree(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "dev", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        passwd = b"root:x:0:0:root:/root:/bin/sh\nlogin:x:1000:1000::/home/login:/bin/sh\n"
        contents = {
            "bin/busybox": Path("/bin/busybox").read_bytes(),
            "etc/passwd": passwd,
            "etc/group": b"root:x:0:\nlogin:x:1000:\napi:x:274:login\n",
            **files,
        }
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def _json(layout: Path, document: object) -> dict[str, str | int]:
    return _blob(layout, json.dumps(document).encode())


def _blob(layout: Path, data: bytes) -> dict[str, str | int]:
    digest = hashlib.sha256(data).hexdigest()
    directory = layout / "blobs" / "sha256"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}
