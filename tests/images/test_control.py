"""The control image from the inside: what it must have, and what it must not."""

import re
import stat
import tarfile
from typing import Any

import pytest

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]

FORBIDDEN = re.compile(
    r"""(^|/)(
        su|sudo|nsenter|unshare|setpriv|runuser|mount|umount|chsh|chfn|newgrp|bin/passwd
        |sshd|ssh-agent|ssh-add|ssh-keysign|ssh-keyscan|sftp-server
        |gcc|g\+\+|cc|c\+\+|cpp|clang|tcc|ld|as|make
        |apt|apt-get|apt-cache|aptitude|dpkg|dpkg-deb|pip3?|perl
        |asyncssh|cryptography|paramiko|bcrypt|nacl|cffi
    )([-.][0-9.]+)?$""",
    re.VERBOSE,
)
PROGRAMS = (
    "usr/bin/bash",
    "usr/bin/true",
    "usr/bin/sh",
    "usr/bin/less",
    "usr/bin/jq",
    "usr/bin/ssh",
    "usr/bin/ssh-keygen",
    "usr/bin/catatonit",
    "usr/bin/python3",
    "usr/bin/control",
    "usr/bin/apiclient",
    "usr/bin/enable-admin-container",
    "usr/bin/disable-admin-container",
    "usr/bin/enter-admin-container",
    "usr/sbin/start_control_ssm.sh",
)
# A record for scanners, and licences: names of packages, not the packages.
NAMES_ONLY = ("var/lib/dpkg", "usr/share/doc/")


def test_one_layer_holds_all(control: Any) -> None:
    """One layer only, so that no lower one keeps what an upper one hides."""
    assert len(control.manifest["layers"]) == 1


def test_nothing_forbidden_is_in_the_layer(control: Any) -> None:
    """No name of the layer is one that DESIGN forbids, and nothing is setuid or setgid."""
    digest = control.manifest["layers"][0]["digest"].replace(":", "/")
    with tarfile.open(control.layout / "blobs" / digest) as layer:
        members = layer.getmembers()
    assert len(members) > 1000
    names = [one.name.removeprefix("./") for one in members]
    bad = [name for name in names if FORBIDDEN.search(name) and not name.startswith(NAMES_ONLY)]
    assert bad == []
    raised = [one.name for one in members if one.mode & (stat.S_ISUID | stat.S_ISGID)]
    assert raised == []
    assert not any("security.capability" in str(one.pax_headers) for one in members)


def test_the_search_would_find_them() -> None:
    """The pattern of forbidden names matches what it is meant for, and leaves look-alikes."""
    for name in ("usr/bin/su", "usr/sbin/sshd", "usr/lib/openssh/ssh-keysign", "usr/bin/gcc-14"):
        assert FORBIDDEN.search(name), name
    for name in ("usr/bin/sum", "usr/bin/ssh", "usr/bin/ssh-keygen", "usr/bin/basename"):
        assert not FORBIDDEN.search(name), name


@pytest.mark.parametrize("path", PROGRAMS)
def test_what_upstream_scripts_call_is_there(control: Any, path: str) -> None:
    """Each program is there and may be executed."""
    assert (control.root / path).stat().st_mode & 0o111 == 0o111


def test_ssm_user_has_upstreams_groups(control: Any) -> None:
    """The user ssm-user is in users and api, gid 274, and owns its home."""
    shown = control.run("id", "ssm-user").stdout
    assert "100(users)" in shown
    assert "274(api)" in shown
    user = control.run(
        "sh", "-c", "id -un && cd ~ssm-user && pwd && touch x && rm x", user="ssm-user"
    )
    assert user.stdout.split() == ["ssm-user", "/home/ssm-user"], user.stderr


def test_python_finds_all_and_no_more(control: Any) -> None:
    """Our packages and their dependencies import with `-I`; no SSH or crypto library does."""
    words = "typer, rich, msgspec, h11, wsproto, contract.userdata, control"
    done = control.run("python3", "-I", "-c", f"import {words}; print(contract.__file__)")
    assert done.stdout.strip() == "/usr/local/lib/python3.13/dist-packages/contract/__init__.py"
    for name in ("asyncssh", "cryptography", "paramiko", "admin", "host", "dev", "pip"):
        missing = control.run("python3", "-I", "-c", f"import {name}")
        assert "ModuleNotFoundError" in missing.stderr, name


def test_bytecode_is_there_and_used(control: Any) -> None:
    """No import compiles anything: every module comes out of its __pycache__."""
    words = "typer, rich.table, msgspec, h11, wsproto, contract.userdata, control"
    done = control.run("python3", "-I", "-v", "-c", f"import {words}")
    assert done.returncode == 0
    assert done.stderr.count("matches") > 100
    assert re.findall(r"# (?:code object from \S+\.py'|wrote .*)", done.stderr) == []


@pytest.mark.parametrize("name", ["control", "apiclient", "enable-admin-container"])
def test_help_is_a_page(control: Any, name: str) -> None:
    """Each command's `--help` comes out of the image itself, on stdout, with status 0."""
    done = control.run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def test_the_small_userland_works(control: Any) -> None:
    """Programs find their libraries, the locale and the terminal's description."""
    assert control.run("jq", ".a", stdin='{"a": 1}').stdout == "1\n"
    assert control.run("ssh", "-V").stderr.startswith("OpenSSH_")
    assert control.run("less", "--version").returncode == 0
    script = "import curses; curses.setupterm('xterm-256color'); print('\\N{SNOWMAN}')"
    assert control.run("python3", "-I", "-c", script).stdout == "\N{SNOWMAN}\n"


def test_it_starts_as_upstream_says(control: Any) -> None:
    """A real init as entrypoint, upstream's name as command, root as user."""
    assert control.config["Entrypoint"] == ["/usr/bin/catatonit", "--"]
    assert control.config["Cmd"] == ["/usr/sbin/start_control_ssm.sh"]
    assert control.config.get("User", "") in {"", "0", "root"}
    assert control.config["Labels"]["org.opencontainers.image.title"] == "sheltie-control"


def test_scanners_find_the_packages(control: Any) -> None:
    """Each Debian package has its record, with name and version."""
    records = list((control.root / "var/lib/dpkg/status.d").iterdir())
    assert {"bash", "libc6", "openssh-client"} <= {one.name for one in records}
    assert all(re.search(r"^Version: ", one.read_text(), re.MULTILINE) for one in records)
