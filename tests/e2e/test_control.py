"""From control there is no path to the host's root but through an enabled admin."""

import json

import pytest

from tests.e2e.host import Host

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(120)]

DEFAULT_CAPABILITIES = 0xA80425FB
"""The fourteen of containerd's default spec (oci/spec.go)."""


def test_control_has_no_capability_beyond_the_default_set(host: Host) -> None:
    """Control's bounding set is within the default fourteen, with no new privileges."""
    status = host.text("control", "cat", "/proc/1/status")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)

    assert not int(fields["CapBnd"], 16) & ~DEFAULT_CAPABILITIES
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


def test_control_holds_no_setuid_file(host: Host) -> None:
    """No file in control is setuid or setgid."""
    script = (
        "import os, sys\n"
        "for top, _, names in os.walk('/'):\n"
        "    if top.split('/')[1] in ('proc', 'sys'): continue\n"
        "    for name in names:\n"
        "        path = os.path.join(top, name)\n"
        "        if os.lstat(path).st_mode & 0o6000: print(path)\n"
    )

    assert host.text("control", "python3", "-I", "-c", script) == ""


def test_control_does_not_see_the_hosts_processes(host: Host) -> None:
    """Control's process 1 is its own init, and the daemon is not among its processes."""
    script = (
        "import os\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    print(open(f'/proc/{pid}/cmdline').read())\n"
    )
    seen = host.text("control", "python3", "-I", "-c", script)

    assert "catatonit" in seen
    assert "hostd" not in seen
    assert "host\0serve" not in seen


def test_control_does_not_see_the_hosts_root(host: Host) -> None:
    """There is no /.bottlerocket/rootfs in control."""
    assert host.run("control", "test", "-e", "/.bottlerocket/rootfs", check=False).returncode == 1


@pytest.mark.parametrize(
    "change",
    [
        {"admin": {"superpowered": True}},
        {"control": {"superpowered": True}},
        {"admin": {"source": "oci:/tmp/evil"}},
        {"control": {"source": "oci:/tmp/evil"}},
        {"admin": {"command": ["sh"]}},
        {"other": {"source": "oci:/tmp/evil", "enabled": True, "superpowered": True}},
        {"admin": {"user-data": "eyJwYXNzd29yZC1oYXNoIjogIngifQ=="}},
        {"admin": {"enabled": True, "superpowered": True}},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_control_may_not_change_what_runs(host: Host, change: dict[str, object]) -> None:
    """Superpowered, source, command, other containers, secrets: refused, nothing pending."""
    before = host.text("host", "cat", "/proc/sys/kernel/hostname"), host.containers()
    body = json.dumps({"host-containers": change})
    done = host.run(
        "control",
        "apiclient",
        "-v",
        "raw",
        "-m",
        "PATCH",
        "-u",
        "/settings",
        "-d",
        body,
        check=False,
    )
    pending = host.text("control", "apiclient", "raw", "-u", "/tx")

    assert done.returncode == 1
    assert b"403" in done.stderr
    assert json.loads(pending) == {}
    assert before == (
        host.text("host", "cat", "/proc/sys/kernel/hostname"),
        host.containers(),
    )


def test_control_may_exec_into_itself_and_an_enabled_admin_only(host: Host) -> None:
    """Exec goes into control and into admin while it is enabled, and nowhere else."""
    host.enable(host.own_key())
    assert host.text("control", "apiclient", "exec", "-T", "control", "echo", "me") == "me"
    assert host.text("control", "apiclient", "exec", "-T", "admin", "echo", "you") == "you"
    assert (
        host.run("control", "apiclient", "exec", "-T", "other", "true", check=False).returncode == 1
    )
    host.disable()

    done = host.run("control", "apiclient", "exec", "-T", "admin", "true", check=False)
    assert done.returncode == 1
    # The target comes after the upgrade, where a refusal is a close (1008) and no status any more.
    assert b"may not exec into 'admin' while it is disabled [EXEC_REFUSED]\n" in done.stderr


def test_ssm_user_may_use_the_tools(host: Host) -> None:
    """The user of a session manager reaches the API by its group."""
    script = (
        "import grp, os, pwd\n"
        "gid = pwd.getpwnam('ssm-user').pw_gid\n"
        "print(*(grp.getgrgid(g).gr_name for g in os.getgrouplist('ssm-user', gid)))\n"
    )
    groups = host.text("control", "python3", "-I", "-c", script)

    assert {"api", "users"} <= set(groups.split())


AS_SSM_USER = (
    "import os, pwd, sys; user = pwd.getpwnam('ssm-user');"
    " os.initgroups('ssm-user', user.pw_gid); os.setgid(user.pw_gid); os.setuid(user.pw_uid);"
    " os.execvp(sys.argv[1], sys.argv[1:])"
)


def test_ssm_user_walks_the_whole_path(host: Host) -> None:
    """Status, enabling, a command in admin, disabling: all of it without root in control."""
    as_user = ("python3", "-I", "-c", AS_SSM_USER)
    host.disable()
    assert "SHUT" in host.text("control", *as_user, "control", "status")
    host.run("control", *as_user, "enable-admin-container", "--key", host.own_key(), timeout=120)
    assert "OPEN" in host.text("control", *as_user, "control", "status")
    script = b"id -u; exit 3\n"
    done = host.run("control", *as_user, "enter-admin-container", stdin=script, check=False)
    assert (done.returncode, done.stdout) == (3, b"0\n")
    host.run("control", *as_user, "disable-admin-container")

    assert "SHUT" in host.text("control", *as_user, "control", "status")
