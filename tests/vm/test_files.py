"""What the root holds, read out of the finished image without booting it."""

import os
import re
import stat
from pathlib import Path

import pytest

from dev import hostlook
from dev.hostimage import ROOT_MAX, HostImage

pytestmark = [pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(1500)]

CONTAINERS = "usr/share/sheltie/images"
FORBIDDEN = re.compile(
    r"""(^|/)(
        su|sudo|doas|login|agetty|getty|sulogin|runuser|chsh|chfn|newgrp|passwd|pkexec
        |sshd|dropbear|telnetd|rlogind
        |apt|apt-get|apt-cache|aptitude|dpkg|dpkg-deb|rpm|dnf|pip3?|snap|flatpak
        |bash|zsh|fish|ksh|busybox|perl
        |gcc|cc|ld|as|make
    )([-.][0-9.]+)?$""",
    re.VERBOSE,
)
# Completions, licences and settings bear names of programs; passwd(5) is a table.
NAMES_ONLY = re.compile(r"^(usr/share/(doc|bash-completion|lintian)/|etc/passwd$)")


@pytest.fixture(scope="module")
def root(image: HostImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the root's files, extracted from the erofs."""
    return hostlook.extract(image, tmp_path_factory.mktemp("root") / "root")


def files(root: Path) -> list[Path]:
    """Return every path of the host itself, relative to the root; the containers' are not its."""
    found = []
    for directory, names, plain in os.walk(root):
        here = Path(directory).relative_to(root)
        names[:] = [name for name in names if str(here / name) != CONTAINERS]
        found += [here / name for name in (*names, *plain)]
    return found


def test_no_way_in_and_no_package_manager(root: Path) -> None:
    """No server, no login, no shell that anybody would choose, nothing that installs."""
    names = [str(path) for path in files(root)]
    assert len(names) > 3000
    assert [name for name in names if FORBIDDEN.search(name) and not NAMES_ONLY.match(name)] == []


def test_the_search_would_find_them() -> None:
    """The pattern of forbidden names matches what it is meant for, and leaves look-alikes."""
    for name in ("usr/sbin/sshd", "usr/bin/su", "usr/bin/apt-get", "usr/bin/bash"):
        assert FORBIDDEN.search(name), name
    for name in ("usr/bin/sum", "usr/bin/dash", "usr/sbin/ldconfig", "usr/sbin/nologin"):
        assert not FORBIDDEN.search(name), name


def test_nobody_has_a_login_shell_or_a_password(root: Path) -> None:
    """Every account ends in nologin, and every password is locked."""
    accounts = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    shadow = [line.split(":") for line in (root / "etc/shadow").read_text().splitlines()]

    assert len(accounts) > 10
    assert {one[6] for one in accounts} <= {"/usr/sbin/nologin", "/bin/false", "/bin/sync"}
    assert {one[1] for one in shadow} == {"!*"}
    assert {one[0] for one in accounts} == {one[0] for one in shadow}


def test_nothing_raises_anybodys_rights(root: Path) -> None:
    """No file of the host is setuid or setgid, and none has capabilities."""
    plain = [path for path in files(root) if stat.S_ISREG((root / path).lstat().st_mode)]
    raised = [str(path) for path in plain if (root / path).stat().st_mode & 0o6000]
    capable = [str(path) for path in plain if os.listxattr(root / path, follow_symlinks=False)]

    assert raised == []
    assert capable == []


def test_no_unit_opens_a_terminal(root: Path) -> None:
    """No getty, no debug shell, no emergency shell; consoles lead into control."""
    units = root / "usr/lib/systemd/system"
    names = {path.name for path in units.rglob("*")}
    plain = [path for path in units.rglob("*.service") if path.is_file()]
    shells = [path for path in plain if "sulogin" in path.read_text()]

    assert not [name for name in names if re.match(r"(.*getty@|autovt@|debug-shell)", name)]
    assert shells
    for path in shells:
        dropin = units / f"{path.name}.d" / "no-shell.conf"
        assert "systemctl reboot" in dropin.read_text(), path.name
    wanted = sorted(path.name for path in (units / "multi-user.target.wants").iterdir())
    assert "sheltie-console@ttyS0.service" in wanted


def test_what_differs_between_machines_is_not_in_it(root: Path) -> None:
    """The machine's id is empty, and there are no keys, caches or leftovers."""
    assert (root / "etc/machine-id").read_bytes() == b""
    for name in ("var", "run", "tmp", "boot", "dev", "proc", "sys", "home", "root"):
        assert list((root / name).iterdir()) == [], name
    assert not list(root.glob("etc/*-"))


def test_our_packages_bring_bytecode(root: Path) -> None:
    """Every module of the daemon has its bytecode, and the tests' and tools' code is not there."""
    packages = root / "usr/lib/python3/dist-packages"
    sources = [path for room in ("contract", "host") for path in (packages / room).rglob("*.py")]
    compiled = [path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc" for path in sources]

    assert len(sources) > 50
    assert [path for path in compiled if not path.exists()] == []
    assert not {"admin", "control", "dev", "tests"} & {path.name for path in packages.iterdir()}


def test_the_root_is_small(image: HostImage) -> None:
    """The verified root keeps within its bound."""
    assert image.root.stat().st_size <= ROOT_MAX
