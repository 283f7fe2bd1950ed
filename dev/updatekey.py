"""The key that signs updates of the host's image, and that images trust."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from contract.errors import FailedError
from dev.site import cache
from dev.workshop import need_programs
from host.update.places import SIGNATURE, SUMS

__all__ = ["UpdateKey"]


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """The OpenPGP keys in `home`: images trust their public halves."""

    home: Path

    @classmethod
    def own(cls) -> "UpdateKey":
        """Return this machine's own key, made when it is first wanted. Raises SheltieError."""
        need_programs("gpg")
        home = cache() / "host/update-key"
        if not home.exists():
            work = home.with_name(f".update-key-{os.getpid()}")
            work.mkdir(mode=0o700, parents=True)
            made = cls(work)
            words = ("--passphrase", "", "--quick-gen-key", "updates of Sheltie's host image")
            made._gpg(*words, "ed25519", "sign", "never")
            try:
                work.rename(home)
            except OSError:  # another one was quicker
                shutil.rmtree(work)
        return cls(home)

    def keyring(self) -> bytes:
        """Return the public halves, as images bring them. Raises FailedError."""
        return self._gpg("--export")

    def sign(self, place: Path) -> None:
        """Make the manifest of a directory anew, and its signature. Raises FailedError."""
        files = sorted(
            path for path in place.iterdir() if path.suffix in {".root", ".verity", ".efi"}
        )
        lines = []
        for path in files:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            lines.append(f"{digest}  {path.name}\n")
        (place / SUMS).write_text("".join(lines))
        self._gpg("--yes", "--detach-sign", "-o", str(place / SIGNATURE), str(place / SUMS))

    def _gpg(self, *words: str) -> bytes:
        """Run gpg, and end the agent that it starts: its socket wants a short path (unix(7))."""
        with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as place:
            home = Path(place, "home")
            home.symlink_to(self.home.absolute())
            argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", *words]
            done = subprocess.run(argv, capture_output=True, check=False)
            argv = ["gpgconf", "--homedir", str(home), "--kill", "all"]
            subprocess.run(argv, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise FailedError(f"gpg: {said[-1] if said else 'no word'}", code="GPG_FAILED")
        return done.stdout
