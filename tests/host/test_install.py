"""`hostd install` into a root of the test's own, and what systemd's tools make of the result."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from host.install import UNIT

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not on this machine"
)

# The exposure that is left, in tenths, and why: nearly everything that systemd can take away is
# inherited by what the daemon starts, and root in an enabled admin is to be root on the host.
EXPOSURE_MAX = 97
INHERITED = "containers inherit it"
NAMESPACE = "mounts must be seen by the host and by containers, both ways"
WORK = "the daemon's own work needs it"
EXPOSED = {
    "NoNewPrivileges": INHERITED,
    "CapabilityBoundingSet": INHERITED,
    "SystemCallFilter": INHERITED,
    "SystemCallArchitectures": INHERITED,
    "RestrictNamespaces": INHERITED,
    "RestrictAddressFamilies": INHERITED,
    "RestrictRealtime": INHERITED,
    "RestrictSUIDSGID": INHERITED,
    "LockPersonality": INHERITED,
    "MemoryDenyWriteExecute": INHERITED,
    "ProtectHostname": INHERITED,
    "ProtectClock": INHERITED,
    "ProtectKernelModules": INHERITED,
    "ProtectKernelLogs": INHERITED,
    "UMask": "the daemon sets its own",
    "ProtectSystem": NAMESPACE,
    "ProtectHome": NAMESPACE,
    "PrivateTmp": NAMESPACE,
    "PrivateDevices": NAMESPACE,
    "PrivateMounts": NAMESPACE,
    "ProtectKernelTunables": NAMESPACE,
    "ProtectControlGroups": NAMESPACE,
    "ProtectProc": NAMESPACE,
    "ProcSubset": NAMESPACE,
    "RootDirectoryOrRootImage": NAMESPACE,
    "UserOrDynamicUser": WORK,
    "PrivateUsers": WORK,
    "PrivateNetwork": WORK,
    "IPAddressDeny": WORK,
    "DeviceAllow": WORK,
}
UNSAID = {"PrivateMounts", "UMask"}
"""What the unit's own comment does not name: the first follows from the others."""


def hostd(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run hostd."""
    return subprocess.run(
        [sys.executable, "-I", "-m", "host", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def tree(root: Path) -> dict[str, Any]:
    """Return what lies below a directory: modes, contents, links."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            data = path.read_bytes() if path.is_file() else b""
            found[name] = (oct(path.stat().st_mode), data)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory that is to be a root."""
    path = tmp_path / "root"
    path.mkdir()
    return path


def test_twice_is_once(root: Path) -> None:
    """The second time there is nothing to do, and everything is as it was."""
    first = hostd("install", "--root", str(root))
    once = tree(root)
    second = hostd("install", "--root", str(root))

    assert (first.returncode, first.stderr, second.returncode) == (0, "", 0)
    assert first.stdout.splitlines() == [
        f"write {root}/etc/sysusers.d/sheltie.conf",
        f"write {root}/etc/tmpfiles.d/sheltie.conf",
        f"write {root}/etc/systemd/system/{UNIT}",
        f"link {root}/etc/systemd/system/multi-user.target.wants/{UNIT} to ../{UNIT}",
    ]
    assert second.stdout == "nothing to do\n"
    assert tree(root) == once
    assert once[f"etc/systemd/system/{UNIT}"][0] == "0o100644"
    link = root / "etc/systemd/system/multi-user.target.wants" / UNIT
    assert link.resolve() == (root / "etc/systemd/system" / UNIT).resolve()


def test_an_older_unit_is_replaced_and_a_drop_in_stays(root: Path) -> None:
    """Only what differs is written; what the owner added beside it is the owner's."""
    hostd("install", "--root", str(root))
    unit = root / "etc/systemd/system" / UNIT
    new = unit.read_text()
    unit.write_text("[Unit]\n")
    drop_in = unit.with_name(f"{UNIT}.d") / "mine.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\n")
    done = hostd("install", "--root", str(root))

    assert done.stdout == f"write {unit}\n"
    assert unit.read_text() == new
    hostd("uninstall", "--root", str(root))
    assert drop_in.read_text() == "[Service]\n"


def test_a_dry_run_changes_nothing(root: Path) -> None:
    """It says what would be done."""
    done = hostd("install", "--root", str(root), "--dry-run")

    assert done.returncode == 0
    assert all(line.startswith("would ") for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 4
    assert tree(root) == {}


def test_nothing_is_started_without_now() -> None:
    """On the running host the steps are files; programs come with --now alone."""
    plain = hostd("install", "--dry-run")
    now = hostd("install", "--dry-run", "--now")
    taken = hostd("uninstall", "--dry-run", "--now")
    image = hostd("install", "--root", "/nowhere", "--now")

    assert "would run" not in plain.stdout
    assert "next: systemctl daemon-reload; systemctl start hostd.service" in plain.stdout
    assert f"would run systemctl start {UNIT}" in now.stdout
    assert taken.stdout.splitlines()[0] == f"would run {sys.executable} -I -m host stop"
    assert (image.returncode, image.stderr.count("\n")) == (2, 1)


def test_uninstalling(root: Path) -> None:
    """It takes out what was put in, leaves the state, and says so; a second time is fine."""
    state = root / "var/lib/sheltie"
    (state / "settings").mkdir(parents=True)
    before = {name for name in tree(root) if name.startswith("var")}
    hostd("install", "--root", str(root))
    first = hostd("uninstall", "--root", str(root))
    second = hostd("uninstall", "--root", str(root))
    left = {name for name in tree(root) if not (root / name).is_dir() or name.startswith("var")}

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.splitlines()[-1].startswith(f"stays: {state} ")
    assert second.stdout.splitlines()[0] == "nothing to do"
    assert left == before


def test_as_a_vendor(root: Path) -> None:
    """An image has the files in /usr/lib, where the owner's in /etc may stand before them."""
    done = hostd("install", "--root", str(root), "--vendor", "--launcher", "/usr/bin/hostd")
    unit = root / "usr/lib/systemd/system" / UNIT

    assert done.returncode == 0
    assert "\nExecStart=/usr/bin/hostd serve\n" in unit.read_text()
    assert (root / "usr/lib/systemd/system/multi-user.target.wants" / UNIT).is_symlink()
    assert not (root / "etc").exists()


def test_a_link_out_of_the_image(root: Path, tmp_path: Path) -> None:
    """A directory of an image that leads to the machine's own is refused, and nothing written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc").symlink_to(outside)
    done = hostd("install", "--root", str(root))

    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "[INSTALL_OUTSIDE]" in done.stderr
    assert tree(outside) == {}


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_without_root() -> None:
    """One line names the file and the next step."""
    argv = ["unshare", "--user", sys.executable, "-I", "-m", "host", "install"]
    done = subprocess.run(
        [*argv, "--root", "/proc"], capture_output=True, text=True, check=False, timeout=30
    )

    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "[INSTALL_FAILED]" in done.stderr


@needs_systemd
@pytest.mark.parametrize("options", [(), ("--vendor",)])
def test_systemd_understands_the_unit(root: Path, options: tuple[str, ...]) -> None:
    """`systemd-analyze verify` has nothing to say."""
    hostd("install", "--root", str(root), *options)
    unit = root / ("usr/lib" if options else "etc") / "systemd/system" / UNIT
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_what_remains_exposed(root: Path) -> None:
    """Each thing that is not taken away has its reason, here and in the unit."""
    hostd("install", "--root", str(root))
    unit = root / "etc/systemd/system" / UNIT
    argv = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}"]
    done = subprocess.run(
        [*argv, "--json=short", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    exposed = {
        one["json_field"].partition("_")[0] for one in json.loads(done.stdout) if not one["set"]
    }
    applies = exposed - {"SupplementaryGroups", "RemoveIPC"}  # "does not matter" for root

    assert applies == EXPOSED.keys()
    text = unit.read_text()
    names = {"UserOrDynamicUser": "User=", "RootDirectoryOrRootImage": "RootDirectory="}
    assert all(names.get(name, f"{name}=") in text for name in EXPOSED.keys() - UNSAID)


@needs_systemd
def test_the_options_that_would_break_containers_are_not_set(root: Path) -> None:
    """A comment is no setting: none of them is in force in the unit."""
    hostd("install", "--root", str(root))
    unit = root / "etc/systemd/system" / UNIT
    settings = dict(
        line.split("=", 1)
        for line in unit.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )

    assert not EXPOSED.keys() & settings.keys()
    assert (settings["KillMode"], settings["Type"]) == ("process", "notify")


@needs_systemd
def test_users_and_directories(root: Path) -> None:
    """Systemd's own tools make the group and the directories from the files."""
    hostd("install", "--root", str(root))
    for argv in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        done = subprocess.run(
            [*argv, f"--root={root}", "sheltie.conf"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
    modes = {
        name: oct((root / name).stat().st_mode & 0o7777)
        for name in ("run/sheltie", "run/sheltie/api", "run/sheltie/api/host", "var/lib/sheltie")
    }

    assert "\napi:x:274:" in f"\n{(root / 'etc/group').read_text()}"
    assert set(modes.values()) == {"0o711", "0o700"}
    assert modes["var/lib/sheltie"] == "0o700"
    assert str((root / "run/api.sock").readlink()) == "sheltie/api/host/api.sock"
