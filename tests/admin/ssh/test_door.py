"""The door with the real ssh client: programs, bytes, terminals, keys."""

import asyncio
import os
import signal
from pathlib import Path

import asyncssh
import pytest

from admin.ssh.control import Status
from tests.admin.ssh.door import Door, make_key
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(90)]


async def test_a_command_runs_as_the_login_user(door: Door) -> None:
    """A command's output comes back, and its environment is the login user's."""
    done = await door.ssh("id -un; echo $HOME; echo $SHLVL; pwd")

    assert (done.code, done.err) == (0, b"")
    assert done.out.split()[:2] == [b"root", b"/root"]


@pytest.mark.parametrize("code", [0, 1, 7, 126, 255])
async def test_exit_codes_come_through(door: Door, code: int) -> None:
    """The exit code of the command is the exit code of ssh."""
    assert (await door.ssh(f"exit {code}")).code == code


async def test_death_by_signal_is_an_exit_signal(door: Door) -> None:
    """A command that dies of a signal is reported as such; ssh says 255."""
    done = await door.ssh("kill -TERM $$", options=["-v"])

    assert done.code == 255
    assert b"exit-signal" in done.err


async def test_streams_stay_apart(door: Door) -> None:
    """Standard output and standard error do not mix."""
    done = await door.ssh("echo out; echo err >&2")

    assert (done.out, done.err) == (b"out\n", b"err\n")


async def test_standard_input_and_its_end_come_through(door: Door) -> None:
    """A filter sees its input and the end of it, and may answer after that end."""
    done = await door.ssh("cat; echo after", stdin=b"before\n")

    assert done.out == b"before\nafter\n"


async def test_a_terminal_its_size_and_its_signals(door: Door) -> None:
    """On a terminal: its name, its size, the new size after a change, ^C, the exit code."""

    def talk() -> int:
        with Terminal(door.argv(options=["-tt"]), rows=31, cols=97) as terminal:
            terminal.keys("PS1='re''ady> '\r")
            terminal.expect("ready> ")
            terminal.keys("tty; stty size; echo $TERM\r")
            terminal.expect(r"/dev/pts/\d+\s+31 97\s+xterm\s")
            terminal.keys("sh -c 'echo up-$((1 + 1)); exec sleep 100'\r")
            terminal.expect("up-2")
            terminal.resize(40, 120)
            terminal.keys("\x03")
            terminal.expect("ready> ")
            terminal.keys("stty size\r")
            terminal.expect("40 120")
            terminal.keys("exit 5\r")
            return terminal.wait()

    assert await asyncio.to_thread(talk) == 5


async def test_a_lost_client_ends_its_command(door: Door, tmp_path: Path) -> None:
    """When the client dies, what it ran on a terminal is hung up on."""
    told = tmp_path / "told"
    os.mkfifo(told)
    with Terminal(door.argv(f"echo $$ > {told}; exec sleep 300", options=["-tt"])) as terminal:
        pid = int(await asyncio.to_thread(told.read_text))
        descriptor = os.pidfd_open(pid)
        terminal.process.kill()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        async with asyncio.timeout(20):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def test_a_strange_key_is_refused(door: Door, tmp_path: Path) -> None:
    """A key that was not handed over does not let in, and the operator hears why."""
    stranger, _ = make_key(tmp_path, "stranger")
    done = await door.ssh("true", identity=stranger)

    assert done.code == 255
    assert b"Permission denied" in done.err


async def test_another_user_is_refused(door: Door) -> None:
    """The right key under another name does not let in."""
    done = await door.ssh("true", options=["-l", "operator"])

    assert done.code == 255


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_every_kind_of_key_lets_in(door: Door, tmp_path: Path, kind: str) -> None:
    """Ed25519, ECDSA and RSA (SHA-2) keys let in."""
    identity, key = make_key(tmp_path, kind, kind)
    await door.configure(key)

    assert (await door.ssh("true", identity=identity)).code == 0


async def test_rsa_with_sha1_is_refused(door: Door, tmp_path: Path) -> None:
    """An RSA key whose client signs with SHA-1 only does not let in."""
    identity, key = make_key(tmp_path, "rsa", "rsa")
    await door.configure(key)
    options = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"]

    assert (await door.ssh("true", identity=identity, options=options)).code == 255


async def test_new_keys_drop_nobody(door: Door, tmp_path: Path) -> None:
    """Keys are replaced while a session lives: it stays, the old key is out, the new one in."""
    identity, key = make_key(tmp_path, "next")
    argv = door.argv("echo in; cat")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"in\n"
    await door.configure(key)

    assert (await door.ssh("true")).code == 255
    assert (await door.ssh("true", identity=identity)).code == 0
    process.stdin.write(b"still\n")
    process.stdin.close()
    assert await process.stdout.readline() == b"still\n"
    assert await process.wait() == 0


async def test_a_line_with_an_unknown_option_is_refused(door: Door, tmp_path: Path) -> None:
    """What we do not know we do not let in, and the problem is said."""
    identity, key = make_key(tmp_path, "restricted")
    ready = await door.configure(f"no-such-option {key}")

    assert "no-such-option" in ready.problems[0]
    assert (await door.ssh("true", identity=identity)).code == 255


async def test_the_environment_is_picked_by_an_allow_list(door: Door) -> None:
    """LANG and LC_* come through; LD_PRELOAD, PATH and BASH_ENV do not."""
    sent = ["LC_ALL=C.UTF-8", "LD_PRELOAD=/tmp/evil.so", "BASH_ENV=/tmp/evil", "LC_X=$(id)"]
    options = ["-o", "SetEnv=" + " ".join(sent)]
    done = await door.ssh("env", options=options)
    names = {line.split(b"=")[0] for line in done.out.splitlines()}

    assert b"LC_ALL=C.UTF-8" in done.out.splitlines()
    assert not names & {b"LD_PRELOAD", b"BASH_ENV", b"LC_X"}


@pytest.mark.parametrize("what", ["-W127.0.0.1:1", "-R0:127.0.0.1:1", "-A", "-X"])
async def test_nothing_is_forwarded(door: Door, what: str) -> None:
    """No forwarding of ports, agents or displays."""
    strict = ["-o", "ExitOnForwardFailure=yes"]
    command = [] if what.startswith("-W") else ["env"]
    done = await door.ssh(*command, options=[what, *strict])

    assert b"SSH_AUTH_SOCK" not in done.out
    assert b"DISPLAY" not in done.out
    assert done.code == (255 if what.startswith(("-R", "-W")) else 0)


async def test_the_end_of_the_monitor_is_the_end_of_everything(door: Door) -> None:
    """When the keeper's channel closes, listeners and sessions are gone."""
    argv = door.argv("echo $$; exec sleep 300")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await door.link.close()
    async with asyncio.timeout(20):
        await ended.wait()
        await process.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def test_status_shows_who_is_in(door: Door) -> None:
    """While somebody is in, the monitor's status names the session and its key."""
    argv = door.argv("echo in; cat")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    (session,) = (await door.link.status()).sessions
    process.stdin.close()
    await process.wait()
    await door.wait_for("session-end")

    assert session.user == "root"
    assert session.key.startswith("SHA256:")
    assert (await door.link.status()).sessions == []


async def test_status_tells_a_terminal_from_a_command(door: Door) -> None:
    """The session says which it is, and the next login on a terminal is told of this one."""

    def talk() -> None:
        with Terminal(door.argv(options=["-tt"])) as terminal:
            terminal.keys("PS1='re''ady> '\r")
            terminal.expect("ready> ")
            shown.append(asyncio.run_coroutine_threadsafe(door.link.status(), loop).result(20))
            terminal.keys("exit\r")
            terminal.wait()

    shown: list[Status] = []
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(talk)
    argv = door.argv("echo in; cat")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    shown.append(await door.link.status())
    process.stdin.close()
    await process.wait()

    def again() -> None:
        with Terminal(door.argv(options=["-tt"])) as terminal:
            terminal.expect(r"Last login: \w{3} \w{3} \d\d [\d:]{8} \d{4} UTC from 127\.0\.0\.1")
            terminal.keys("exit\r")
            terminal.wait()

    await asyncio.to_thread(again)

    assert [one.sessions[-1].tty for one in shown] == [True, False]


async def test_a_break_is_an_interrupt_on_a_terminal_only(door: Door) -> None:
    """A break (RFC 4335) interrupts what is in the terminal's foreground; a pipe has no line."""
    async with asyncssh.connect(
        door.host,
        door.port,
        username="root",
        client_keys=[str(door.identity)],
        known_hosts=str(door.directory / "known_hosts"),
        config=None,
    ) as connection:
        command = "trap 'echo got' INT; echo up; read -r; echo end"
        for term, words in (("xterm", ["got"]), (None, [])):
            process = await connection.create_process(command, term_type=term)
            assert (await process.stdout.readline()).strip() == "up"
            process.channel.send_break(500)
            if words:
                assert "got" in await process.stdout.readline()
            process.stdin.write("\n")
            rest = (await process.wait()).stdout
            assert isinstance(rest, str)

            assert ("got" in rest) is False
            assert "end" in rest


async def test_a_taken_port_is_named(door: Door, tmp_path: Path) -> None:
    """A second monitor on the same port says which address it could not have."""
    from admin.ssh.client import MonitorLink
    from admin.ssh.control import Configure
    from contract.errors import SheltieError

    link = MonitorLink(lambda _event: None)
    with pytest.raises(SheltieError, match=f"127.0.0.1:{door.port}"):
        await link.configure(
            Configure("root", [], [("127.0.0.1", door.port)], str(tmp_path / "other"))
        )
    await link.close()


async def test_the_host_key_is_kept_and_private(door: Door) -> None:
    """The host key lies where upstream keeps it, readable by root only."""
    path = door.directory / "etc/ssh/ssh_host_ed25519_key"

    assert path.stat().st_mode & 0o777 == 0o600
    assert door.ready.host_keys[0] in path.with_suffix(".pub").read_text()


async def test_sftp_runs_as_the_user(door: Door, tmp_path: Path) -> None:
    """Scp copies a file there and back."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(200_000))
    argv = door.argv()[1:]
    where, options = argv[-1], ["-P" if part == "-p" else part for part in argv[:-1]]
    command = ["scp", *options, str(source), f"{where}:{target}"]
    process = await asyncio.create_subprocess_exec(*command)

    assert await process.wait() == 0
    assert source.read_bytes() == target.read_bytes()


async def test_signals_reach_the_command(door: Door) -> None:
    """A signal request of the client reaches the command (RFC 4254 section 6.9)."""
    async with asyncssh.connect(
        door.host,
        door.port,
        username="root",
        client_keys=[str(door.identity)],
        known_hosts=str(door.directory / "known_hosts"),
        config=None,
    ) as connection:
        process = await connection.create_process(
            "trap 'echo got; exit 9' USR1; echo up; sleep 99 & wait"
        )
        assert await process.stdout.readline() == "up\n"
        process.send_signal("USR1")
        assert await process.stdout.readline() == "got\n"
        done = await process.wait()

    assert done.exit_status == 9
    assert signal.SIGUSR1
