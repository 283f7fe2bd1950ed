"""How registries are reached: mirrors, credentials, proxies, authorities; as files and for real."""

import asyncio
import base64
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import FailedError, UnavailableError, UsageError
from host.image.access import (
    Credential,
    Mirror,
    RegistryAccess,
    auth_file,
    environment,
    registries_conf,
)
from tests.host.image.conftest import Make, plain
from tests.host.image.registry import HOST, PASSWORD, USER, Registry, authority, free_port
from tests.host.image.wire import Wire


def conf(registry: str, *mirrors: Mirror) -> dict[str, object]:
    """Return the one registry of a registries.conf."""
    (one,) = tomllib.loads(registries_conf(RegistryAccess(mirrors), registry))["registry"]
    assert isinstance(one, dict)
    return one


def test_mirrors_in_their_order() -> None:
    """Endpoints become locations; the API's own path and the scheme fall off."""
    found = conf(
        "a.example",
        Mirror("b.example", ("https://no.example",)),
        Mirror("a.example", ("https://one.example:5000/v2/", "http://two.example/cache", "three")),
    )

    assert found == {
        "location": "a.example",
        "mirror": [
            {"location": "one.example:5000"},
            {"location": "two.example/cache", "insecure": True},
            {"location": "three"},
        ],
    }


def test_every_registrys_mirror() -> None:
    """`*` holds where nothing is said of the registry itself."""
    every, own = Mirror("*", ("https://all.example",)), Mirror("a.example", ("https://a1.example",))

    assert conf("b.example", every, own)["mirror"] == [{"location": "all.example"}]
    assert conf("a.example", every, own)["mirror"] == [{"location": "a1.example"}]


def test_a_registry_without_tls() -> None:
    """An endpoint that is the registry itself says how it is spoken to."""
    found = conf("a.example:5000", Mirror("a.example:5000", ("http://a.example:5000",)))

    assert found == {"location": "a.example:5000", "insecure": True}


@pytest.mark.parametrize("text", ["", "ftp://a.example", 'a"b', "https://", "a b", "https://["])
def test_an_endpoint_that_is_none(text: str) -> None:
    """It is named, and nothing of it reaches the file."""
    with pytest.raises(UsageError, match="mirror endpoint"):
        registries_conf(RegistryAccess((Mirror("*", (text,)),)), "a.example")


@given(st.lists(st.text()))
def test_any_endpoints_give_a_file_or_an_error(endpoints: list[str]) -> None:
    """What is written can be read again, and says no more than it should."""
    access = RegistryAccess((Mirror("*", tuple(endpoints)),))
    try:
        text = registries_conf(access, "a.example")
    except UsageError:
        return
    found = tomllib.loads(text)
    assert set(found) == {"registry", "unqualified-search-registries"}
    assert len(found["registry"]) == 1


def test_credentials() -> None:
    """A name and password, their base64, and a token."""
    access = RegistryAccess(
        credentials=(
            Credential("a.example", "me", "pass:word"),
            Credential("b.example", auth="eDp5"),
            Credential("c.example", identitytoken="token"),
        )
    )
    auths = json.loads(auth_file(access))["auths"]

    assert base64.b64decode(auths["a.example"]["auth"]) == b"me:pass:word"
    assert auths["b.example"] == {"auth": "eDp5"}
    assert auths["c.example"]["identitytoken"] == "token"
    assert base64.b64decode(auths["c.example"]["auth"]).endswith(b":")
    assert "pass:word" not in repr(access)
    assert "token'" not in repr(access)


def test_the_proxy() -> None:
    """As programs of Go read it."""
    found = environment(RegistryAccess(https_proxy="http://p:1", no_proxy=("a", ".b")))

    assert (found["HTTPS_PROXY"], found["NO_PROXY"]) == ("http://p:1", "a,.b")
    assert environment(RegistryAccess()) == {}


pytestmark = pytest.mark.privileged


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """An authority and a server's certificate by it."""
    return authority(tmp_path / "tls")


@pytest.fixture
def locked(tmp_path: Path, tls: Path) -> Iterator[Registry]:
    """A registry with TLS that wants to know who asks."""
    with Registry.running(tmp_path / "locked", tls=tls, login=True) as registry:
        yield registry


def access_to(registry: Registry, tls: Path, password: str = PASSWORD) -> RegistryAccess:
    """Return what it takes."""
    credential = Credential(registry.place, USER, password)
    return RegistryAccess(
        credentials=(credential,), certificates=(tls / "ca/authority.crt").read_bytes()
    )


async def test_tls_and_a_login(daemon: Make, locked: Registry, tls: Path, layout: Path) -> None:
    """With the authority and the password the image comes."""
    digest = locked.push(layout, "tiny:1")
    images = daemon(access=access_to(locked, tls))

    assert (await images.get(f"{locked.place}/tiny@{digest}")).digest == digest


async def test_an_unknown_authority(daemon: Make, locked: Registry, layout: Path) -> None:
    """A server that nobody vouches for gets neither trust nor the password."""
    digest = locked.push(layout, "tiny:1")
    access = RegistryAccess(credentials=(Credential(locked.place, USER, PASSWORD),))
    with pytest.raises(FailedError) as caught:
        await daemon(access=access).get(f"{locked.place}/tiny@{digest}")

    assert caught.value.code == "REGISTRY_NOT_TLS"
    assert "authority" in caught.value.hint


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_wrong_password(
    daemon: Make, locked: Registry, tls: Path, layout: Path, password: str
) -> None:
    """The error names the registry and the setting, and no secret."""
    digest = locked.push(layout, "tiny:1")
    with pytest.raises(FailedError) as caught:
        await daemon(access=access_to(locked, tls, password)).get(f"{locked.place}/tiny@{digest}")

    assert caught.value.code == "REGISTRY_DENIED"
    assert "container-registry.credentials" in caught.value.line()
    assert not password or password not in caught.value.line()


async def test_without_tls_it_is_said_how_to_allow_it(
    daemon: Make, registry: Registry, layout: Path
) -> None:
    """A registry without TLS is not spoken to unless the settings say so."""
    digest = registry.push(layout, "tiny:1")
    with pytest.raises(FailedError, match="speaks no TLS") as caught:
        await daemon(access=RegistryAccess()).get(f"{registry.place}/tiny@{digest}")
    assert f"http://{registry.place}" in caught.value.hint


async def test_secrets_are_in_no_argument_and_for_root_only(
    daemon: Make, locked: Registry, tls: Path, layout: Path, tmp_path: Path
) -> None:
    """While a pull stands still: the files are 0600 in 0700, and no process shows the password."""
    digest = locked.push(layout, "tiny:1")
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    async with Wire.to(locked.port) as wire:
        place = f"127.0.0.1:{wire.port}"
        credential = Credential(place, USER, PASSWORD)
        access = RegistryAccess(
            credentials=(credential,), certificates=(tls / "ca/authority.crt").read_bytes()
        )
        wire.arm("stall", 100)
        task = asyncio.create_task(daemon(access=access).get(f"{place}/tiny@{digest}"))
        await wire.reached.wait()
        files = list((tmp_path / "run/images").rglob("*"))
        modes = {path.stat().st_mode & 0o777 for path in files}
        holding = [path.name for path in files if path.is_file() and secret in path.read_text()]
        shown = shown_by_children()
        wire.disarm()
        await task

    # Whether, not what: a failure must not print what processes hold.
    leaked = [word for word in (secret, PASSWORD) if any(word.encode() in one for one in shown)]
    assert modes == {0o600, 0o700}
    assert holding == ["auth.json"]
    assert any(one.startswith(b"/usr/bin/skopeo\0") for one in shown)
    assert not leaked
    assert not list((tmp_path / "run/images").iterdir())


def shown_by_children() -> list[bytes]:
    """Return the arguments and environments of this process's own children, and of no others."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            place = Path("/proc", pid)
            found += [(place / name).read_bytes() for name in ("cmdline", "environ")]
    return found


async def test_by_a_proxy(daemon: Make, locked: Registry, tls: Path, layout: Path) -> None:
    """The proxy is asked for the registry's name, which nobody here could look up."""
    digest = locked.push(layout, "tiny:1")
    credential = Credential(HOST, USER, PASSWORD)
    async with Wire.to(locked.port, connect=True) as proxy:
        access = RegistryAccess(
            credentials=(credential,),
            certificates=(tls / "ca/authority.crt").read_bytes(),
            https_proxy=f"http://127.0.0.1:{proxy.port}",
        )
        image = await daemon(access=access).get(f"{HOST}/tiny@{digest}")

    assert image.digest == digest
    assert set(proxy.hosts) == {f"{HOST}:443"}


async def test_a_proxy_that_is_not_there(daemon: Make) -> None:
    """It is said that the proxy is at fault."""
    access = RegistryAccess(https_proxy=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="proxyconnect"):
        await daemon(access=access).get(f"{HOST}/tiny@sha256:{'0' * 64}")


async def test_by_a_mirror_while_the_registry_is_down(
    daemon: Make, registry: Registry, layout: Path
) -> None:
    """The first mirror is down, the second has it under a path of its own."""
    digest = registry.push(layout, "cache/a/tiny:1")
    down = f"http://127.0.0.1:{free_port()}"
    access = RegistryAccess((Mirror("localhost:1", (down, f"http://{registry.place}/cache")),))

    assert (await daemon(access=access).get(f"localhost:1/a/tiny@{digest}")).digest == digest


async def test_new_settings_count_at_once(
    daemon: Make, registry: Registry, layout: Path, tmp_path: Path
) -> None:
    """Access is asked at each pull."""
    from host.image.images import Images

    digest = registry.push(layout, "tiny:1")
    used = [RegistryAccess()]
    images = Images(tmp_path / "state", tmp_path / "run", lambda: used[-1])
    images.sweep()
    source = f"{registry.place}/tiny@{digest}"
    with pytest.raises(FailedError):
        await images.get(source)
    used.append(plain(registry.place))

    assert (await images.get(source)).digest == digest
