"""What may be forwarded: user-data's word, and the key's options on top of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper import policy
from admin.ssh.forwarding import (
    CLOSED,
    Forwarding,
    agent_refusal,
    listen_refusal,
    open_refusal,
)
from admin.ssh.options import Options
from admin.ssh.policy import Entry
from tests.admin.ssh.test_judge import User

ON = Forwarding(local=True, remote=True, agent=True)
LINE = User().line.text


def options(text: str) -> Options:
    """Return the meaning of a key line's options."""
    return Entry.parse(f"{text} {LINE}".strip()).options


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({}, CLOSED),
        ({"allow-tcp-forwarding": "no"}, CLOSED),
        ({"allow-tcp-forwarding": "local"}, Forwarding(local=True)),
        ({"allow-tcp-forwarding": "remote"}, Forwarding(remote=True)),
        ({"allow_tcp_forwarding": "yes"}, Forwarding(local=True, remote=True)),
        ({"allow-agent-forwarding": True}, Forwarding(agent=True)),
    ],
)
def test_user_datas_words(words: dict[str, object], found: Forwarding) -> None:
    """Off unless it says otherwise."""
    judged = policy.read(document(words))

    assert judged.forwarding() == found
    assert not [one for one in judged.problems if "forward" in one]


ODD: list[tuple[str, object]] = [
    ("allow-tcp-forwarding", True),
    ("allow-tcp-forwarding", "Yes"),
    ("allow-tcp-forwarding", ""),
    ("allow-tcp-forwarding", []),
    ("allow-tcp-forwarding", None),
    ("allow-tcp-forwarding", 1),
    ("allow-agent-forwarding", "yes"),
    ("allow-agent-forwarding", 1),
    ("allow-agent-forwarding", None),
]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_what_is_not_understood_is_off(name: str, value: object) -> None:
    """And the status says so."""
    judged = policy.read(document({name: value}))

    assert judged.forwarding() == CLOSED
    assert any("forwarding must be" in one for one in judged.problems)


def document(words: dict[str, object]) -> bytes:
    """Return user-data with one key."""
    return json.dumps({"ssh": {"authorized-keys": [LINE]}, "sheltie": words}).encode()


@pytest.mark.parametrize(
    ("text", "host", "port", "allowed"),
    [
        ("", "db.internal", 5432, True),
        ("no-port-forwarding", "db.internal", 5432, False),
        ("restrict", "db.internal", 5432, False),
        ("restrict,port-forwarding", "db.internal", 5432, True),
        ('permitopen="db.internal:5432"', "db.internal", 5432, True),
        ('permitopen="db.internal:5432"', "DB.internal", 5432, True),
        ('permitopen="db.internal:5432"', "db.internal", 5433, False),
        ('permitopen="db.internal:5432"', "10.0.0.1", 5432, False),
        ('permitopen="db.internal:*"', "db.internal", 1, True),
        ('permitopen="[::1]:80"', "::1", 80, True),
        ('permitopen="a:1",permitopen="b:2"', "b", 2, True),
        ('restrict,permitopen="a:1"', "a", 1, False),
        ('permitlisten="8080"', "a", 1, True),
        ("", "a", 0, False),
        ("", "a", 65536, False),
        ("", "", 1, False),
        ("", "a" * 256, 1, False),
        ("", "a b", 1, False),
        ("", "a\n", 1, False),
        ("", "fe80::1%eth0", 22, True),
        ("", "/run/api.sock", 1, False),
    ],
)
def test_where_to(text: str, host: str, port: int, allowed: bool) -> None:
    """Connections from here."""
    assert (open_refusal(ON, options(text), host, port) == "") is allowed
    assert open_refusal(Forwarding(remote=True, agent=True), options(text), host, port)


@pytest.mark.parametrize(
    ("text", "host", "port", "allowed"),
    [
        ("", "", 0, True),
        ("", "localhost", 8080, True),
        ("", "*", 8080, True),
        ("", "localhost", 80, False),
        ("no-port-forwarding", "", 8080, False),
        ('permitlisten="8080"', "localhost", 8080, True),
        ('permitlisten="8080"', "", 8080, True),
        ('permitlisten="8080"', "localhost", 8081, False),
        ('permitlisten="8080"', "localhost", 0, False),
        ('permitlisten="localhost:8080"', "127.0.0.1", 8080, False),
        ('permitopen="a:1"', "localhost", 8080, True),
        ("", "localhost", 65536, False),
    ],
)
def test_what_is_listened_on(text: str, host: str, port: int, allowed: bool) -> None:
    """Ports here."""
    assert (listen_refusal(ON, options(text), host, port, root=False) == "") is allowed
    assert listen_refusal(Forwarding(local=True, agent=True), options(text), host, port, root=True)


def test_low_ports_are_roots() -> None:
    """As with sshd."""
    assert listen_refusal(ON, Options(), "", 80, root=True) == ""
    assert listen_refusal(ON, Options(), "", 80, root=False)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("no-agent-forwarding", False),
        ("restrict", False),
        ("restrict,agent-forwarding", True),
        ("no-port-forwarding", True),
    ],
)
def test_the_agent(text: str, allowed: bool) -> None:
    """The client's agent."""
    assert (agent_refusal(ON, options(text)) == "") is allowed
    assert agent_refusal(Forwarding(local=True, remote=True), options(text))


@given(st.text(max_size=300), st.integers(-(2**33), 2**33), st.booleans(), st.booleans())
def test_nothing_is_allowed_that_is_off(host: str, port: int, local: bool, remote: bool) -> None:
    """Whatever is asked for; and what is allowed is fit for a resolver and a log."""
    on = Forwarding(local=local, remote=remote)
    closed = Options(port_forwarding=False)

    assert open_refusal(on, closed, host, port)
    assert listen_refusal(on, closed, host, port, root=True)
    if not open_refusal(on, Options(), host, port):
        assert local
        assert host.isprintable()
        assert 0 < port < 65536
    if not listen_refusal(on, Options(), host, port, root=True):
        assert remote
