"""What the monitor knows and decides of one connection. Pure: messages in, answers out.

The listener on the other side may be subverted. It gets signatures for key exchanges of this server
only, verdicts over the monitor's own session id only, and a session only after a proof that was
verified here.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from admin.ssh import certificates, userkeys
from admin.ssh.blobs import Reader, string
from admin.ssh.hostkeys import HostKey
from admin.ssh.policy import Admission, Entry, Policy, fingerprint
from admin.ssh.protocol import VERSION, Exchange, Proof, ProveKeys, Proven, Signed, Verdict
from contract.errors import RefusedError, SheltieError

__all__ = ["Judge", "Login", "Refusal"]

TRIES_MAX = 6
"""Proofs and probes in one connection: OpenSSH's MaxAuthTries (sshd_config(5))."""
USERAUTH_REQUEST = 50  # SSH_MSG_USERAUTH_REQUEST, RFC 4252 section 6
PROVEN_MAX = 32
USER_MAX = 256
_HASHES = {"sha256", "sha384", "sha512"}
_PROVE = b"hostkeys-prove-00@openssh.com"


@dataclass(frozen=True)
class Login:
    """A proven identity, and what it may do."""

    user: str
    admission: Admission


@dataclass(frozen=True)
class Refusal:
    """Why somebody was not let in: for the operator, never for the peer."""

    user: str
    key: str
    why: str


@dataclass
class Judge:
    """One connection from `address`. `policy` gives the current one, `clock` seconds since 1970."""

    host_keys: Sequence[HostKey]
    policy: Callable[[], Policy]
    clock: Callable[[], float]
    address: str = "127.0.0.1"
    tries_max: int = TRIES_MAX
    session_id: bytes = b""
    login: Login | None = None
    tries: int = 0
    refused: list[Refusal] = field(default_factory=list)
    _rsa: str = "rsa-sha2-512"

    def exchange(self, ask: Exchange) -> Signed:
        """Hash and sign a key exchange of this server. Raises RefusedError: drop the connection."""
        key = next((one for one in self.host_keys if ask.key in one.offered), None)
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
        if ask.algorithm.startswith("rsa-"):
            self._rsa = ask.algorithm
        self.session_id = self.session_id or digest
        return Signed(ask.id, digest, signature)

    def prove_keys(self, ask: ProveKeys) -> Proven:
        """Sign for host keys of ours, over our own session id. Raises RefusedError."""
        if self.login is None:
            raise _foreign("a proof of host keys before authentication")
        if len(ask.keys) > PROVEN_MAX:
            raise _foreign("a proof of too many host keys")
        signatures = []
        for blob in ask.keys:
            key = next((one for one in self.host_keys if one.blob == blob), None)
            if key is None:
                return Proven(ask.id, [])
            algorithm = self._rsa if self._rsa in key.algorithms else key.algorithms[0]
            # Starts with a string of 29 bytes, which no hash of a key exchange is.
            signed = string(_PROVE) + string(self.session_id) + string(blob)
            signatures.append(key.sign(algorithm, signed))
        return Proven(ask.id, signatures)

    def begin(self, ask: Proof) -> None:
        """Count a probe or a proof, before anything is spent on it. Raises RefusedError."""
        if not self.session_id:
            raise _foreign("authentication before the key exchange")
        if self.login is not None:
            raise _foreign("a second authentication")
        if len(ask.user) > USER_MAX:
            raise _foreign("a user name that is too long")
        self.tries += 1
        if self.tries > self.tries_max:
            raise RefusedError("too many authentication tries", code="TRIES")

    def prove(self, ask: Proof, more: Sequence[Entry] = ()) -> Verdict:
        """Judge a probe or a proof; a verified proof sets the mark.

        Nothing of a former try counts: each is judged by itself, for its own user and key. Raises
        RefusedError.
        """
        if self.login is not None:
            raise _foreign("a second authentication")
        try:
            found = self.policy().admit(ask.user, ask.key, self.address, self.clock(), more)
        except SheltieError as error:
            found, why = None, error.message
        else:
            why = "the signature is not by this key, or not for this connection"
        # An unknown user or key costs the same verification as a known one.
        proven = bool(ask.message) and self._proven(ask, found)
        if found is not None and proven:
            self.login = Login(ask.user, found)
            return Verdict(ask.id, accepted=True)
        if found is not None and not ask.message:
            return Verdict(ask.id, accepted=True)
        self.refused.append(Refusal(_plain(ask.user), fingerprint(ask.key), why))
        return Verdict(ask.id, accepted=False)

    def narrow(self) -> Admission:
        """Return what the login may do now: less than when it logged in, but never more.

        Raises RefusedError before there is a login.
        """
        if self.login is None:
            raise _foreign("a session before authentication")
        admission = self.policy().narrowed(self.login.admission)
        self.login = replace(self.login, admission=admission)
        return admission

    def refuse(self, why: str) -> None:
        """Note why the whole connection is refused."""
        last = self.refused[-1] if self.refused else Refusal("", "", "")
        self.refused.append(Refusal(last.user, last.key, why))

    def _proven(self, ask: Proof, found: Admission | None) -> bool:
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
        if blob != ask.key:
            return False
        certified = algorithm.endswith(certificates.SUFFIX)
        if found is not None and certified != bool(found.certificate):
            return False
        key = found.key.blob if found is not None else blob
        signed = string(self.session_id) + ask.message
        options = found.options if found is not None else None
        return userkeys.verify(
            key,
            _plain_algorithm(algorithm),
            ask.signature,
            signed,
            touch=options.touch if options else True,
            user=options.verify if options else False,
        )

    def _check_prefix(self, prefix: bytes) -> None:
        """V_C, V_S, I_C, I_S: four strings, the second one our own version."""
        try:
            reader = Reader(prefix)
            _, version, _, _ = (reader.string() for _ in range(4))
            reader.end()
        except SheltieError as error:
            raise _foreign("a key exchange of another shape") from error
        if version != VERSION:
            raise _foreign("a key exchange of another server")


def _plain_algorithm(algorithm: str) -> str:
    """Return the algorithm of the signature: a certificate's stands in its key's name."""
    if not algorithm.endswith(certificates.SUFFIX):
        return algorithm
    plain = algorithm.removesuffix(certificates.SUFFIX)
    return f"{plain}@openssh.com" if plain.startswith("sk-") else plain


def _plain(user: str) -> str:
    """Return a user name for the log: short, and without characters that do something there."""
    return "".join(one if one.isprintable() else "?" for one in user[:64])


def _foreign(what: str) -> RefusedError:
    return RefusedError(f"refused to the listener: {what}", code="LISTENER_REFUSED")
