"""The keeper's door with the real monitor and the real ssh client. The account is root's own."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from admin.boot.machine import Booted
from admin.keeper.door import Door, Wishes, addresses
from contract.durable import write_file
from contract.userdata import UserData
from tests.admin.keeper.keys import user_data
from tests.admin.ssh.door import make_key

pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(90),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to log in as root"),
]
LOOPBACK = ("127.0.0.1", 0)


@dataclass
class Played:
    """The account, played: this machine's own accounts are left alone."""

    usable: bool = True
    users: tuple[str, ...] = ()

    def __call__(self, wanted: UserData, environment: object) -> Booted:
        """Boot nothing, and say that root may log in."""
        self.users = (*self.users, wanted.user)
        return Booted("root", self.usable, ("played",))


@dataclass
class Site:
    """A door that runs, its user-data, and a key."""

    directory: Path
    door: Door
    identity: Path
    key: str

    @property
    def user_data(self) -> Path:
        """Where user-data lies."""
        return self.directory / "user-data"

    def write(self, data: bytes | None) -> None:
        """Replace or remove user-data, and tell the door as its watch does."""
        if data is None:
            self.user_data.unlink()
        else:
            write_file(self.user_data, data)
        self.door.changed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the report to be so."""
        try:
            async with asyncio.timeout(30):
                while not condition():  # noqa: ASYNC110  a report is replaced, it calls nobody
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"still {self.door.report}")

    async def ready(self) -> None:
        """Wait until somebody may log in."""
        await self.until(lambda: self.door.report.status().ready)

    async def shut(self, problem: str) -> None:
        """Wait until nobody may log in because of a problem, while the server answers."""
        await self.until(
            lambda: not self.door.report.trouble and problem in self.door.report.problems
        )
        assert not self.door.report.status().ready

    def has_problem(self, words: str) -> bool:
        """Whether a problem with these words is told."""
        return any(words in problem for problem in self.door.report.problems)

    def has_keys(self, count: int) -> bool:
        """Whether so many keys may log in."""
        return len(self.door.report.keys) == count

    def argv(self, *command: str) -> list[str]:
        """Return the argv of an ssh client that trusts exactly this door."""
        host, port = self.door.report.listen[0]
        known = self.directory / "known_hosts"
        known.write_text(f"[{host}]:{port} {self.door.report.host_keys[0]}\n")
        options = ("BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR",
                   "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}")  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        where = ["-p", str(port), f"root@{host}"]
        return ["ssh", "-F", "none", "-i", str(self.identity), *words, *where, *command]

    async def ssh(self, *command: str) -> tuple[int, bytes]:
        """Run a command through the door; return its status and output."""
        process = await self.start(*command)
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        """Start a command through the door."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self.argv(*command), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )

    def monitor(self) -> int:
        """Return the monitor's pid."""
        assert self.door._link is not None
        return self.door._link._process.pid


@asynccontextmanager
async def running(
    directory: Path,
    data: bytes | None,
    listen: tuple[str, int] | None = LOOPBACK,
    played: Played | None = None,
) -> AsyncIterator[Site]:
    """Run a door meanwhile."""
    wishes = Wishes(directory / "user-data", directory / "etc/ssh", listen)
    site = Site(directory, Door(wishes, played or Played()), *make_key(directory, "operator"))
    if data is not None:
        write_file(site.user_data, data)
    task = asyncio.create_task(site.door.run())
    yield site
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_user_data_comes_goes_and_nobody_is_thrown_out(tmp_path: Path) -> None:
    """Missing, good, broken, empty, gone, good: ready follows, and a session lives through all."""
    async with running(tmp_path, None) as site:
        good = user_data(site.key)
        await site.shut("there is no user-data: nobody can log in")
        assert (await site.ssh("true"))[0] == 255
        site.write(good)
        await site.ready()
        assert await site.ssh("echo in") == (0, b"in\n")
        session = await site.start("echo up; cat")
        assert session.stdin is not None
        assert session.stdout is not None
        assert await session.stdout.readline() == b"up\n"
        (shown,) = await site.door.sessions()
        assert shown.user == "root"
        since, listen = site.door.report.since, site.door.report.listen
        for data, problem in (
            (b"{", "user-data is not a JSON object: nobody can log in"),
            (b"", "user-data is empty: nobody can log in"),
            (None, "there is no user-data: nobody can log in"),
        ):
            site.write(data)
            await site.shut(problem)
            assert (await site.ssh("true"))[0] == 255
            site.write(good)
            await site.ready()
            assert (await site.ssh("true"))[0] == 0
        session.stdin.write(b"still\n")
        assert await session.stdout.readline() == b"still\n"
        assert (site.door.report.since, site.door.report.listen) == (since, listen)
        session.stdin.close()
        assert await session.wait() == 0


async def test_another_operators_key(tmp_path: Path) -> None:
    """A key that is added lets in; taken out it does not, and what is not new boots nothing."""
    played = Played()
    async with running(tmp_path, b"", played=played) as site:
        _, other = make_key(tmp_path, "other")
        await site.shut("user-data is empty: nobody can log in")
        for lines in ((other, site.key), (other,)):
            site.write(user_data(*lines))
            await site.until(partial(site.has_keys, len(lines)))
            assert (await site.ssh("true"))[0] == (0 if site.key in lines else 255)
        boots = len(played.users)
        site.write(user_data(other))
        site.write(json.dumps({"user": "next", **json.loads(user_data(other))}).encode())
        await site.until(lambda: len(played.users) > boots)

    assert played.users == ("ec2-user",) * boots + ("next",)


async def test_an_unusable_account_shuts_the_door(tmp_path: Path) -> None:
    """Without an account no key is handed to the monitor, whatever user-data holds."""
    async with running(tmp_path, None, played=Played(usable=False)) as site:
        await site.shut("there is no user-data: nobody can log in")
        site.write(user_data(site.key))
        await site.until(lambda: len(site.door.report.keys) == 1)

        assert not site.door.report.status().ready
        assert (await site.ssh("true"))[0] == 255


async def test_what_cannot_be_read_is_told_apart(tmp_path: Path) -> None:
    """Empty, a link, a directory, a pipe without a writer, too large: each has its sentence."""
    path = tmp_path / "user-data"
    async with running(tmp_path, b"") as site:
        await site.shut("user-data is empty: nobody can log in")
        for make, word in (
            (lambda: path.symlink_to(tmp_path / "operator.pub"), "symbolic link"),
            (path.mkdir, "Is a directory"),
            (lambda: os.mkfifo(path), "not a regular file"),
            (lambda: path.write_bytes(b" " * (1 << 20) + b"x"), "is larger than"),
        ):
            _clear(path)
            make()
            site.door.changed()
            await site.until(partial(site.has_problem, word))
            assert not site.door.report.status().ready
        path.unlink()
        site.write(user_data(site.key))
        await site.ready()


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


async def test_a_taken_port_is_named_and_tried_again(tmp_path: Path) -> None:
    """While the port is taken the reason and the next attempt are told; then the door opens."""
    taken = socket.create_server(("127.0.0.1", 0))
    address = taken.getsockname()
    async with running(tmp_path, None, address) as site:
        site.write(user_data(site.key))
        await site.until(lambda: bool(site.door.report.since))
        report = site.door.report
        assert f"127.0.0.1:{address[1]}: Address already in use" in report.trouble
        assert "the next attempt is in" in report.trouble
        assert not report.status().ready
        assert await site.door.sessions() == []
        await site.until(lambda: "in 2 s" in site.door.report.trouble)
        assert site.door.report.since == report.since
        taken.close()
        await site.ready()
        assert site.door.report.listen == (address,)
        assert (await site.ssh("true"))[0] == 0


async def test_new_user_data_may_name_a_free_port(tmp_path: Path) -> None:
    """A door that waits for its next attempt tries at once when user-data changes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = {"sheltie": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}}
        async with running(tmp_path, json.dumps(listen).encode(), None) as site:
            # Late enough that a slow start on a crowded machine is still before it.
            await site.until(lambda: "in 8 s" in site.door.report.trouble)
            keys = json.loads(user_data(site.key))
            begun = asyncio.get_running_loop().time()
            site.write(json.dumps({**keys, "sheltie": {"listen": "127.0.0.1:0"}}).encode())
            await site.ready()

            assert asyncio.get_running_loop().time() - begun < 8
            assert (await site.ssh("true"))[0] == 0


async def test_a_failing_keys_command_stands_in_the_status(tmp_path: Path) -> None:
    """Until user-data is written anew; whoever has a key gets in meanwhile."""
    async with running(tmp_path, None) as site:
        keys = json.loads(user_data(site.key))["ssh"]
        command = {
            "authorized-keys-command": "/bin/false",
            "authorized-keys-command-user": "nobody",
        }
        site.write(json.dumps({"ssh": {**keys, **command}}).encode())
        await site.ready()
        assert await site.ssh("echo in") == (0, b"in\n")
        await site.until(lambda: bool(site.door.report.happened))
        (said,) = [one for one in site.door.report.status().problems if "(last at 2" in one]
        assert "authorized-keys-command ended with status 1" in said
        site.write(user_data(site.key))
        await site.until(lambda: not site.door.report.happened)


async def test_consoles_are_attended_while_a_password_lets_in(tmp_path: Path) -> None:
    """Not without one, and not where every login only looks: a password is no key of a list."""
    async with running(tmp_path, None) as site:
        keys = json.loads(user_data(site.key))
        for more, user in (
            ({}, ""),
            ({"password-hash": "$6$x$y"}, "root"),
            ({"password-hash": "$6$x$y", "sheltie": {"access": "look"}}, ""),
            ({"password-hash": "$6$x$y", "sheltie": {"access": "root"}}, "root"),
        ):
            site.write(json.dumps({**keys, **more}).encode())
            await site.until(lambda user=user: site.door.consoles.user == user)  # type: ignore[misc]


async def test_another_address_counts_later(tmp_path: Path) -> None:
    """A changed address is no reason to drop people: it is said, and the door stays where it is."""
    async with running(tmp_path, b'{"sheltie": {"listen": "127.0.0.1:0"}}', None) as site:
        keys = json.loads(user_data(site.key))
        site.write(json.dumps({**keys, "sheltie": {"listen": "127.0.0.1:0"}}).encode())
        await site.ready()
        listen = site.door.report.listen
        site.write(json.dumps({**keys, "sheltie": {"listen": "127.0.0.1:1"}}).encode())
        await site.until(lambda: bool(site.door.report.problems))

        assert site.door.report.problems == (
            "sheltie.listen changed: it counts from the next start of admin",
        )
        assert (site.door.report.listen, site.door.report.status().ready) == (listen, True)


async def test_a_killed_monitor_comes_back(tmp_path: Path) -> None:
    """Its sessions end, the reason is told, and the next monitor has the same host key."""
    async with running(tmp_path, None) as site:
        site.write(user_data(site.key))
        await site.ready()
        first, keys = site.monitor(), site.door.report.host_keys
        session = await site.start("echo up; exec sleep 300")
        assert session.stdout is not None
        assert await session.stdout.readline() == b"up\n"
        os.kill(first, signal.SIGKILL)
        await site.until(lambda: bool(site.door.report.trouble))
        assert "the SSH server ended" in site.door.report.trouble
        assert site.door.report.listen == ()
        async with asyncio.timeout(20):
            assert await session.wait() == 255
        await site.ready()

        assert site.monitor() != first
        assert site.door.report.host_keys[: len(keys)] == keys  # RSA's comes a moment later
        assert await site.ssh("echo in") == (0, b"in\n")


async def test_the_end_leaves_no_process(tmp_path: Path) -> None:
    """A cancelled door ends its monitor before it is gone itself."""
    async with running(tmp_path, None) as site:
        await site.until(lambda: bool(site.door.report.since))
        descriptor = os.pidfd_open(site.monitor())
    try:
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, 0)
    finally:
        os.close(descriptor)


async def test_a_monitor_that_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be had the door waits between attempts, and then opens."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    async with running(tmp_path, b"") as site:
        for _ in range(3):
            site.door.changed()
        await site.until(lambda: "in 1 s" in site.door.report.trouble)
        assert "cannot be started" in site.door.report.trouble
        monkeypatch.undo()
        site.write(user_data(site.key))
        await site.ready()


def test_every_address_by_itself() -> None:
    """Without an address both families are listened on; with one, that one."""
    assert addresses(("127.0.0.1", 5)) == [("127.0.0.1", 5)]
    assert addresses(None)[0] == ("0.0.0.0", 22)  # noqa: S104  nothing is bound
    assert {port for _, port in addresses(("", 7))} == {7}


async def test_the_check_and_its_last_result(tmp_path: Path) -> None:
    """The keeper knocks at its own door; status shows what it saw, until the next time."""
    async with running(tmp_path, None) as site:
        site.write(user_data(site.key))
        await site.ready()
        assert site.door.report.status().check is None
        shown = await site.door.check()
        assert shown.ok, shown
        assert site.door.report.status().check == shown
        (tmp_path / "etc/ssh/ssh_host_ed25519_key.pub").unlink()
        (tmp_path / "etc/ssh/ssh_host_ecdsa_key.pub").unlink()
        (tmp_path / "etc/ssh/ssh_host_rsa_key.pub").unlink(missing_ok=True)
        assert not (await site.door.check()).ok
        assert site.door.report.check is not None
        assert not site.door.report.check.ok


async def test_a_refusal_is_explained_in_the_status(tmp_path: Path) -> None:
    """Who, from where, by which key, why: for the operator only."""
    async with running(tmp_path, None) as site:
        site.write(user_data(f'from="192.0.2.1" {site.key}'))
        await site.ready()
        assert (await site.ssh("true"))[0] == 255
        await site.until(lambda: bool(site.door.report.refusals))
        (refusal,) = site.door.report.status().refusals

        assert (refusal.user, refusal.key) == ("root", site.door.report.keys[0].fingerprint)
        assert "may not be used from 127.0.0.1" in refusal.why


async def test_a_ca_alone_is_a_way_in(tmp_path: Path) -> None:
    """Without any key line: ready, and it says so."""
    async with running(tmp_path, None) as site:
        document = {"ssh": {"trusted-user-ca-keys": [site.key]}}
        site.write(json.dumps(document).encode())
        await site.ready()

        assert site.door.report.others == 1
        assert not site.has_problem("nobody can log in")
