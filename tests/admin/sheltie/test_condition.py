"""What is known about the host, told in a line, and what an owner may make of it."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.sheltie import condition
from contract import places
from contract.status import ContainerState, ContainerStatus
from contract.userdata import decode
from tests.admin.sheltie.conftest import Box
from tests.e2e.terminal import Terminal

HASH = "4a" * 32
DM_MOD = (
    'BOOT_IMAGE=(hd0,gpt3)/vmlinuz dm-mod.create="root,,,ro,0 1884160 verity 1 '
    f"PARTUUID=a/PARTNROFF=1 PARTUUID=b/PARTNROFF=2 4096 4096 235520 1 sha256 {HASH} {'00' * 32} "
    '2 restart_on_corruption ignore_zero_blocks" -- systemd.log_target=journal'
)
MOUNTS = "22 1 254:0 / / ro - ext4 /dev/dm-0 ro\n23 22 0:5 / /proc rw - proc proc rw\n"


def host(**known: str) -> condition.Condition:
    """Return the condition of a host as it was delivered, but for what is `known`."""
    good = {
        "verity": "active", "root_hash": HASH, "slot": "a", "lockdown": "integrity",
        "taint": "none", "image": "",
    }  # fmt: skip
    return condition.Condition(**{**good, **known})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (DM_MOD, HASH),
        (f"quiet roothash={HASH} rw", HASH),
        (f"mount.usrhash={HASH} verity.usrhash={HASH} usrhash={HASH}", HASH),
        ("roothash=abc", ""),
        ("verity", ""),
        ("", ""),
    ],
)
def test_the_root_hash_is_the_command_lines(line: str, found: str) -> None:
    """dm-mod.create's and systemd's spelling are both read."""
    assert condition.root_hash(line) == found


def test_verity_is_what_the_root_stands_on() -> None:
    """The device of / or /usr says it; without a root nothing is said."""
    states = {"254:0": "verified", "254:2": "corrupted", "254:3": ""}
    usr = "24 22 254:2 / /usr ro - ext4 /dev/dm-2 ro\n"
    told = [
        condition.watched(mounts, states.__contains__, lambda one: states[one])
        for mounts in (
            MOUNTS,
            MOUNTS.replace("254:0", "254:1"),
            MOUNTS.replace("254:0", "254:2"),
            MOUNTS.replace("254:0", "254:3"),
            MOUNTS + usr,
            "",
        )
    ]

    assert told == ["active", "none", "CORRUPTED", "active", "CORRUPTED", ""]


def test_slot_lockdown_and_taint() -> None:
    """Each is read as its source writes it."""
    entry = b"\x06\0\0\0" + "sheltie_2.efi\0".encode("utf-16-le")
    assert condition.slot(entry, DM_MOD) == "sheltie_2.efi"
    assert condition.slot(b"", DM_MOD) == "(hd0,gpt3)/vmlinuz"
    assert condition.slot(b"\0\0\0\0\x1b\0", "") == "?"
    assert condition.chosen("none [integrity] confidentiality") == "integrity"
    assert [condition.letters(one) for one in ("0", "4097", "x", str(1 << 40))] == [
        "none", "PO", "", "?",
    ]  # fmt: skip


@given(st.text(), st.binary(), st.text())
def test_whatever_is_read_makes_one_line(line: str, entry: bytes, modes: str) -> None:
    """No source, however bent, breaks the line."""
    found = host(
        root_hash=condition.root_hash(line),
        slot=condition.slot(entry, line),
        taint=condition.letters(modes),
    )
    assert "\n" not in found.line()


@pytest.mark.parametrize(
    ("known", "doubts"),
    [
        ({}, 0),
        ({"taint": "P"}, 0),
        ({"verity": "none"}, 1),
        ({"verity": "CORRUPTED"}, 1),
        ({"verity": "", "lockdown": ""}, 2),
        ({"lockdown": "none", "taint": "OE"}, 2),
        ({"taint": ""}, 1),
    ],
)
def test_what_is_unknown_is_a_doubt(known: dict[str, str], doubts: int) -> None:
    """Only verity, lockdown and an innocent taint together leave no doubt."""
    assert len(host(**known).doubts()) == doubts


@pytest.mark.parametrize(("value", "problems"), [("mark", 0), ("refuse", 0), ("ask", 1), (1, 1)])
def test_the_key_is_judged(value: object, problems: int) -> None:
    """A wish that is none is named in the status."""
    found = decode(json.dumps({"sheltie": {"untrusted": value}}).encode())[1]

    assert len(found) == problems


@contextmanager
def wishing(box: Box, wish: str) -> Iterator[None]:
    """Give admin a user-data with the wish."""
    place = "/.bottlerocket/host-containers/current"
    text = json.dumps({"sheltie": {"untrusted": wish}})
    box.run(box.argv("sh", "-c", f"mkdir -p {place}; cat >{place}/user-data"), input=text.encode())
    try:
        yield
    finally:
        box.run(box.argv("rm", f"{place}/user-data"))


@pytest.mark.privileged
def test_a_shell_on_a_terminal_is_told(box: Box) -> None:
    """One line before the prompt; nothing of it for a command or a script."""
    with Terminal(box.sheltie()) as terminal:
        terminal.expect(r"sheltie: the host: verity none, [^\r\n]*taint \w+[^\r\n]*\r\n\S*\[root@")
        terminal.keys("exit\r")
        assert terminal.wait() == 0
    with Terminal(box.sheltie("echo", "hello")) as terminal:
        terminal.expect(r"^hello\r\n")
    assert box.run(box.sheltie(), input=b"true").stderr == b""


@contextmanager
def daemon(box: Box, answer: bytes) -> Iterator[list[bytes]]:
    """A host's daemon at the container's API socket; yields what it was asked."""
    path, asked = Path(f"/proc/{box.pid}/root{places.API_SOCKET}"), list[bytes]()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        asked.append(connection.recv(4096))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


@pytest.mark.privileged
def test_the_image_is_named(box: Box) -> None:
    """The daemon is asked once for what it started us from, and the line names its digest."""
    status = ContainerStatus(
        "admin", enabled=True, state=ContainerState.RUNNING, since="", digest=f"sha256:{HASH}"
    )
    body = msgspec.json.encode(status)
    kept = Path(f"/proc/{box.pid}/root{places.IMAGE_DIGEST}")
    kept.parent.mkdir(exist_ok=True)
    good = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
    with daemon(box, b"HTTP/1.1 404 Not Found\r\n\r\n"), Terminal(box.sheltie()) as terminal:
        terminal.expect(r"sheltie: the host: (?![^\r\n]*image)[^\r\n]*\r\n\S*\[root@")
    assert not kept.exists()
    try:
        with daemon(box, good) as asked:
            for _ in range(2):
                with Terminal(box.sheltie()) as terminal:
                    terminal.expect(
                        rf"sheltie: the host: [^\r\n]*, admin's image sha256:{HASH[:12]}\r\n"
                    )
            (request,) = asked
        assert request.startswith(b"GET /sheltie/v1/containers/admin HTTP/1.0\r\n")
        assert kept.read_text() == f"sha256:{HASH}"
    finally:
        kept.unlink(missing_ok=True)


@pytest.mark.privileged
def test_an_owner_may_have_it_marked(box: Box) -> None:
    """The prompt says UNTRUSTED on a host without verity, and the line says why."""
    with wishing(box, "mark"):
        with Terminal(box.sheltie()) as terminal:
            terminal.expect(r"UNTRUSTED: its root is not under verity\r\n\S*UNTRUSTED \[root@")
            terminal.keys("exit\r")
            assert terminal.wait() == 0
        done = box.run(box.sheltie("true"))
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.privileged
@pytest.mark.parametrize("wish", ["refuse", "nonsense"])
def test_an_owner_may_have_it_refused(box: Box, wish: str) -> None:
    """No way in, not for a command, a copy or a tool either; one line says why."""
    with wishing(box, wish):
        for argv in (["true"], [], ["get", "/etc/hosts", "-"], ["--tools", "true"]):
            done = box.run(box.sheltie(*argv))
            assert (done.stdout, done.returncode, done.stderr.count(b"\n")) == (b"", 3, 1)
            assert b"HOST_UNTRUSTED" in done.stderr
