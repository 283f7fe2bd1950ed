"""The admin image from the inside: the toolbox, the shell for the host, and no second server."""

import stat
from typing import Any

import pytest

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]

TOOLBOX = (
    "bash cat catatonit conntrack ctr curl dig ethtool fsck.ext4 fuser gdb ip jq less lsblk lsof "
    "mkfs.ext4 nft nsenter ps pstree python3 rsync scp sftp ssh ssh-keygen ss strace sudo tcpdump "
    "top true vi vim xfs_repair admin apiclient sheltie start_admin.sh useradd usermod"
)
STATIC = ("opt/bin/bash", "opt/bin/busybox")
PT_INTERP = 3  # elf(5): a program header that names the loader of shared libraries


@pytest.mark.parametrize("name", TOOLBOX.split())
def test_the_toolbox_is_complete(admin: Any, name: str) -> None:
    """Each program of the toolbox is on the image's PATH."""
    done = admin.run("bash", "-c", 'type -P "$1"', "bash", name)
    assert done.stdout.strip().startswith("/"), name


@pytest.mark.parametrize("path", STATIC)
def test_the_shell_for_the_host_is_static(admin: Any, path: str) -> None:
    """An ELF program without an interpreter: it needs no file of the host."""
    data = (admin.root / path).read_bytes()
    assert data[:5] == b"\x7fELF\x02"
    start, size, count = (
        int.from_bytes(data[32:40], "little"),
        int.from_bytes(data[54:56], "little"),
        int.from_bytes(data[56:58], "little"),
    )
    headers = [data[start + size * number :][:4] for number in range(count)]
    assert PT_INTERP not in [int.from_bytes(one, "little") for one in headers]


def test_no_other_ssh_server(admin: Any) -> None:
    """OpenSSH's server is not in the image; its SFTP program is."""
    names = {path.name for path in admin.files()}
    assert "sshd" not in names
    assert "sftp-server" in names


def test_sudo_is_the_one_way_up(admin: Any) -> None:
    """No file but sudo is setuid or setgid."""
    raised = [
        str(path)
        for path in admin.files()
        if not (admin.root / path).is_symlink()
        and (admin.root / path).is_file()
        and (admin.root / path).stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]
    assert raised == ["usr/bin/sudo"]


def test_python_finds_all(admin: Any) -> None:
    """Our packages and their dependencies import with `-I`; those of other rooms do not."""
    words = "asyncssh, paramiko, typer, rich, msgspec, h11, wsproto, contract.userdata, admin"
    done = admin.run("python3", "-I", "-c", f"import {words}; print(asyncssh.__version__)")
    assert done.stdout.strip() == "2.24.1", done.stderr
    for name in ("control", "host", "dev", "pip"):
        missing = admin.run("python3", "-I", "-c", f"import {name}")
        assert "ModuleNotFoundError" in missing.stderr, name


def test_users_and_groups(admin: Any) -> None:
    """Group api has upstream's number; the listener has a user of its own without a login."""
    assert admin.run("getent", "group", "api").stdout.startswith("api:x:274:")
    listener = admin.run("getent", "passwd", "sheltie-listener").stdout.strip()
    assert listener.endswith("/usr/sbin/nologin")
    assert int(listener.split(":")[2]) > 0


def test_sudo_says_nothing_of_its_own(admin: Any) -> None:
    """The rules parse, and no lecture, name lookup or core limit adds a line to stderr."""
    assert admin.run("visudo", "-c").returncode == 0
    quiet = admin.run("sudo", "sh", "-c", "exit 7")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (7, "", "")


def test_it_starts_as_upstream_says(admin: Any) -> None:
    """A real init as entrypoint, upstream's name as command, root as user."""
    assert admin.config["Entrypoint"] == ["/usr/bin/catatonit", "--"]
    assert admin.config["Cmd"] == ["/usr/sbin/start_admin.sh"]
    assert admin.config.get("User", "") in {"", "0", "root"}


@pytest.mark.parametrize("name", ["admin", "sheltie"])
def test_help_is_a_page(admin: Any, name: str) -> None:
    """Each command's `--help` comes out of the image itself, on stdout, with status 0."""
    done = admin.run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def test_a_shell_has_upstreams_prompt(admin: Any) -> None:
    """An interactive shell of a fresh user shows upstream's prompt, and no message by itself."""
    done = admin.run("bash", "-ic", 'echo "$PS1"')
    assert done.stdout == "[\\u@admin]\\$ \n"
