"""A certificate authority for tests: ssh-keygen's certificates, and ones that it would not make."""

import base64
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from admin.ssh.blobs import string
from admin.ssh.hostkeys import _wrap
from tests.admin.ssh.door import make_key


@dataclass
class Authority:
    """A CA whose key lies in `directory`."""

    directory: Path
    kind: str = "ed25519"

    def __post_init__(self) -> None:
        self.path, self.key = make_key(self.directory, f"ca-{self.kind}", self.kind)

    def certify(self, identity: Path, *options: str, principals: str = "root") -> str:
        """Certify a key by ssh-keygen; return the certificate's line. It lies beside the key."""
        names = ["-n", principals] if principals else []
        public = identity.with_suffix(".pub")
        argv = ["ssh-keygen", "-q", "-s", str(self.path), "-I", "test", *names, *options]
        argv.append(str(public))
        subprocess.run(argv, check=True, capture_output=True)
        return identity.with_name(f"{identity.name}-cert.pub").read_text().strip()

    def forge(
        self,
        key: bytes,
        principals: Sequence[bytes] = (b"root",),
        critical: Mapping[bytes, bytes] | None = None,
        algorithm: str = "",
        kind: int = 1,
    ) -> bytes:
        """Return the blob of a certificate for an Ed25519 key with whatever in it, well signed."""
        private = serialization.load_ssh_private_key(self.path.read_bytes(), None)
        assert isinstance(private, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey)
        ca = _wrap(private)
        pairs = b"".join(string(name) + string(value) for name, value in (critical or {}).items())
        body = string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"nonce") + string(key)
        body += bytes(8) + kind.to_bytes(4, "big") + string(b"forged")
        body += string(b"".join(map(string, principals))) + bytes(8) + b"\xff" * 8
        body += string(pairs) + string(b"") + string(b"") + string(ca.blob)
        return body + string(ca.sign(algorithm or ca.algorithms[0], body))


def blob(line: str) -> bytes:
    """Return the blob of a line."""
    return base64.b64decode(line.split()[1])
