"""The lock of the host image's packages: read, named, fetched by digest."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contract.errors import FailedError, UsageError
from dev import base, hostpackages
from dev.hostpackages import Package

DIGEST = "0" * 64


def package(name: str, **changes: str) -> Package:
    """Return a package of the root."""
    known = {"version": "1", "sha256": DIGEST, "path": f"pool/{name}.deb"} | changes
    return Package("root", name, known["version"], known["sha256"], known["path"])


def test_the_committed_lock_holds_what_is_wanted() -> None:
    """Each wanted package is locked in its section, and what is left out is not."""
    lines = [line.split() for line in hostpackages.WANTED.read_text().splitlines()]
    for section in ("tools", "root"):
        names = {words[1] for words in lines if words[:1] == [section]}
        locked = {one.name for one in hostpackages.read(section)}
        assert {name for name in names if name[0] != "-"} <= locked
        assert not {name[1:] for name in names if name[0] == "-"} & locked


def test_the_root_holds_no_way_to_install_or_to_come_in() -> None:
    """The packages that would bring one are not locked."""
    locked = {one.name for one in hostpackages.read("root")}

    assert not locked & {"apt", "dpkg", "openssh-server", "login", "bash", "sudo", "passwd"}


def test_a_broken_lock_is_named_with_its_line(tmp_path: Path) -> None:
    """A line with too few words."""
    lock = tmp_path / "lock"
    lock.write_text(f"# head\n{package('a')}\nroot b 1\n")

    with pytest.raises(UsageError, match=f"{lock}:3"):
        hostpackages.read("root", lock)


def test_a_lock_reads_back_what_was_written(tmp_path: Path) -> None:
    """Sections apart, in an order of their own."""
    lock = tmp_path / "lock"
    lock.write_text(f"{package('b')}\n{package('a')}\ntools c 1 {DIGEST} pool/c.deb\n")

    assert hostpackages.read("root", lock) == [package("a"), package("b")]


def test_the_name_changes_with_any_package() -> None:
    """Not with their order."""
    one, two = package("a"), package("b")

    assert hostpackages.key([one, two]) == hostpackages.key([two, one])
    assert hostpackages.key([one]) != hostpackages.key([package("a", version="2")])


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An archive on loopback, and an empty cache."""
    archive = tmp_path / "mirror"
    archive.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("SHELTIE_MIRROR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(base, "targets", lambda: "")
        yield archive
        server.shutdown()


def test_packages_are_fetched_once_and_judged_by_their_digest(mirror: Path) -> None:
    """The file of that content, and no other; afterwards the mirror is not asked again."""
    content = b"!<arch>\n"
    (mirror / "a.deb").write_bytes(content)
    wanted = package("a", sha256=hashlib.sha256(content).hexdigest(), path="a.deb")
    (found,) = hostpackages.fetch([wanted], lambda _: None)
    assert found.read_bytes() == content
    (mirror / "a.deb").unlink()

    assert hostpackages.fetch([wanted], lambda _: None) == [found]


@pytest.mark.parametrize("there", [False, True], ids=["gone", "another"])
def test_what_the_mirror_has_no_more_is_named(mirror: Path, there: bool) -> None:
    """A missing file, and one of other content: the package, and the way on."""
    if there:
        (mirror / "a.deb").write_bytes(b"something else")

    with pytest.raises(FailedError, match="no a 1 any more") as caught:
        hostpackages.fetch([package("a", path="a.deb")], lambda _: None)
    assert caught.value.code == "PACKAGE_GONE"
    assert "make host-lock" in caught.value.line()


def test_what_is_no_package_cannot_be_unpacked(tmp_path: Path) -> None:
    """dpkg-deb's own words."""
    (tmp_path / "x.deb").write_bytes(b"nothing")

    with pytest.raises(FailedError, match=r"x\.deb"):
        hostpackages.unpack([tmp_path / "x.deb"], tmp_path / "root")
    subprocess.run(["dpkg-deb", "--version"], check=True, capture_output=True)
