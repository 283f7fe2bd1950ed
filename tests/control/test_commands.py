"""The commands as people type them, on a host of each kind."""

import os
import signal
import subprocess

import pytest

from tests.contract.fakehost import HOST_KEY, key_line
from tests.control.conftest import Control

ENABLE, DISABLE, ENTER = (f"{verb}-admin-container" for verb in ("enable", "disable", "enter"))


def test_enabling_says_how_to_get_in(control: Control) -> None:
    """The exact ssh line and the host key are printed, and the key is handed over."""
    done = control.run(ENABLE, "--key", key_line(1, "me@laptop"))

    assert done.returncode == 0, done.stderr
    assert "ssh: ssh -p 2222 ec2-user@127.0.0.1\n" in done.stdout
    assert f"known_hosts: [127.0.0.1]:2222 {HOST_KEY}\n" in done.stdout
    assert "OPEN, NO LEASE" in done.stdout
    assert control.host.keys() == [key_line(1, "me@laptop")]
    assert control.host.admin["enabled"] is True


def test_enabling_in_json(control: Control) -> None:
    """The same for programs."""
    answer = control.json(ENABLE, "--key", key_line(1))

    assert answer["ssh"] == {
        "command": "ssh -p 2222 ec2-user@127.0.0.1",
        "user": "ec2-user",
        "host": "127.0.0.1",
        "port": 2222,
    }
    assert answer["known_hosts"] == [f"[127.0.0.1]:2222 {HOST_KEY}"]
    assert (answer["enabled"], answer["changed"], answer["ready"]) == (True, True, True)


def test_port_22_needs_no_option_and_no_brackets(ours: Control) -> None:
    """The usual port is written as people write it."""
    ours.host.listen = [("192.0.2.7", 22)]
    answer = ours.json(ENABLE, "--key", key_line(1))

    assert answer["ssh"]["command"] == "ssh ec2-user@192.0.2.7"
    assert answer["known_hosts"] == [f"192.0.2.7 {HOST_KEY}"]


def test_a_forwarded_port_stands_for_the_hosts_own(ours: Control) -> None:
    """Where the owner says how operators come, that is what is printed."""
    ours.host.listen, ours.host.reached_at = [("192.0.2.7", 22)], [("127.0.0.1", 4022)]
    answer = ours.json(ENABLE, "--key", key_line(1))

    assert answer["ssh"]["command"] == "ssh -p 4022 ec2-user@127.0.0.1"
    assert answer["known_hosts"] == [f"[127.0.0.1]:4022 {HOST_KEY}"]


def test_keys_come_from_standard_input(control: Control) -> None:
    """A dash reads the keys of an agent: each of them once."""
    lines = f"{key_line(1)}\n# a comment\n\n{key_line(2)}\n{key_line(1)}\n"
    done = control.run(ENABLE, "--key", "-", stdin=lines)

    assert done.returncode == 0, done.stderr
    assert control.host.keys() == [key_line(1), key_line(2)]


def test_keys_are_good_for_one_enabling(control: Control) -> None:
    """After disabling and enabling, only the second key is there, beside the owner's own."""
    control.host.admin["user-data"] = _encoded('{"user": "me", "ssh": {"authorized-keys": ["%s"]}}')
    own = control.host.keys()
    control.json(ENABLE, "--key", key_line(1))
    assert control.host.keys() == [*own, key_line(1)]
    assert control.json(DISABLE) == {"enabled": False, "changed": True}
    assert control.host.keys() == own
    control.json(ENABLE, "--key", key_line(2))

    assert control.host.keys() == [*own, key_line(2)]
    assert control.host.user_data()["user"] == "me"


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode((text % key_line(9, "owner")).encode()).decode()


def test_a_second_operator_adds_a_key(control: Control) -> None:
    """Enabling again with another key adds it and leaves the first."""
    control.json(ENABLE, "--key", key_line(1))
    control.json(ENABLE, "--key", key_line(2))

    assert control.host.keys() == [key_line(1), key_line(2)]


def test_enabling_what_is_enabled_writes_nothing(control: Control) -> None:
    """On a stock host every write throws people out: equal ones are not written."""
    control.json(ENABLE, "--key", key_line(1))
    control.host.requests.clear()
    again = control.json(ENABLE, "--key", key_line(1))

    assert again["changed"] is False
    assert not [one for one in control.host.requests if one.startswith(("PATCH", "POST"))]


def test_disabling_what_is_disabled_writes_nothing(control: Control) -> None:
    """Disabling twice is no error and no write."""
    assert control.json(DISABLE) == {"enabled": False, "changed": False}
    assert not [one for one in control.host.requests if one.startswith(("PATCH", "POST"))]


def test_no_wait_returns_at_once(ours: Control) -> None:
    """Without waiting there is nothing to say yet of the SSH server."""
    answer = ours.json(ENABLE, "--no-wait", "--key", key_line(1))

    assert (answer["enabled"], answer["ready"], answer["ssh"]) == (True, False, None)


def test_nobody_can_log_in_without_a_key(control: Control) -> None:
    """Enabling without any key works as upstream's does, and says that nobody can log in."""
    control.host.ready = False
    control.host.problems = ["user-data holds no usable key: nobody can log in"]
    done = control.run(ENABLE)

    assert done.returncode == 0
    assert "problem: nobody can log in yet: hand over a key with --key" in done.stdout


def test_waiting_ends_with_the_reason(ours: Control) -> None:
    """A container that does not come up in time: one line with the host's reason, status 8."""
    ours.host.state, ours.host.reason = "waiting", "exit status 1, started again in 4 s"
    done = ours.run(ENABLE, "--key", key_line(1), "--timeout", "0.3")

    assert done.returncode == 8
    assert "exit status 1, started again in 4 s" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "[ADMIN_NOT_READY]" in done.stderr


def test_a_container_that_cannot_start_is_not_waited_for(ours: Control) -> None:
    """Where only new settings help, the command ends at once with the reason."""
    ours.host.state, ours.host.reason = "failed", "no image at oci:/a"
    done = ours.run(ENABLE, "--key", key_line(1), "--timeout", "30", timeout=10)

    assert done.returncode == 1
    assert "no image at oci:/a" in done.stderr
    assert "[ADMIN_FAILED]" in done.stderr


def test_what_takes_long_is_told(ours: Control) -> None:
    """After two seconds standard error says what is being waited for."""
    ours.host.state, ours.host.reason = "starting", "unpacking the image"
    done = ours.run(ENABLE, "--timeout", "3.5")

    assert "waiting for admin: unpacking the image\n" in done.stderr


def test_ctrl_c_while_waiting_says_how_things_stand(ours: Control) -> None:
    """Interrupted: one line, status 130, and admin stays enabled."""
    ours.host.state, ours.host.reason = "starting", "unpacking"
    argv = ours.argv(ENABLE, "--key", key_line(1))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "unpacking" in process.stderr.readline()  # it waits, so it can be interrupted
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()

    assert process.returncode == 130
    assert "stays enabled" in rest
    assert rest.count("\n") == 1
    assert ours.host.admin["enabled"] is True


def test_a_refusal_is_one_line(ours: Control) -> None:
    """What the callers' table refuses comes through in the host's words."""
    ours.host.refuse["PATCH /settings"] = (403, "container 'control' may not set that")
    done = ours.run(ENABLE, "--key", key_line(1))

    assert done.returncode == 3
    line = "enable-admin-container: container 'control' may not set that [API_REFUSED]\n"
    assert done.stderr == line
    assert ours.host.pending == {}


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("ssh-ed25519 AAAA me", "KEY_UNUSABLE"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nxx", "KEY_UNUSABLE"),
        ("~/.ssh/id_ed25519.pub", "KEY_FILE_MISSING"),
        (f'command="x" {key_line(1)}', "KEY_UNUSABLE"),
        ("", "KEY_FILE_MISSING"),
    ],
)
def test_a_bad_key_changes_nothing(control: Control, key: str, code: str) -> None:
    """Keys are judged before anything is asked of the host."""
    done = control.run(ENABLE, "--key", key)

    assert done.returncode == 2
    assert f"[{code}]\n" in done.stderr
    assert done.stderr.count("\n") == 1
    assert control.host.admin["enabled"] is False
    assert control.host.requests == []


def test_no_host_is_one_line(ours: Control) -> None:
    """Outside a host container there is no socket, and the line says so."""
    done = ours.run(ENABLE, "--socket-path", "/nonexistent/api.sock")

    assert done.returncode == 7
    assert "there is no host API at /nonexistent/api.sock" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_command_line_is_one_line(ours: Control) -> None:
    """Typing errors give status 2 and point to --help."""
    done = ours.run(ENABLE, "--kye", "x")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "enable-admin-container --help" in done.stderr


def test_entering_runs_a_shell_in_admin(control: Control) -> None:
    """Enable, wait, a shell; its exit status comes through, and admin stays enabled."""
    done = control.run(ENTER, stdin="echo in $((1 + 1)); exit 7\n")

    assert done.stdout == "in 2\n", done.stderr
    assert done.returncode == 7
    assert "admin stays enabled" in done.stderr
    assert control.host.admin["enabled"] is True


def test_status_of_a_shut_door(control: Control) -> None:
    """SHUT, and both containers."""
    done = control.run("control", "status")

    assert done.returncode == 0, done.stderr
    assert "door: SHUT\n" in done.stdout
    assert "admin: disabled" in done.stdout
    assert "control: running" in done.stdout


def test_status_of_an_open_door(control: Control) -> None:
    """OPEN, NO LEASE, for whom, and where SSH answers."""
    control.json(ENABLE, "--key", key_line(1, "me@laptop"))
    text = control.run("control", "status").stdout
    answer = control.json("control", "status")

    assert "door: OPEN, NO LEASE" in text
    assert "me@laptop, handed over by control" in text
    assert "ec2-user at 127.0.0.1:2222" in text
    assert "admin: running" in text
    assert answer["door"]["open"] is True
    assert answer["admin"]["ready"] is True
    assert {one["name"]: one["state"] for one in answer["containers"]} == {
        "admin": "running",
        "control": "running",
    }


def test_status_says_why_admin_is_silent(control: Control) -> None:
    """An enabled admin that does not answer: the reason is a problem, not a failure."""
    control.json(ENABLE)
    (control.host.programs / "admin.json").unlink()
    done = control.run("control", "status")

    assert done.returncode == 0
    assert "problem: the admin container does not answer: admin: the keeper does not answer" in (
        done.stdout
    )


def test_output_into_a_closed_pipe_is_silent(ours: Control) -> None:
    """`control status | head -0` shows no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ours.argv("control", "status"), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert done.returncode == 141
    assert done.stderr == b""


def test_a_terminal_gets_colours_unless_it_wants_none(ours: Control) -> None:
    """On a terminal rich colours what matters; NO_COLOR is honoured."""
    plain = _on_terminal(ours, {"NO_COLOR": "1"})
    colourful = _on_terminal(ours, {})

    assert "SHUT" in plain
    assert "\x1b[3" not in plain
    assert "\x1b[" in colourful


def _on_terminal(control: Control, extra: dict[str, str]) -> str:
    import pty

    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **extra}
    with subprocess.Popen(control.argv("control", "status"), stdout=slave, env=environment) as one:
        os.close(slave)
        seen = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            seen += data
    os.close(master)
    assert one.returncode == 0
    return seen.decode()
