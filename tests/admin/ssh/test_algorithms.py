"""What is offered: profiles, user-data's lists, FIPS; and that all of it really works."""

import asyncio
import json
import re
import sys
from pathlib import Path

import asyncssh
import pytest
from asyncssh import encryption, kex, mac, public_key
from hypothesis import given
from hypothesis import strategies as st

from admin.ssh import setting
from admin.ssh.algorithms import CIPHERS, HOST_KEYS, KEX, MACS, PROFILES, SIGNATURES, choose
from admin.ssh.control import Configure, Wishes
from tests.admin.ssh.door import Door

DOCS = Path(__file__).resolve().parents[3] / "docs"
POLICY = DOCS / "ssh-audit-default.txt"
AUDIT = Path(sys.executable).with_name("ssh-audit")
ALL = Wishes(
    kex=["+" + ",".join(KEX)], ciphers=["+" + ",".join(CIPHERS)], macs=["+" + ",".join(MACS)]
)


def test_every_name_is_the_librarys() -> None:
    """What we could offer the library has."""
    assert set(KEX) <= {name.decode() for name in kex.get_kex_algs()}
    assert set(CIPHERS) <= {name.decode() for name in encryption.get_encryption_algs()}
    assert set(MACS) <= {name.decode() for name in mac.get_mac_algs()}
    known = {name.decode() for name in public_key.get_public_key_algs()}
    assert set(HOST_KEYS) <= known
    assert set(SIGNATURES) <= known


def test_nothing_weak_can_be_asked_for() -> None:
    """No SHA-1, no CBC, no short MAC, no old group."""
    weak = re.compile(r"sha1$|cbc|md5|-96|umac|arcfour|group1-|group14|group-exchange|ssh-rsa|dss")

    assert not [one for one in (*KEX, *CIPHERS, *MACS, *HOST_KEYS, *SIGNATURES) if weak.search(one)]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ([], list(MACS[:2])),
        (["hmac-sha2-512"], ["hmac-sha2-512"]),
        (["hmac-sha2-512,hmac-sha2-256"], ["hmac-sha2-512", "hmac-sha2-256"]),
        (["+hmac-sha2-512"], [*MACS[:2], "hmac-sha2-512"]),
        (["+hmac-sha2-512", "hmac-sha2-256"], [*MACS[:2], "hmac-sha2-512", "hmac-sha2-256"]),
        (["-hmac-sha2-256*"], [MACS[1]]),
        (["^hmac-sha2-512-etm@openssh.com"], [MACS[1], MACS[0]]),
    ],
)
def test_lists_as_sshd_reads_them(wish: list[str], expected: list[str]) -> None:
    """Replaced, or by + - ^ changed (sshd_config(5))."""
    offered, problems = choose(Wishes(macs=wish), fips=False)

    assert (offered.macs, problems) == (expected, [])


def test_what_is_weak_or_unknown_is_said() -> None:
    """A wish that is not granted is named; the rest counts."""
    offered, problems = choose(Wishes(ciphers=["3des-cbc", "aes256-ctr"]), fips=False)

    assert offered.ciphers == ["aes256-ctr"]
    assert "3des-cbc" in problems[0]


def test_an_unknown_profile_is_the_default() -> None:
    """And said."""
    offered, problems = choose(Wishes("paranoid"), fips=False)

    assert offered.kex == PROFILES["default"].kex
    assert "paranoid" in problems[0]


def test_strict_stays_post_quantum() -> None:
    """User-data cannot add what the profile excludes."""
    offered, problems = choose(Wishes("strict", kex=["+curve25519-sha256"]), fips=False)

    assert offered.kex == ["mlkem768x25519-sha256"]
    assert "curve25519-sha256" in problems[0]


@pytest.mark.parametrize("profile", ["default", "strict"])
def test_fips_offers_approved_algorithms_only(profile: str) -> None:
    """Whatever user-data wishes for: no Curve25519 exchange, no ChaCha20."""
    wishes = Wishes(profile, ALL.ciphers, ALL.kex, ALL.macs)
    offered, _ = choose(wishes, fips=True)

    assert offered.kex
    assert not [one for one in offered.kex if "25519" in one]
    assert all(one.startswith("aes") for one in offered.ciphers)


def test_the_kernels_word_counts(tmp_path: Path) -> None:
    """fips_enabled is read from the kernel's file; a kernel without it has none."""
    file = tmp_path / "fips_enabled"
    message = Configure("root", [], [], str(tmp_path))
    assert "curve25519-sha256" in setting.read(message, file).algorithms.kex
    file.write_text("1\n")
    assert "curve25519-sha256" not in setting.read(message, file).algorithms.kex


@given(
    st.sampled_from(["default", "strict", "x"]),
    st.lists(st.text(max_size=30) | st.sampled_from([*KEX, *CIPHERS, *MACS, "-*", "+", "^,"])),
    st.booleans(),
)
def test_no_wish_shuts_the_door(profile: str, wish: list[str], fips: bool) -> None:
    """Whatever stands there: something is offered, and only what we know."""
    offered, _ = choose(Wishes(profile, wish, wish, wish), fips=fips)

    assert offered.kex
    assert set(offered.kex) <= set(KEX)
    assert offered.ciphers
    assert set(offered.ciphers) <= set(CIPHERS)
    assert offered.macs
    assert set(offered.macs) <= set(MACS)


@pytest.mark.privileged
@pytest.mark.timeout(120)
async def test_every_algorithm_works_behind_the_filter(door: Door) -> None:
    """A login with each one: none needs what the listener may not do."""
    await door.configure(door.key, algorithms=ALL)
    await rsa_key(door)
    tries = [("kex_algs", name) for name in KEX]
    tries += [("encryption_algs", name) for name in CIPHERS]
    tries += [("server_host_key_algs", name) for name in HOST_KEYS[:4]]
    for option, name in tries:
        assert await login(door, **{option: [name]}) == "in\n", name
    for name in MACS:
        algorithms = {"mac_algs": [name], "encryption_algs": ["aes128-ctr"]}
        assert await login(door, **algorithms) == "in\n", name


async def login(door: Door, **algorithms: list[str]) -> str:
    """Log in with exactly these algorithms and return what a command prints."""
    async with asyncssh.connect(
        door.host,
        door.port,
        username="root",
        client_keys=[str(door.identity)],
        known_hosts=None,
        config=None,
        **algorithms,
    ) as connection:
        done = await connection.run("echo in; head -c 100000 /dev/zero | wc -c >&2")
    assert done.stderr == "100000\n"
    return str(done.stdout)


async def rsa_key(door: Door) -> None:
    """Wait until the RSA host key, which is made beside the work, is offered."""
    path = door.directory / "etc/ssh/ssh_host_rsa_key.pub"
    for _ in range(600):
        if await asyncio.to_thread(path.exists):
            return
        await asyncio.sleep(0.05)
    pytest.fail("no RSA host key was made")


async def audit(door: Door, *options: str) -> tuple[int, str]:
    """Run ssh-audit against the door; return its exit status and output."""
    argv = [str(AUDIT), *options, "-n", "-p", str(door.port), door.host]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.privileged
async def test_ssh_audit_passes_the_strict_profile(door: Door) -> None:
    """Exit status 0: no failure, no warning."""
    await door.configure(door.key, algorithms=Wishes("strict"))
    code, out = await audit(door)

    assert code == 0, out


@pytest.mark.privileged
async def test_ssh_audit_passes_the_default_profile_by_its_policy(door: Door) -> None:
    """The policy file is what we offer, exactly; and who audits can log in right afterwards."""
    await rsa_key(door)
    code, out = await audit(door, "-P", str(POLICY))

    assert code == 0, out
    assert (await door.ssh("echo in")).out == b"in\n"


@pytest.mark.privileged
async def test_every_finding_on_the_default_profile_is_explained(door: Door) -> None:
    """Each warning and failure of ssh-audit's own judgement stands in docs/ssh.md with a reason."""
    await rsa_key(door)
    _, out = await audit(door, "-j")
    explained = await asyncio.to_thread((DOCS / "ssh.md").read_text)
    found = set()
    for part in ("kex", "key", "enc", "mac"):
        for one in json.loads(out)[part]:
            if one["notes"].get("fail") or one["notes"].get("warn"):
                found.add(one["algorithm"])

    assert {f"| `{name}` |" for name in found} <= set(re.findall(r"\| `[^`]+` \|", explained))
    assert found == {"curve25519-sha256", "curve25519-sha256@libssh.org", "ecdsa-sha2-nistp256"}
