"""Which algorithms are offered: a profile, the wishes of user-data, and what the kernel demands.

Pure. Every name here is one that the SSH library has (a test compares); what it has besides is weak
and cannot be asked for. `docs/ssh.md` gives the reason of each entry.
"""

import fnmatch
from collections.abc import Sequence
from typing import Final

from admin.ssh.certificates import SUFFIX
from admin.ssh.control import Wishes
from admin.ssh.protocol import Algorithms

__all__ = ["PROFILES", "choose"]

POST_QUANTUM = ("mlkem768x25519-sha256", "mlkem768nistp256-sha256", "mlkem1024nistp384-sha384")
KEX: Final = (
    *POST_QUANTUM,
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
)
CIPHERS: Final = (
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
MACS: Final = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
HOST_KEYS: Final = (
    "ssh-ed25519",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)
SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
FIPS_UNAPPROVED: Final = ("curve25519*", "mlkem768x25519*", "chacha20*")
"""Not on the list of FIPS 140-3: patterns. Ed25519 is (FIPS 186-5)."""

PROFILES: Final = {
    "default": Algorithms(
        kex=["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"],
        ciphers=list(CIPHERS),
        macs=list(MACS[:2]),
        host_keys=list(HOST_KEYS),
        signatures=list(SIGNATURES),
    ),
    "strict": Algorithms(
        kex=["mlkem768x25519-sha256"],
        ciphers=["aes256-gcm@openssh.com", "aes128-gcm@openssh.com"],
        macs=list(MACS[:2]),
        host_keys=["ssh-ed25519"],
        signatures=list(SIGNATURES),
    ),
}
FIPS_KEX: Final = ["mlkem768nistp256-sha256", "mlkem1024nistp384-sha384", *KEX[5:]]


def choose(wishes: Wishes, *, fips: bool) -> tuple[Algorithms, list[str]]:
    """Return what is offered, and a sentence for each wish that is not granted.

    Nothing that user-data says can leave a list empty: a door with a typing error must open.
    """
    problems: list[str] = []
    base = PROFILES.get(wishes.profile)
    if base is None:
        problems.append(
            f"sheltie.ssh-profile {wishes.profile[:40]!r} is not known: default is used"
        )
        base = PROFILES["default"]
    strict = base is PROFILES["strict"]
    kex_known = POST_QUANTUM if strict else KEX
    kex_base = _approved(FIPS_KEX if fips else base.kex, fips=fips)
    if strict:
        kex_base = [name for name in kex_base if name in POST_QUANTUM]
    lists = {}
    for name, wish, start, known in (
        ("key-exchange-algorithms", wishes.kex, kex_base, kex_known),
        ("ciphers", wishes.ciphers, _approved(base.ciphers, fips=fips), CIPHERS),
        ("macs", wishes.macs, _approved(base.macs, fips=fips), MACS),
    ):
        allowed = _approved(known, fips=fips)
        lists[name] = _apply(f"ssh.{name}", wish, start, allowed, problems)
    certified = [f"{one}{SUFFIX}" for one in base.host_keys]
    return Algorithms(
        kex=lists["key-exchange-algorithms"],
        ciphers=lists["ciphers"],
        macs=lists["macs"],
        host_keys=[*certified, *base.host_keys],
        signatures=base.signatures,
    ), problems


def _apply(
    name: str, wish: Sequence[str], start: Sequence[str], known: Sequence[str], problems: list[str]
) -> list[str]:
    """Return `start` changed by a list of user-data: replaced, or by `+`, `-`, `^` added to."""
    words = [word.strip() for part in wish for word in part.split(",")]
    if not any(words):
        return list(start)
    sign = words[0][:1] if words[0][:1] in "+-^" else ""
    words[0] = words[0].removeprefix(sign)
    if sign == "-":
        left = [one for one in start if not any(fnmatch.fnmatchcase(one, word) for word in words)]
    else:
        problems += [
            f"{name}: {word[:60]!r} is not offered by this server: ignored"
            for word in words
            if word not in known
        ]
        asked = [word for word in dict.fromkeys(words) if word in known]
        match sign:
            case "+":
                left = [*start, *(one for one in asked if one not in start)]
            case "^":
                left = [*asked, *(one for one in start if one not in asked)]
            case _:
                left = asked
    if not left:
        problems.append(f"{name} leaves nothing to offer: ignored")
    return left or list(start)


def _approved(names: Sequence[str], *, fips: bool) -> list[str]:
    if not fips:
        return list(names)
    return [
        name
        for name in names
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in FIPS_UNAPPROVED)
    ]
