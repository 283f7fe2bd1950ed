"""Who may log in with what: one user, key lines with their options, and CAs of certificates. Pure.

Replaced as a whole when user-data changes. The answer is an admission with everything that the
login may do, or a reason for the operator; the peer hears nothing but no.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from admin.ssh import certificates
from admin.ssh.options import Options, merge
from admin.ssh.options import parse as parse_options
from contract.errors import RefusedError, SheltieError
from contract.keyline import KeyLine, parse, parse_blob

__all__ = ["Admission", "Entry", "Policy", "entries", "fingerprint"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key line with the meaning of its options."""

    line: KeyLine
    options: Options = field(default_factory=Options)

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """Parse a key line. Raises UsageError (KEY_UNUSABLE)."""
        line = parse(text)
        return cls(line, parse_options(line))


@dataclass(frozen=True, slots=True)
class Admission:
    """A key that may log in once it is proven, and what the login may do then.

    `key` is what the signature must be by: a certificate's is the key in it. `certificate` tells
    people which one it was, `authority` is the blob of its CA's key.
    """

    key: KeyLine
    options: Options
    certificate: str = ""
    authority: bytes = b""
    look: bool = False
    """Whether the login may read the host and do nothing else."""


@dataclass(frozen=True)
class Policy:
    """One user, what lets in, and the CAs that may say so (`trusted-user-ca-keys`).

    Keys and CAs in `lookers` only look, wherever else they stand; with `look` everybody does.
    """

    user: str
    entries: Sequence[Entry] = ()
    trusted: frozenset[bytes] = frozenset()
    lookers: frozenset[bytes] = frozenset()
    look: bool = False

    def admit(
        self, user: str, blob: bytes, address: str, now: float, more: Sequence[Entry] = ()
    ) -> Admission:
        """Return the admission of a key or certificate; `more` are entries that a command gave.

        Raises RefusedError (LOGIN_REFUSED, CERTIFICATE_REFUSED) with the reason. An unknown user
        takes the same way as a known one.
        """
        if _is_certificate(blob):
            found, why = self._by_certificate(blob, address, now, more)
        else:
            found, why = self._by_key(blob, address, now, more)
        if found is None:
            raise RefusedError(why, code="LOGIN_REFUSED")
        if user != self.user:
            raise RefusedError("the user is not the one that may log in", code="LOGIN_REFUSED")
        return self.narrowed(found)

    def narrowed(self, found: Admission) -> Admission:
        """Return the admission as far as it goes now: a look forwards nothing, no agent either."""
        if not (found.look or self.look or self.lookers & {found.key.blob, found.authority}):
            return found
        options = replace(found.options, port_forwarding=False, agent_forwarding=False)
        return replace(found, options=options, look=True)

    def _by_key(
        self, blob: bytes, address: str, now: float, more: Sequence[Entry]
    ) -> tuple[Admission | None, str]:
        why = "the key is not known"
        for entry in (*more, *self.entries):
            if entry.line.blob != blob or entry.options.authority:
                continue
            why = entry.options.refusal(address, now)
            if not why:
                return Admission(entry.line, entry.options), ""
        return None, why

    def _by_certificate(
        self, blob: bytes, address: str, now: float, more: Sequence[Entry]
    ) -> tuple[Admission | None, str]:
        certificate = certificates.parse(blob)
        ca = certificate.authority
        named = f"{certificate.name!r} serial {certificate.serial} by {ca.fingerprint}"
        why = f"the certificate's CA is not trusted: {ca.fingerprint}"
        lines = [each for each in (*more, *self.entries) if each.options.authority]
        candidates: list[Options | None] = [None] if ca.blob in self.trusted else []
        candidates += [each.options for each in lines if each.line.blob == ca.blob]
        for line in candidates:
            accepted = frozenset((line.principals if line else None) or (self.user,))
            try:
                certificates.check(certificate, certificates.USER, accepted, now)
                options = merge(line, certificate.options) if line else certificate.options
            except SheltieError as error:
                why = error.message
                continue
            why = options.refusal(address, now)
            if not why:
                return Admission(certificate.key, options, named, ca.blob), ""
        return None, why


def entries(lines: Sequence[str], where: str) -> tuple[list[Entry], list[str]]:
    """Return the usable key lines, and a sentence for each that is not, naming it by its number."""
    usable, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            usable.append(Entry.parse(line))
        except SheltieError as error:
            problems.append(f"{where}[{number}]: {error.message}: ignored")
    return usable, problems


def _is_certificate(blob: bytes) -> bool:
    size = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + size].endswith(certificates.SUFFIX.encode())


def fingerprint(blob: bytes) -> str:
    """Return how people know what was offered: the fingerprint of the key, or of that in it."""
    try:
        if _is_certificate(blob):
            return certificates.parse(blob).key.fingerprint
        return KeyLine(parse_blob(blob), blob).fingerprint
    except SheltieError:
        return "unusable"
