"""What may be used: pins, the owner's policy, and real signatures by gpg."""

# ruff: noqa: ASYNC221  only this test waits for these programs

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import FailedError
from host.image import name, trust
from host.image.trust import judge
from tests.host.image import tiny
from tests.host.image.conftest import Make
from tests.host.image.registry import Registry

PLACE = Path("/state/policy.json")
D = f"sha256:{'0a' * 32}"
TAGGED, PINNED = name.parse("a.example/b/c:1"), name.parse(f"a.example/b/c@{D}")


def test_a_pin_is_enough() -> None:
    """Without a policy what has a digest may be used."""
    assert judge(PINNED, None, PLACE) == trust.Trust(trust.ANY, trust.PINNED)


def test_a_tag_alone_is_not() -> None:
    """One line names both ways out."""
    with pytest.raises(FailedError) as caught:
        judge(TAGGED, None, PLACE)

    assert caught.value.code == "IMAGE_UNTRUSTED"
    assert "a.example/b/c@sha256:…" in caught.value.line()
    assert str(PLACE) in caught.value.line()


def test_a_policy_judges_pins_too() -> None:
    """Where the owner wrote one, it is the law."""
    policy = b'{"default": [{"type": "reject"}]}'

    assert json.loads(judge(PINNED, policy, PLACE).policy) == json.loads(policy)
    assert judge(PINNED, policy, PLACE).mark != trust.PINNED


def requirement(identity: dict[str, str] | None, wanted: name.Name) -> Any:
    """Return the identity that a signature has to name."""
    one: dict[str, Any] = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/key"}
    if identity is not None:
        one["signedIdentity"] = identity
    scope = {"docker": {"a.example": [one]}}
    policy = {"default": [{"type": "reject"}], "transports": scope}
    found = json.loads(judge(wanted, json.dumps(policy).encode(), PLACE).policy)
    return found["transports"]["docker"]["a.example"][0].get("signedIdentity")


@pytest.mark.parametrize(
    ("identity", "signed"),
    [
        (None, "a.example/b/c:1"),
        ({"type": "matchExact"}, "a.example/b/c:1"),
        ({"type": "matchRepoDigestOrExact"}, "a.example/b/c:1"),
        (
            {"type": "remapIdentity", "prefix": "a.example", "signedPrefix": "z.example"},
            "z.example/b/c:1",
        ),
    ],
)
def test_a_signature_has_to_name_the_tag(identity: dict[str, str] | None, signed: str) -> None:
    """A tag is pulled by its digest, and still no other tag's signature will do."""
    exact = {"type": "exactReference", "dockerReference": signed}

    assert requirement(identity, TAGGED) == exact
    assert requirement(identity, PINNED) == identity


def test_what_the_owner_asks_for_stays() -> None:
    """Identities that do not look at the tag are the owner's decision."""
    for identity in (
        {"type": "matchRepository"},
        {"type": "exactReference", "dockerReference": "x"},
    ):
        assert requirement(identity, TAGGED) == identity


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda deeper: (
            st.lists(deeper)
            | st.dictionaries(st.sampled_from(["default", "transports", "type"]), deeper)
        ),
    ).map(lambda tree: json.dumps(tree).encode())
)
def test_any_policy_is_used_or_refused(policy: bytes) -> None:
    """A broken policy is one error; nothing is let in by it."""
    for wanted in (TAGGED, PINNED):
        try:
            found = judge(wanted, policy, PLACE)
        except FailedError:
            continue
        assert found.mark != trust.PINNED
        assert json.loads(found.policy) is not None


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A throw-away home of gpg with a signing key; `key.gpg` is the public one."""
    home = tmp_path / "gnupg"
    home.mkdir(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    make = ["--passphrase", "", "--quick-gen-key", "test@example", "ed25519", "sign", "never"]
    subprocess.run([*gpg, *make], check=True, capture_output=True)
    done = subprocess.run([*gpg, "--export", "test@example"], check=True, capture_output=True)
    (home / "key.gpg").write_bytes(done.stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return home


@pytest.fixture
def signing(
    tmp_path: Path, keys: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The state directory of a host that accepts this key's signatures, found in a directory."""
    state = tmp_path / "state"
    (state / "registries.d").mkdir(parents=True)
    look = f"file://{tmp_path}/signatures"
    places = f"default-docker:\n  lookaside: {look}\n  lookaside-staging: {look}\n"
    (state / "registries.d/all.yaml").write_text(places)
    signed = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": f"{keys}/key.gpg"}
    scopes = {"docker": {registry.place: [signed]}}
    policy = {"default": [{"type": "reject"}], "transports": scopes}
    (state / "policy.json").write_text(json.dumps(policy))
    monkeypatch.setenv("GNUPGHOME", str(keys))
    return state


def sign(registry: Registry, layout: Path, state: Path, where: str, tag: str = "latest") -> str:
    """Push an image with a signature and return its digest."""
    options = ["--registries.d", f"{state}/registries.d", "--sign-by", "test@example"]
    try:
        return registry.push(layout, where, *options, tag=tag)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


@pytest.mark.privileged
async def test_signed_images_are_accepted(
    daemon: Make, registry: Registry, layout: Path, signing: Path
) -> None:
    """By their tag and by their digest."""
    digest = sign(registry, layout, signing, "tiny:1")
    images = daemon(registry.place)

    assert (await images.get(f"{registry.place}/tiny:1")).digest == digest
    assert (await images.get(f"{registry.place}/tiny@{digest}")).digest == digest


@pytest.mark.privileged
async def test_unsigned_images_are_refused(
    daemon: Make, registry: Registry, layout: Path, signing: Path, tmp_path: Path
) -> None:
    """Even pinned ones, where the policy wants signatures; nothing of them stays."""
    digest = registry.push(layout, "tiny:1")
    for source in (f"{registry.place}/tiny:1", f"{registry.place}/tiny@{digest}"):
        with pytest.raises(FailedError, match="not accepted by the policy") as caught:
            await daemon(registry.place).get(source)
        assert caught.value.code == "IMAGE_UNTRUSTED"

    assert not list((tmp_path / "state/images/blobs/sha256").iterdir())


@pytest.mark.privileged
async def test_an_old_signature_is_not_passed_off_as_another_tags(
    daemon: Make, registry: Registry, layout: Path, signing: Path
) -> None:
    """A registry that moves a tag to an older, signed image of the same repository is refused."""
    old = sign(registry, layout, signing, "tiny:1")
    tiny.write(layout, ("true",), tag="new")
    sign(registry, layout, signing, "tiny:2", tag="new")
    moved = registry.push(layout, "tiny:2")
    assert moved == old
    images = daemon(registry.place)
    await images.get(f"{registry.place}/tiny:1")

    with pytest.raises(FailedError, match="not accepted by the policy"):
        await images.get(f"{registry.place}/tiny:2")


@pytest.mark.privileged
async def test_a_signature_of_another_key(
    daemon: Make, registry: Registry, layout: Path, signing: Path, keys: Path
) -> None:
    """A key that the policy does not name signs nothing."""
    sign(registry, layout, signing, "tiny:1")
    gpg = ["gpg", "--homedir", str(keys), "--batch", "--quiet", "--yes"]
    make = ["--passphrase", "", "--quick-gen-key", "other@example", "ed25519", "sign", "never"]
    subprocess.run([*gpg, *make], check=True, capture_output=True)
    export = ["--output", f"{keys}/key.gpg", "--export", "other@example"]
    subprocess.run([*gpg, *export], check=True)
    subprocess.run(["gpgconf", "--kill", "all"], check=True)

    with pytest.raises(FailedError, match="not accepted by the policy"):
        await daemon(registry.place).get(f"{registry.place}/tiny:1")


@pytest.mark.privileged
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"default": [{"type": "odd"}]}'])
async def test_a_broken_policy_lets_nothing_in(
    daemon: Make, registry: Registry, layout: Path, tmp_path: Path, text: str
) -> None:
    """Whether we or skopeo find it out; a pin does not help."""
    digest = registry.push(layout, "tiny:1")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/policy.json").write_text(text)
    with pytest.raises(FailedError) as caught:
        await daemon(registry.place).get(f"{registry.place}/tiny@{digest}")
    assert caught.value.code == "POLICY_BROKEN"


@pytest.mark.privileged
async def test_a_tag_without_a_policy_asks_nobody(
    daemon: Make, registry: Registry, layout: Path
) -> None:
    """It is refused before the registry hears of it."""
    registry.push(layout, "tiny:1")
    registry.asked()
    with pytest.raises(FailedError, match="neither pinned"):
        await daemon(registry.place).get(f"{registry.place}/tiny:1")

    assert registry.asked() == 0
