"""Where the local base comes from: the machine's own Debian mirror, and Debian's keys only."""

from pathlib import Path

import pytest

from contract.errors import MachineError
from dev import base

DEBIAN = """\
http://mirror.example/debian/\tbookworm\tDebian\tDebian\tmain
http://mirror.example/debian/\tbookworm-updates\tDebian\tDebian\tmain
http://mirror.example/debian-security/\tbookworm-security\tDebian\tDebian-Security\tmain
http://cloud.example/apt/\tsdk\tSome Company\tSome Company\tmain
"""


@pytest.fixture(autouse=True)
def _no_mirror_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHELTIE_MIRROR", raising=False)


def test_the_machines_own_mirror() -> None:
    """Both archives are found, whatever release the machine itself has."""
    found = ("http://mirror.example/debian/", "http://mirror.example/debian-security/")
    assert base.mirrors(DEBIAN) == found


def test_before_the_first_update_apt_knows_no_origin() -> None:
    """Sources without fetched lists name the archive by address and release only."""
    account = "http://mirror.example/debian/\ttrixie\t\t\tmain\n"
    assert base.mirrors(account) == ("http://mirror.example/debian/", "")


@pytest.mark.parametrize("account", ["", "\n", "junk", "http://x/\tjammy\tUbuntu\tUbuntu\tmain\n"])
def test_no_debian_in_the_sources(account: str) -> None:
    """Another distribution's sources give one line that says what to set."""
    with pytest.raises(MachineError, match="name no Debian mirror") as caught:
        base.mirrors(account)
    assert "SHELTIE_MIRROR" in caught.value.hint


def test_a_given_mirror_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """SHELTIE_MIRROR replaces the archive; the security archive stays the machine's."""
    monkeypatch.setenv("SHELTIE_MIRROR", "http://given.example/debian")
    security = "http://mirror.example/debian-security/"
    assert base.mirrors(DEBIAN) == ("http://given.example/debian", security)
    assert base.mirrors("") == ("http://given.example/debian", "")


def test_lines_of_the_suite() -> None:
    """The suite, its updates, and its security when there is an archive for it."""
    assert base.lines(("http://a/", "")) == [
        "deb http://a/ trixie main",
        "deb http://a/ trixie-updates main",
    ]
    assert base.lines(("http://a/", "http://s/"))[-1] == "deb http://s/ trixie-security main"


@pytest.mark.parametrize("suffix", ["gpg", "pgp"])
def test_only_debians_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Debian 12's and 13's names are both found, and a stranger's key is left out."""
    for name in ("debian-archive-keyring", "debian-archive-trixie-stable", "stranger"):
        (tmp_path / f"{name}.{suffix}").touch()
    monkeypatch.setattr(base, "KEYRINGS", tmp_path)
    found = [Path(option.removeprefix("--keyring=")).stem for option in base.keyrings()]
    assert sorted(found) == ["debian-archive-keyring", "debian-archive-trixie-stable"]


def test_no_keys_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Debian's keys the package to install is named."""
    monkeypatch.setattr(base, "KEYRINGS", tmp_path)
    with pytest.raises(MachineError, match="no keys") as caught:
        base.keyrings()
    assert caught.value.code == "NO_KEYRING"
