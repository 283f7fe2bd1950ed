"""The host keys: as upstream has them, kept, certified, rotated by the clients' own protocol."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from admin.ssh.blobs import string
from admin.ssh.hostkeys import ECDSA, ED25519, NAMES, RSA, HostKey, load, make
from admin.ssh.judge import Judge, Login
from admin.ssh.policy import Admission, Entry, Policy
from admin.ssh.protocol import ProveKeys, Proven
from admin.ssh.userkeys import verify
from contract.errors import RefusedError
from tests.admin.ssh.ca import Authority
from tests.admin.ssh.door import Door, make_key
from tests.admin.ssh.test_algorithms import rsa_key
from tests.admin.ssh.test_judge import User, exchange

NOW = time.time()


def fingerprints(door: Door) -> dict[str, str]:
    """Return the public host keys that lie on disk, by name."""
    directory = door.directory / "etc/ssh"
    return {name: (directory / f"{name}.pub").read_text().split()[1] for name in NAMES}


def make_following(directory: Path) -> tuple[Path, str]:
    """Put the next Ed25519 key in its place; return it as make_key does."""
    path, line = make_key(directory, "following")
    return path.rename(directory / f"{ED25519}.next"), line


@pytest.mark.parametrize("name", NAMES)
def test_a_made_key_is_kept_and_private(tmp_path: Path, name: str) -> None:
    """0600 for the key, readable for ssh-keygen, the same at the next start."""
    made = make(tmp_path / "keys", name, [])
    path = tmp_path / "keys" / name
    loaded, problems = load(tmp_path / "keys", NOW)
    told = subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, text=True, check=True)

    assert problems == []
    assert loaded[name].blob == made.blob
    assert path.stat().st_mode & 0o777 == 0o600
    assert told.stdout.split()[:2] == made.text.split()


def test_nobody_follows_a_link_to_a_key(tmp_path: Path) -> None:
    """CVE-2022-24302's class: a link in the key's place is no key, and is not written through."""
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / ED25519).symlink_to(target)
    _, problems = load(tmp_path / "keys", NOW)
    make(tmp_path / "keys", ED25519, problems)

    assert "unusable" in problems[0]
    assert target.read_text() == "untouched"
    assert not (tmp_path / "keys" / ED25519).is_symlink()


def test_a_next_key_is_announced_and_not_offered(tmp_path: Path) -> None:
    """It takes part in no key exchange before its time."""
    make(tmp_path, ED25519, [])
    (tmp_path / ED25519).rename(tmp_path / f"{ED25519}.next")
    loaded, _ = load(tmp_path, NOW)
    key = loaded[f"{ED25519}.next"]

    assert key.offers(["ssh-ed25519"]) == []
    judge = Judge([key], lambda: Policy(""), lambda: NOW)
    with pytest.raises(RefusedError, match="not ours"):
        judge.exchange(exchange(key.blob))


@pytest.fixture
def keys(tmp_path: Path) -> list[HostKey]:
    """One host key of each kind."""
    return [make(tmp_path, name, []) for name in NAMES]


def test_a_proof_covers_name_session_and_key(keys: list[HostKey]) -> None:
    """OpenSSH's PROTOCOL: the request's name, our session id, the key; RSA by SHA-2."""
    user = User()
    judge = Judge(keys, lambda: Policy("op", [Entry(user.line)]), lambda: NOW)
    session = judge.exchange(exchange(keys[0].blob)).hash
    judge.login = Login("op", Admission(user.line, Entry(user.line).options))
    proven = judge.prove_keys(ProveKeys(1, [key.blob for key in keys]))

    for key, signature in zip(keys, proven.signatures, strict=True):
        signed = string(b"hostkeys-prove-00@openssh.com") + string(session) + string(key.blob)
        assert verify(key.blob, key.algorithms[0], signature, signed)
    assert judge.prove_keys(ProveKeys(2, [keys[0].blob, b"foreign"])) == Proven(2, [])


@pytest.mark.privileged
async def test_a_fresh_door_has_upstreams_three_keys(door: Door) -> None:
    """ed25519, ecdsa, rsa, each of which a client may ask for by itself."""
    await rsa_key(door)
    assert (await door.ssh("true")).code == 0
    where = f"[{door.host}]:{door.port}"
    files = [(door.directory / "etc/ssh" / name).with_suffix(".pub") for name in NAMES]
    known = "".join(f"{where} {file.read_text()}" for file in files)
    (door.directory / "known_hosts").write_text(known)
    for algorithm in ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"):
        done = await door.ssh("echo in", options=["-o", f"HostKeyAlgorithms={algorithm}"])
        assert done.out == b"in\n", algorithm


@pytest.mark.privileged
async def test_clients_learn_the_next_key(door: Door) -> None:
    """OpenSSH's client, told to update its known_hosts, learns all keys with a proof of each."""
    await rsa_key(door)
    directory = door.directory / "etc/ssh"
    _, line = await asyncio.to_thread(make_following, directory)
    following = line.split()[1]
    await door.configure(door.key)
    done = await door.ssh("sleep 1", options=["-o", "UpdateHostKeys=yes", "-v"])
    known = (door.directory / "known_hosts").read_text()

    assert done.code == 0
    assert all(key in known for key in fingerprints(door).values()), done.err.decode()
    assert following in known


@pytest.mark.privileged
async def test_a_rotated_key_is_known_already(door: Door) -> None:
    """After the next key has moved into place, the client that learned it does not ask."""
    directory = door.directory / "etc/ssh"
    await asyncio.to_thread(make_following, directory)
    await door.configure(door.key)
    await door.ssh("sleep 1", options=["-o", "UpdateHostKeys=yes"])
    (directory / f"{ED25519}.next").rename(directory / ED25519)
    ready = await door.configure(door.key)
    only = ["-o", "HostKeyAlgorithms=ssh-ed25519"]

    assert (await door.ssh("echo in", options=only)).out == b"in\n"
    assert ready.host_keys[0].split()[1] in (door.directory / "known_hosts").read_text()


@pytest.mark.privileged
@pytest.mark.parametrize("name", [ED25519, RSA, ECDSA])
async def test_a_host_certificate_is_offered(door: Door, tmp_path: Path, name: str) -> None:
    """A client that trusts the CA only, and no key."""
    await rsa_key(door)
    authority = Authority(tmp_path)
    directory = door.directory / "etc/ssh"
    authority.certify(directory / name, "-h", principals=door.host)
    await door.configure(door.key)
    known = f"@cert-authority [{door.host}]:{door.port} {authority.key}\n"
    known += f"@cert-authority {door.host} {authority.key}\n"
    (door.directory / "known_hosts").write_text(known)
    done = await door.ssh("echo in", options=["-o", "HostKeyAlias=127.0.0.1"])

    assert done.out == b"in\n", done.err


@pytest.mark.privileged
async def test_a_bad_host_certificate_is_said(door: Door, tmp_path: Path) -> None:
    """A user's, a stale one, another key's: not offered, named, and the plain key stays."""
    authority = Authority(tmp_path)
    directory = door.directory / "etc/ssh"
    authority.certify(directory / ED25519)
    user = await door.configure(door.key)
    authority.certify(directory / ED25519, "-h", "-V", "20200101:20200102")
    stale = await door.configure(door.key)

    assert "a user's" in user.problems[0]
    assert "expired" in stale.problems[0]
    assert (await door.ssh("echo in")).out == b"in\n"


@pytest.mark.privileged
async def test_keys_that_cannot_be_stored_are_said_each_time(tmp_path: Path) -> None:
    """The door opens, its keys stay the same while it is open, and it is said at each look."""
    made = Door(tmp_path, *make_key(tmp_path, "operator"))
    (tmp_path / "etc").write_text("a file in the way")
    await made.open()
    again = await made.configure(made.key)
    done = await made.ssh("echo in")
    await made.link.close()

    assert done.out == b"in\n"
    assert any("could not be stored" in problem for problem in made.ready.problems)
    assert any("could not be stored" in problem for problem in again.problems)
    assert again.host_keys[0] == made.ready.host_keys[0]
