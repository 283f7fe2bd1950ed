"""A host of the update engine without booting: a disk in a file, an ESP that is a directory.

systemd-sysupdate runs in the tools' tree of the host's image, as Debian 13 has it, in a mount
namespace of its own; so the machine's own version does not matter.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from contract.settings import Updates
from contract.update import UpdateImage
from dev import hosttools
from dev.site import CLONE
from host.update.names import Uki, order
from host.update.places import Places
from host.update.sysupdate import Sysupdate
from tests.host.update.server import Server

__all__ = ["ROOT_BYTES", "UKI_BYTES", "Attached", "Bench", "Key", "image", "publish"]

NAME = "sheltie"
VARIANT = "sheltie-host"
TRANSFERS = CLONE / "images/host/rootfs/usr/lib/sysupdate.d"
ROOT_BYTES, VERITY_BYTES, UKI_BYTES = 3_000_000, 200_000, 400_000
ENTER = """
set -e
tools=$1 work=$2; shift 2
mount --bind "$tools" "$tools"
mount --rbind /dev "$tools/dev"
mount -t proc proc "$tools/proc"
mount -t tmpfs run "$tools/run"
mount -t tmpfs tmp "$tools/tmp"
mkdir -p "$tools/tmp$work"
mount --rbind "$work" "$tools/tmp$work"
[ ! -e "$work/keyring" ] || mount --bind "$work/keyring" "$tools/usr/lib/systemd/import-pubring.gpg"
mount --bind "$work/os-release" "$tools/usr/lib/os-release"
exec chroot "$tools" "$@"
"""
DISK = {
    "10-esp": ("esp", "esp", "1M"),
    "20-root": ("root", "{name}_{version}", "8M"),
    "30-verity": ("root-verity", "{name}_{version}_verity", "1M"),
    "40-root": ("root", "_empty", "8M"),
    "50-verity": ("root-verity", "_empty", "1M"),
}


def image(version: str, variant: str = VARIANT) -> UpdateImage:
    """Return an image of the bench's kind."""
    return UpdateImage("x86_64", version, variant)


class Key:
    """A key that signs manifests."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._home = home
        self._gpg("--passphrase", "", "--quick-gen-key", "tests", "ed25519", "sign", "never")

    def keyring(self) -> bytes:
        """Return the public half, as images bring it."""
        return self._gpg("--export")

    def sign(self, place: Path) -> None:
        """Make SHA256SUMS of a directory anew, and sign it."""
        files = sorted(path for path in place.iterdir() if not path.name.startswith("SHA256"))
        lines = [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}\n" for one in files]
        (place / "SHA256SUMS").write_text("".join(lines))
        (place / "SHA256SUMS.gpg").unlink(missing_ok=True)
        names = ("SHA256SUMS.gpg", "SHA256SUMS")
        self._gpg("--detach-sign", "-o", str(place / names[0]), str(place / names[1]))

    def end(self) -> None:
        """End the agent that gpg started."""
        argv = ["gpgconf", "--homedir", str(self._home), "--kill", "all"]
        subprocess.run(argv, check=True, capture_output=True)

    def _gpg(self, *words: str) -> bytes:
        argv = ["gpg", "--homedir", str(self._home), "--batch", "--quiet", "--yes", *words]
        return subprocess.run(argv, check=True, capture_output=True).stdout


class Attached:
    """A bench that was made before, below `place`: what is on it, and an engine for it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tools = hosttools.tree("tools", lambda _: None)

    @property
    def version(self) -> str:
        """The version that runs."""
        words = (self.place / "os-release").read_text().splitlines()
        return dict(word.split("=") for word in words)["VERSION_ID"]

    @property
    def inside(self) -> str:
        """The bench's directory as programs in the tools' tree see it."""
        return f"/tmp{self.place}"

    @property
    def disk(self) -> Path:
        """The disk's file."""
        return self.place / "disk"

    @property
    def places(self) -> Places:
        """Where its engine finds things."""
        program = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.tools), str(self.place)]
        return Places(
            staging=self.place / "updates",
            esp=self.place / "esp",
            definitions=Path(self.inside, "transfers"),
            keyring=self.place / "keyring",
            variables=self.place / "variables",
            disk=lambda: self.disk,
            program=(*program, "/usr/lib/systemd/systemd-sysupdate"),
        )

    def engine(self) -> Sysupdate:
        """Return an engine, as a daemon that has just started has it."""
        about = {"arch": "x86_64", "version_id": self.version, "variant_id": VARIANT}
        return Sysupdate(NAME, self.places, about=lambda: about)

    def forget(self) -> None:
        """Empty the slot that does not run."""
        definitions = f"--definitions={self.places.definitions}"
        argv = [*self.places.program, definitions, "vacuum", "--instances-max=1"]
        subprocess.run(argv, check=True, capture_output=True)


class Bench(Attached):
    """A new one that runs `version`, whose updates come from `server`."""

    def __init__(
        self,
        place: Path,
        server: Server,
        key: Key,
        *,
        version: str = "1.0.0",
        targets: str | None = None,
    ) -> None:
        super().__init__(place)
        self.server, self.targets = server, targets
        for name in ("esp/EFI/Linux", "updates", "transfers", "variables"):
            (place / name).mkdir(parents=True)
        (place / "keyring").write_bytes(key.keyring())
        self.runs(version)
        self._make_disk()
        self.uki(f"{NAME}_{version}.efi").write_bytes(b"the running one")
        for source in TRANSFERS.iterdir():
            text = source.read_text()
            for old, new in (
                ("file:///var/lib/sheltie/updates", f"file://{self.inside}/updates"),
                ("Path=auto", f"Path={self.inside}/disk"),
            ):
                assert old in text, source
                text = text.replace(old, new)
            (place / "transfers" / source.name).write_text(text)

    @property
    def settings(self) -> Updates:
        """Where its updates come from."""
        return Updates(metadata_base_url=self.server.url, targets_base_url=self.targets)

    def runs(self, version: str) -> None:
        """Let the host run another version, as after a reboot."""
        lines = ("ID=sheltie", f"IMAGE_ID={NAME}", f"VARIANT_ID={VARIANT}")
        versions = (f"VERSION_ID={version}", f"IMAGE_VERSION={version}")
        (self.place / "os-release").write_text("\n".join([*lines, *versions, ""]))

    def uki(self, name: str) -> Path:
        """Return the path of a UKI that the loader sees."""
        return self.place / "esp/EFI/Linux" / name

    def esp(self) -> list[str]:
        """Return every file on the ESP."""
        top = self.place / "esp"
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())

    def boots(self) -> str:
        """Boot as the loader would: count a try; return the version that then runs."""
        first = self.loads()
        if first.left:
            tried = Uki(first.name, first.version, first.left - 1, first.done + 1)
            self.uki(first.file).rename(self.uki(tried.file))
        self.runs(first.version)
        return first.version

    def loads(self) -> Uki:
        """Return what the loader would boot."""
        found = [Uki.parse(path.name) for path in (self.place / "esp/EFI/Linux").iterdir()]
        return order(uki for uki in found if uki)[0]

    def bless(self) -> None:
        """Find what runs well, as systemd-bless-boot does."""
        for path in (self.place / "esp/EFI/Linux").glob(f"{NAME}_{self.version}+*.efi"):
            path.rename(self.uki(f"{NAME}_{self.version}.efi"))

    def labels(self) -> list[str]:
        """Return the labels of the partitions."""
        argv = ["partx", "--noheadings", "--output", "NAME", str(self.disk)]
        out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        return [line.strip() for line in out.splitlines()]

    def _make_disk(self) -> None:
        definitions = self.place / "repart"
        definitions.mkdir()
        for name, (kind, label, size) in DISK.items():
            text = label.format(name=NAME, version=self.version)
            lines = ["[Partition]", f"Type={kind}", f"Label={text}", f"SizeMinBytes={size}"]
            lines += [f"SizeMaxBytes={size}", ""]
            (definitions / f"{name}.conf").write_text("\n".join(lines))
        argv = [*self.places.program[:-1], "systemd-repart", "--empty=create", "--size=auto"]
        argv += ["--offline=yes", "--dry-run=no", f"--definitions={self.inside}/repart"]
        subprocess.run([*argv, f"{self.inside}/disk"], check=True, capture_output=True)
        shutil.rmtree(definitions)


def publish(
    place: Path, version: str, key: Key, *, variant: str = VARIANT, arch: str = "x86-64"
) -> None:
    """Put an update of random bytes where a server has it, and sign the manifest."""
    base = f"{variant}_{arch}_{version}"
    parts = {"root": ROOT_BYTES, "verity": VERITY_BYTES}
    for kind, size in parts.items():
        digest = hashlib.sha256(f"{base} {kind}".encode()).hexdigest()
        cut = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
        (place / f"{base}_{'-'.join(cut)}.{kind}").write_bytes(os.urandom(size))
    (place / f"{base}.efi").write_bytes(os.urandom(UKI_BYTES))
    key.sign(place)
