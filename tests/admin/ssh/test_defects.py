"""The defects of other SSH servers, each looked for in this one.

Those of one part alone are held where that part is tested: principals in test_certificates, limits
and time-out races in test_strangers, host keys' files in test_hostkeys, what a taken-over listener
may ask in test_subverted, whom our own client trusts in test_check.
"""

import asyncio
import os
import socket
import statistics
import time
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from admin.ssh.blobs import Reader, string
from admin.ssh.hostkeys import ED25519, make
from admin.ssh.judge import Judge
from admin.ssh.policy import Entry, Policy
from tests.admin.ssh.ca import Authority, blob
from tests.admin.ssh.door import Door, make_key
from tests.admin.ssh.raw import Raw, public_blob
from tests.admin.ssh.test_judge import NOW, User, exchange

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SOAK = bool(os.environ.get("SHELTIE_SOAK"))
SAMPLES = 4000 if SOAK else 300

CHANNEL_OPEN, GLOBAL_REQUEST, USERAUTH_SUCCESS = b"\x5a", b"\x50", b"\x34"
WINDOW = (0).to_bytes(4, "big") + (1 << 20).to_bytes(4, "big") + (1 << 15).to_bytes(4, "big")
SESSION = CHANNEL_OPEN + string(b"session") + WINDOW


def operator(door: Door) -> ed25519.Ed25519PrivateKey:
    """Return the private key that is let in."""
    private = serialization.load_ssh_private_key(door.identity.read_bytes(), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    return private


def stranger() -> ed25519.Ed25519PrivateKey:
    """Return a key that nobody knows."""
    return ed25519.Ed25519PrivateKey.generate()


async def alive(door: Door) -> bool:
    """Whether the door still lets in."""
    return (await door.ssh("echo in")).out == b"in\n"


class TestPrefixTruncation:
    """CVE-2023-48795, Terrapin."""

    async def test_strict_key_exchange_is_announced(self, door: Door) -> None:
        """In the server's first KEXINIT."""
        with Raw(door.host, door.port) as raw:
            raw.propose()

        assert b"kex-strict-s-v00@openssh.com" in raw.server_init

    @pytest.mark.parametrize(
        "packet", [b"\x02" + string(b"x"), b"\x04\0" + string(b"x") * 2, b"\x03" + bytes(4)]
    )
    async def test_nothing_else_before_the_keys(self, door: Door, packet: bytes) -> None:
        """IGNORE, DEBUG, UNIMPLEMENTED between KEXINIT and NEWKEYS end it."""
        with Raw(door.host, door.port) as raw:
            raw.propose()
            raw.send(packet)

            assert raw.ended()


class TestBeforeAuthentication:
    """CVE-2018-7749, -7750, -1000805, -10933; CVE-2023-46445, -46446."""

    @pytest.mark.parametrize(
        "packet",
        [
            SESSION,
            USERAUTH_SUCCESS,
            GLOBAL_REQUEST + string(b"tcpip-forward") + b"\1" + string(b"") + bytes(4),
            b"\x62" + bytes(4) + string(b"shell") + b"\1",
            b"\x5b" + bytes(16),
            b"\x33" + string(b"publickey") + b"\0",
            b"\x3c" + string(b"x"),
        ],
    )
    async def test_nothing_but_authentication(self, door: Door, packet: bytes) -> None:
        """Channels, global requests, and a success of the client's own are the end."""
        with Raw(door.host, door.port) as raw:
            raw.begin().send(packet)
            raw.send(SESSION)

            assert raw.ended()
            assert not [one for one in raw.seen if one[0] in {52, 81, 91}]
        assert not [event for event in door.events if event.what in {"login", "session"}]

    @pytest.mark.parametrize(
        "packet",
        [
            b"\x32" + string(b"root") + string(b"ssh-connection") + string(b"none"),
            b"\x05" + string(b"ssh-userauth"),
            SESSION,
        ],
    )
    async def test_nothing_before_the_key_exchange(self, door: Door, packet: bytes) -> None:
        """Neither authentication nor channels in the clear."""
        with Raw(door.host, door.port) as raw:
            raw.send(packet)

            assert raw.ended()

    async def test_none_and_passwords_are_refused(self, door: Door) -> None:
        """Whoever asks for them hears that keys are the way."""
        with Raw(door.host, door.port).begin() as raw:
            for method in (b"none", b"password", b"keyboard-interactive", b"hostbased"):
                raw.send(b"\x32" + string(b"root") + string(b"ssh-connection") + string(method))
                answer = raw.receive(51, 52)
                assert answer == b"\x33" + string(b"publickey") + b"\0", method

    async def test_a_second_login_after_success_changes_nothing(self, door: Door) -> None:
        """It is passed over in silence (RFC 4252 section 5.1)."""
        with Raw(door.host, door.port).begin() as raw:
            assert raw.login(b"root", operator(door)) == USERAUTH_SUCCESS
            raw.send(raw.request(b"operator", public_blob(stranger()), signed=False))
            raw.send(SESSION)

            assert raw.receive(91, 92, 51, 52)[:1] == b"\x5b"  # type: ignore[index]
        await door.wait_for("closed")
        logins = [event for event in door.events if event.what == "login"]
        assert [event.user for event in logins] == ["root"]


class TestIdentity:
    """CVE-2024-45337, CVE-2026-46705, the stale options of asyncssh 2.24.0."""

    async def test_the_key_that_signs_is_who_it_is(self, door: Door) -> None:
        """Probe the operator's key, sign with another one, under either name."""
        with Raw(door.host, door.port).begin() as raw:
            known, other = public_blob(operator(door)), stranger()
            raw.send(raw.request(b"root", known, signed=False))
            assert raw.receive(60, 51)[:1] == b"\x3c"  # type: ignore[index]
            for claimed in (b"", known):
                answer = raw.login(b"root", other, claimed)
                assert answer is not None
                assert answer[0] == 51

    async def test_a_probe_for_one_login_for_the_other(self, door: Door, tmp_path: Path) -> None:
        """Two keys, each with its own command: what runs is the signing key's."""
        identity, line = make_key(tmp_path, "second")
        await door.configure(f'command="echo first" {door.key}', f'command="echo second" {line}')
        second = serialization.load_ssh_private_key(identity.read_bytes(), None)
        assert isinstance(second, ed25519.Ed25519PrivateKey)
        with Raw(door.host, door.port).begin() as raw:
            raw.send(raw.request(b"root", public_blob(operator(door)), signed=False))
            raw.receive(60)
            assert raw.login(b"root", second) == USERAUTH_SUCCESS

            assert run(raw) == b"second\n"

    async def test_a_foreign_certificate_leaves_no_options(
        self, door: Door, tmp_path: Path
    ) -> None:
        """Its forced command, probed, does not stick to the own restricted key."""
        authority = Authority(tmp_path)
        identity, _ = make_key(tmp_path, "other")
        certificate = blob(authority.certify(identity, "-O", "force-command=echo theirs"))
        await door.configure(f'command="echo mine",no-pty {door.key}', authorities=[authority.key])
        with Raw(door.host, door.port).begin() as raw:
            raw.send(raw.request(b"root", certificate, signed=False))
            assert raw.receive(60, 51)[:1] == b"\x3c"  # type: ignore[index]
            assert raw.login(b"root", operator(door)) == USERAUTH_SUCCESS

            assert run(raw) == b"mine\n"

    async def test_nothing_is_kept_across_a_change_of_user(self, door: Door) -> None:
        """Alice fails, then root logs in as root; the tries of both are counted together."""
        with Raw(door.host, door.port).begin() as raw:
            for _ in range(3):
                assert raw.login(b"alice", operator(door))[:1] == b"\x33"  # type: ignore[index]
            assert raw.login(b"root", operator(door)) == USERAUTH_SUCCESS
        with Raw(door.host, door.port).begin() as raw:
            answers = [raw.login(b"u%d" % number, stranger()) for number in range(7)]

            assert answers[6] is None

    async def test_a_signature_for_another_session_is_refused(self, door: Door) -> None:
        """Replayed from one connection to the next."""
        with Raw(door.host, door.port).begin() as one, Raw(door.host, door.port).begin() as two:
            assert one.session != two.session
            two.session = one.session
            assert two.login(b"root", operator(door))[:1] == b"\x33"  # type: ignore[index]


def run(raw: Raw) -> bytes:
    """Ask for a command in a new session; return what it prints."""
    raw.send(SESSION)
    opened = raw.receive(91)
    assert opened is not None
    channel = opened[5:9]
    raw.send(b"\x62" + channel + string(b"exec") + b"\0" + string(b"echo asked"))
    data = raw.receive(94)
    assert data is not None
    return Reader(data[5:]).string()


class TestEnumeration:
    """CVE-2018-15473, CVE-2016-6210."""

    async def test_the_same_bytes_for_everybody(self, door: Door) -> None:
        """Known and unknown users, probes and proofs: one answer."""
        answers = set()
        for user in (b"root", b"nobody", b"no-such-user", b"r" * 200, "ö".encode()):
            with Raw(door.host, door.port).begin() as raw:
                raw.send(raw.request(user, public_blob(stranger()), signed=False))
                answers.add(raw.receive(51, 52, 60))
                answers.add(raw.login(user, stranger()))
                if user != b"root":
                    answers.add(raw.login(user, operator(door)))

        assert answers == {b"\x33" + string(b"publickey") + b"\0"}

    @pytest.mark.counted
    def test_the_same_time_for_everybody(self, tmp_path: Path) -> None:
        """Medians of what the judge takes, taken in turn, differ by less than a quarter."""
        host_key = make(tmp_path, ED25519, [])
        user = User()
        policy = Policy("op", [Entry(user.line)])
        ways: dict[str, list[float]] = {"known": [], "unknown": [], "other key": []}
        for _ in range(SAMPLES):
            for name, taken in ways.items():
                judge = Judge([host_key], lambda: policy, lambda: NOW)
                session = judge.exchange(exchange(host_key.blob)).hash
                who = "op" if name != "unknown" else "someone"
                by = user if name != "other key" else User()
                proof = by.proof(session + b"!", who)
                begun = time.perf_counter()
                assert not judge.prove(proof).accepted
                taken.append(time.perf_counter() - begun)
        medians = [statistics.median(taken) for taken in ways.values()]

        assert max(medians) < 1.25 * min(medians)


class TestExhaustion:
    """CVE-2025-26466, CVE-2002-20001: before authentication nobody takes much."""

    @pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 24, 300_000])
    async def test_a_huge_length_is_the_end(self, door: Door, length: int) -> None:
        """Nothing is allocated for it."""
        with Raw(door.host, door.port) as raw:
            raw.socket.sendall(length.to_bytes(4, "big") + bytes(12))

            assert raw.ended()

    async def test_a_long_version_line_is_the_end(self, door: Door) -> None:
        """No line of megabytes is collected."""
        with socket.create_connection((door.host, door.port), 10) as one:
            one.sendall(b"SSH-2.0-" + b"x" * 100_000)
            with pytest.raises((ConnectionError, EOFError)):  # noqa: PT012  whichever call sees it
                while one.recv(65536):
                    pass
                raise EOFError

    async def test_byte_by_byte_is_slow_and_works(self, door: Door) -> None:
        """A peer that writes single bytes is served, and disturbs nobody."""
        with Raw(door.host, door.port) as raw:
            packet = b"\x14" + bytes(16) + b"".join(map(string, (b"x",) * 10)) + bytes(5)
            size = (1 + len(packet) + 6).to_bytes(4, "big")
            for byte in size + b"\6" + packet + bytes(6):
                raw.socket.send(bytes([byte]))

            assert raw.ended()  # no algorithm in common
        assert await alive(door)

    async def test_pings_and_probes_without_end(self, door: Door) -> None:
        """Ignored packets and requests in a row grow nothing and end at the limit of tries."""
        with Raw(door.host, door.port).begin() as raw:
            for _ in range(2000):
                raw.send(b"\x02" + string(bytes(1000)))
            for _ in range(50):
                try:
                    raw.send(raw.request(b"root", public_blob(stranger()), signed=False))
                except ConnectionError:
                    break

            assert raw.ended()
        assert await alive(door)


class TestNames:
    """sshpiper#819: a user name is a name, and no path."""

    @pytest.mark.parametrize(
        "user",
        [
            b"../../etc/passwd", b"/", b"root\0x", b"root\n", b"-oProxyCommand=x", b"%n%s",
            b"r" * 255, b"r" * 5000, "\uff52\uff4f\uff4f\uff54".encode(), b"\xff\xfe", b"",
            b"root ", b"ROOT", b"$(reboot)", "r\u043e\u043et".encode(),
        ],
    )  # fmt: skip
    async def test_odd_users_are_nobody(self, door: Door, user: bytes) -> None:
        """Refused like any other; the log holds it as one plain line."""
        with Raw(door.host, door.port).begin() as raw:
            answer = raw.login(user, operator(door))

            assert answer is None or answer[0] == 51
        assert await alive(door)
        assert all(event.user.isprintable() for event in door.events)
        assert {event.user for event in door.events if event.what == "login"} == {"root"}


class TestChannels:
    """warpgate#950, tailscale#8174: every kind of channel is served or refused by a table."""

    @pytest.mark.parametrize(
        ("kind", "more"),
        [
            (b"direct-tcpip", string(b"127.0.0.1") + bytes(4) + string(b"127.0.0.1") + bytes(4)),
            (b"direct-streamlocal@openssh.com", string(b"/run/x") + string(b"") + bytes(4)),
            (b"forwarded-tcpip", string(b"h") + bytes(4) + string(b"h") + bytes(4)),
            (b"forwarded-streamlocal@openssh.com", string(b"/run/x") + string(b"")),
            (b"tun@openssh.com", b"\0\0\0\1\x7f\xff\xff\xff"),
            (b"tun@openssh.com", b"\0\0\0\2\x7f\xff\xff\xff"),
            (b"x11", string(b"h") + bytes(4)),
            (b"auth-agent@openssh.com", b""),
            (b"auth-agent", b""),
            (b"no-such-channel", b""),
        ],
    )
    async def test_no_channel_but_a_session(self, door: Door, kind: bytes, more: bytes) -> None:
        """After login too."""
        with Raw(door.host, door.port).begin() as raw:
            raw.login(b"root", operator(door))
            raw.send(CHANNEL_OPEN + string(kind) + WINDOW + more)
            answer = raw.receive(91, 92)

            assert answer is None or answer[0] == 92

    @pytest.mark.parametrize(
        ("kind", "more"),
        [
            (b"tcpip-forward", string(b"127.0.0.1") + bytes(4)),
            (b"streamlocal-forward@openssh.com", string(b"/run/sheltie-test")),
            (b"no-such-request", b""),
        ],
    )
    async def test_no_forward_is_listened_for(self, door: Door, kind: bytes, more: bytes) -> None:
        """Neither ports nor Unix sockets."""
        with Raw(door.host, door.port).begin() as raw:
            raw.login(b"root", operator(door))
            raw.send(GLOBAL_REQUEST + string(kind) + b"\1" + more)

            assert raw.receive(81, 82) == b"\x52"
        assert not await asyncio.to_thread(Path("/run/sheltie-test").exists)

    async def test_unix_sockets_by_a_library(self, door: Door) -> None:
        """What a client's own API makes of them: refused, both ways."""
        async with asyncssh.connect(
            door.host,
            door.port,
            username="root",
            client_keys=[str(door.identity)],
            known_hosts=str(door.directory / "known_hosts"),
            config=None,
        ) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_unix_connection("/run/x")
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.start_unix_server(lambda: None, "/run/x")

    @pytest.mark.parametrize("request_", [b"x11-req", b"auth-agent-req@openssh.com", b"nonsense"])
    async def test_no_request_opens_a_side_door(self, door: Door, request_: bytes) -> None:
        """X11, agents and what nobody knows are refused in a session."""
        with Raw(door.host, door.port).begin() as raw:
            raw.login(b"root", operator(door))
            raw.send(SESSION)
            opened = raw.receive(91)
            assert opened is not None
            more = b"\0" + string(b"MIT-MAGIC-COOKIE-1") + string(b"00") + bytes(4)
            more = more if request_ == b"x11-req" else b""
            raw.send(b"\x62" + opened[5:9] + string(request_) + b"\1" + more)

            assert raw.receive(99, 100)[:1] == b"\x64"  # type: ignore[index]


class TestEnvironment:
    """LD_PRELOAD, BASH_ENV, PATH, a format string, megabytes."""

    async def test_only_what_is_on_the_list_arrives(self, door: Door) -> None:
        """Whatever a client sends, and however much of it."""
        names = [b"LD_PRELOAD", b"BASH_ENV", b"PATH", b"ENV", b"IFS", b"SSH_ORIGINAL_COMMAND"]
        with Raw(door.host, door.port).begin() as raw:
            raw.login(b"root", operator(door))
            raw.send(SESSION)
            opened = raw.receive(91)
            assert opened is not None
            sent = [(name, b"/tmp/evil") for name in names]
            sent += [(b"LC_ALL", b"%n%n"), (b"LANG", b"C.UTF-8"), (b"LC_A-B", b"x")]
            sent += [(b"LC_%d" % number, bytes([97]) * 10_000) for number in range(200)]
            for name, value in sent:
                raw.send(
                    b"\x62" + opened[5:9] + string(b"env") + b"\0" + string(name) + string(value)
                )
            raw.send(b"\x62" + opened[5:9] + string(b"exec") + b"\0" + string(b"env"))
            data = raw.receive(94)
            assert data is not None
            printed = Reader(data[5:]).string().decode()

        variables = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
        assert variables["LANG"] == "C.UTF-8"
        assert "/tmp/evil" not in printed
        assert not [name for name in variables if name.startswith("LC_")]
