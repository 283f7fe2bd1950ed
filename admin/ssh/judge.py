"""What the monitor knows and decides of one connection. Pure: messages in, answers out.

The listener on the other side may be subverted. It gets signatures for key exchanges of this server
only, verdicts over the monitor's own session id only, and a session only after a proof that was
verified here.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from admin.ssh import userkeys
from admin.ssh.blobs import Reader, string
from admin.ssh.hostkeys import HostKey
from admin.ssh.protocol import Exchange, Proof, Signed, Verdict
from contract.errors import RefusedError, SheltieError
from contract.keyline import KeyLine

__all__ = ["Judge", "Login", "Policy"]

TRIES_MAX = 6
"""Proofs and probes in one connection: OpenSSH's MaxAuthTries (sshd_config(5))."""
SESSIONS_MAX = 10
"""OpenSSH's MaxSessions."""
USERAUTH_REQUEST = 50  # SSH_MSG_USERAUTH_REQUEST, RFC 4252 section 6
_HASHES = {"sha256", "sha384", "sha512"}


@dataclass(frozen=True)
class Policy:
    """Who may log in: one user, with these keys. Replaced as a whole when user-data changes."""

    user: str
    keys: Mapping[bytes, KeyLine]

    @classmethod
    def of(cls, user: str, lines: Sequence[KeyLine]) -> "Policy":
        """Return the policy for key lines."""
        return cls(user, {line.blob: line for line in lines})


@dataclass(frozen=True)
class Login:
    """A proven identity."""

    user: str
    key: KeyLine


@dataclass
class Judge:
    """One connection. `version` is what this server announces; `policy` gives the current one."""

    version: bytes
    host_keys: Sequence[HostKey]
    policy: Callable[[], Policy]
    session_id: bytes = b""
    login: Login | None = None
    tries: int = 0
    refused: list[str] = field(default_factory=list)

    def exchange(self, ask: Exchange) -> Signed:
        """Hash and sign a key exchange of this server. Raises RefusedError: drop the connection."""
        key = next((key for key in self.host_keys if key.blob == ask.key), None)
        if key is None:
            raise _foreign("a host key that is not ours")
        if ask.hash not in _HASHES:
            raise _foreign(f"hash {ask.hash[:20]!r}")
        if self.session_id and self.login is None:
            # RFC 4253 allows it; no client does it, and a subverted listener could.
            raise _foreign("a second key exchange before authentication")
        self._check_prefix(ask.prefix)
        data = ask.prefix + string(ask.key) + ask.rest
        digest = hashlib.new(ask.hash, data).digest()
        try:
            signature = key.sign(ask.algorithm, digest)
        except SheltieError as error:
            raise _foreign(error.message) from error
        self.session_id = self.session_id or digest
        return Signed(ask.id, digest, signature)

    def prove(self, ask: Proof) -> Verdict:
        """Judge a probe or a proof; a verified proof sets the mark. Raises RefusedError."""
        if not self.session_id:
            raise _foreign("authentication before the key exchange")
        if self.login is not None:
            raise _foreign("a second authentication")
        self.tries += 1
        if self.tries > TRIES_MAX:
            raise RefusedError("too many authentication tries", code="TRIES")
        policy = self.policy()
        line = policy.keys.get(ask.key)
        known = line is not None and ask.user == policy.user
        if not ask.message:
            return Verdict(ask.id, known)
        # An unknown user or key costs the same verification as a known one.
        proven = self._proven(ask)
        if not (known and proven) or line is None:
            self.refused.append("signature" if known else "unknown key or user")
            return Verdict(ask.id, accepted=False)
        self.login = Login(policy.user, line)
        return Verdict(ask.id, accepted=True)

    def _proven(self, ask: Proof) -> bool:
        """Whether the message says what the ask says, and the signature covers it."""
        try:
            reader = Reader(ask.message)
            if reader.byte() != USERAUTH_REQUEST or reader.text() != ask.user:
                return False
            if reader.string() != b"ssh-connection" or reader.string() != b"publickey":
                return False
            if reader.byte() != 1:
                return False
            algorithm, blob = reader.text(), reader.string()
            reader.end()
        except SheltieError:
            return False
        signed = string(self.session_id) + ask.message
        return blob == ask.key and userkeys.verify(blob, algorithm, ask.signature, signed)

    def _check_prefix(self, prefix: bytes) -> None:
        """V_C, V_S, I_C, I_S: four strings, the second one our own version."""
        try:
            reader = Reader(prefix)
            _, version, _, _ = (reader.string() for _ in range(4))
            reader.end()
        except SheltieError as error:
            raise _foreign("a key exchange of another shape") from error
        if version != self.version:
            raise _foreign("a key exchange of another server")


def _foreign(what: str) -> RefusedError:
    return RefusedError(f"refused to the listener: {what}", code="LISTENER_REFUSED")
