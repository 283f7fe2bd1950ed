"""The manifest of an update server: parsed strictly, and only whole updates for this host count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import FailedError, NotFoundError, RefusedError, SheltieError
from host.update import manifest
from tests.host.update.disk import image

DIGEST = "0" * 64
UUID = "00000000-0000-0000-0000-000000000000"
RUNNING = image("1.0.0")


def sums(*files: str) -> dict[str, str]:
    """Return a manifest with these files."""
    return dict(manifest.parse("".join(f"{DIGEST}  {file}\n" for file in files)))


def update(version: str, base: str = "sheltie-host_x86-64") -> list[str]:
    """Return the files of an update."""
    name = f"{base}_{version}"
    return [f"{name}_{UUID}.root", f"{name}_{UUID}.verity", f"{name}.efi"]


def test_whole_updates_of_this_host() -> None:
    """Others beside them, files that are none and half ones do not count."""
    files = [*update("1.1.0"), *update("2.0.0", "other_x86-64"), *update("2.0.0")[:2], "README"]

    assert manifest.offered(sums(*files), RUNNING) == [image("1.1.0")]
    found = manifest.find(sums(*files), image("1.1.0"))
    assert (found.root.uuid, found.uki.file) == (UUID, "sheltie-host_x86-64_1.1.0.efi")
    with pytest.raises(NotFoundError):
        manifest.find(sums(*files), image("2.0.0"))


def test_nothing_at_all() -> None:
    """A manifest without any update offers none; one with others' only is for another machine."""
    assert manifest.offered(sums("README"), RUNNING) == []
    with pytest.raises(RefusedError, match="is for other x86-64, and this host is"):
        manifest.offered(sums(*update("2.0.0", "other_x86-64")), RUNNING)


@pytest.mark.parametrize("version", ["1.1", "1.1.0-rc.1", "1.1.0+5", "01.1.0", "1.1.0.0"])
def test_versions_of_another_form(version: str) -> None:
    """They would be ordered otherwise by the loader, and are none."""
    assert manifest.offered(sums(*update(version)), RUNNING) == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        f"{DIGEST} a b\n",
        f"{DIGEST}  ../a\n",
        f"{DIGEST[1:]}  a\n",
        f"{DIGEST}  a\n{DIGEST}  a\n",
        f"{DIGEST}  \n",
        f"{DIGEST.replace('0', 'A')}  a\n",
        f"{DIGEST}  a\n" * 10_001,
    ],
)
def test_no_manifest(text: str) -> None:
    """A line of another form fails the whole."""
    with pytest.raises(FailedError):
        manifest.parse(text)


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is parsed or refused."""
    code = ""
    try:
        manifest.offered(manifest.parse(text), RUNNING)
    except SheltieError as error:
        code = error.code

    assert code in {"", "UPDATE_MANIFEST"}
