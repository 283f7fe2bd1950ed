"""Options of key lines: each known one is enforced, every other one refuses the line."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.ssh.options import FLAGS, VALUES, Options, merge, parse
from admin.ssh.sources import address_of, parse_sources
from contract.errors import UsageError
from contract.keyline import parse as parse_line
from tests.admin.ssh.door import Door, make_key

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
TOKEN = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIOMqqnkVzrm0SdG6"
    "UOoqKLsabgH5C9okWi0dh2l9GKJlAAAABHNzaDo= token"
)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()


def options(text: str, key: str = KEY) -> Options:
    """Return the meaning of options before a key."""
    return parse(parse_line(f"{text} {key}" if text else key))


def test_a_plain_key_may_do_everything() -> None:
    """Without options: a terminal, forwards as far as the server has them."""
    plain = options("")

    assert plain == Options()
    assert plain.refusal("192.0.2.1", NOON) == ""
    assert plain.may_open("anything", 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('environment="A=b"', "environment is refused"),
        ("no-such-option", "not known"),
        ('tunnel="1"', "not known"),
        ("command", "needs a value"),
        ('command=""', "needs a value"),
        ('no-pty="yes"', "takes no value"),
        ('command="a",command="b"', "stands twice"),
        ('from="host.example.com"', "names are not looked up"),
        ('from="10.0.0.1/8"', "no address or network"),
        ('from=""', "needs a value"),
        ('expiry-time="tomorrow"', "YYYYMMDD"),
        ('expiry-time="20301345"', "no time that exists"),
        ('expiry-time="2030010112301"', "YYYYMMDD"),
        ('principals="a"', "needs cert-authority"),
        ('cert-authority,principals="a,,b"', "principals wants"),
        ('permitopen="80"', "wants HOST:PORT"),
        ('permitopen="host:0"', "no HOST:PORT"),
        ('permitopen="host:65536"', "no HOST:PORT"),
        ('permitopen="::1:80"', "in brackets"),
        ('permitlisten="a b:80"', "no HOST:PORT"),
        ("no-touch-required", "for FIDO keys"),
    ],
)
def test_a_line_that_cannot_be_enforced_is_refused(text: str, why: str) -> None:
    """Unknown, refused, or used wrongly: the line lets nobody in."""
    with pytest.raises(UsageError, match=why):
        options(text)


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True))
def test_every_unknown_name_is_refused(name: str) -> None:
    """No option is ignored."""
    if name in FLAGS or name in VALUES:
        return
    with pytest.raises(UsageError):
        options(name)


def test_names_of_options_are_of_any_case() -> None:
    """As sshd reads them."""
    assert options("No-PTY,RESTRICT") == options("no-pty,restrict")


def test_restrict_and_what_gives_back() -> None:
    """`restrict` takes all; what stands behind it gives back one by one."""
    assert not options("restrict").pty
    assert options("restrict,pty").pty
    assert not options("restrict,pty").port_forwarding
    assert options("restrict,port-forwarding").may_open("h", 1)
    assert not options("restrict,port-forwarding").agent_forwarding
    assert not options("restrict").may_listen("localhost", 1)


def test_expiry_is_a_moment() -> None:
    """Up to it the key lets in, from it on no more; Z is UTC, without it local time."""
    until = options('expiry-time="20300101120000Z"')

    assert until.expires == NOON
    assert until.refusal("::1", NOON - 1) == ""
    assert "expired" in until.refusal("::1", NOON)
    assert options('expiry-time="20300101"').expires == datetime(2030, 1, 1).timestamp()  # noqa: DTZ001  local time is meant


@pytest.mark.parametrize(
    ("entries", "inside", "outside"),
    [
        ("192.0.2.0/24", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.3.1", "::1"]),
        ("192.0.2.*,!192.0.2.7", ["192.0.2.1"], ["192.0.2.7", "192.0.20.1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:db8::1%eth0"], ["2001:db9::1", "192.0.2.1"]),
        ("!10.0.0.0/8", [], ["10.0.0.1", "192.0.2.1"]),
        ("*,!::ffff:192.0.2.0/120", ["192.0.3.1"], ["192.0.2.1", "::ffff:192.0.2.9"]),
        ("*", ["192.0.2.1", "::1"], []),
        ("192.0.2.?", ["192.0.2.1"], ["192.0.2.10"]),
    ],
)
def test_from_admits_and_negates(entries: str, inside: list[str], outside: list[str]) -> None:
    """Networks, patterns and their negation, on addresses only."""
    option = options(f'from="{entries}"')

    assert all(option.refusal(one, NOON) == "" for one in inside)
    assert all("may not be used from" in option.refusal(one, NOON) for one in outside)


@given(st.lists(st.ip_addresses(), min_size=1, max_size=5), st.ip_addresses())
def test_a_list_of_addresses_admits_exactly_those(listed: list[object], other: object) -> None:
    """Each listed address is in, any other one is out, whatever its clothes."""
    sources = parse_sources(",".join(map(str, listed)))

    assert all(sources.admits(str(one)) for one in listed)
    known = {address_of(str(one)) for one in listed}
    assert sources.admits(str(other)) == (address_of(str(other)) in known)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """A list of addresses is understood or refused, never a crash."""
    try:
        parse_sources(text)
    except UsageError:
        return


def test_targets_of_forwards() -> None:
    """Permitopen and permitlisten name what may be reached; the verdict is ready for forwards."""
    some = options('permitopen="db:5432",permitopen="[::1]:*",permitlisten="localhost:8080"')

    assert some.may_open("DB", 5432)
    assert some.may_open("::1", 1)
    assert not some.may_open("db", 22)
    assert some.may_listen("localhost", 8080)
    assert not some.may_listen("192.0.2.1", 8080)
    assert options('permitlisten="80"').may_listen("192.0.2.1", 80)
    assert not options('permitlisten="80"').may_listen("192.0.2.1", 81)
    assert not options('permitopen="db:1",no-port-forwarding').may_open("db", 1)


def test_fido_options() -> None:
    """A token may be told not to need a touch, or to verify its user."""
    assert not options("no-touch-required", TOKEN).touch
    assert options("verify-required", TOKEN).verify
    assert options("", TOKEN).touch


def test_merging_takes_the_stricter_of_both() -> None:
    """A key line and a certificate: what both allow, the earlier end, one command."""
    line = options('cert-authority,expiry-time="20300101Z",no-pty,from="10.0.0.0/8"')
    certificate = Options(expires=NOON * 2, command="true", port_forwarding=False)
    merged = merge(line, certificate)

    assert (merged.pty, merged.port_forwarding, merged.command) == (False, False, "true")
    assert merged.expires == line.expires
    assert merged.refusal("192.0.2.1", 0)
    with pytest.raises(UsageError, match="another command"):
        merge(Options(command="a"), Options(command="b"))


@pytest.mark.privileged
async def test_a_forced_command_runs_and_nothing_else(door: Door) -> None:
    """Whatever is asked for; the wish is told in SSH_ORIGINAL_COMMAND."""
    await door.configure(f'command="echo forced: $SSH_ORIGINAL_COMMAND" {door.key}')
    asked = await door.ssh("id", "-u")
    shell = await door.ssh(stdin=b"id -u\n")
    subsystem = await door.ssh("-s", "sftp")

    assert asked.out == b"forced: id -u\n"
    assert shell.out == b"forced:\n"
    assert subsystem.out == b"forced: /usr/lib/openssh/sftp-server\n"


@pytest.mark.privileged
@pytest.mark.parametrize("option", ["no-pty", "restrict"])
async def test_no_pty_gives_no_terminal(door: Door, option: str) -> None:
    """The request is refused; a command runs all the same."""
    await door.configure(f"{option} {door.key}")
    done = await door.ssh("tty", options=["-tt"])

    assert b"PTY allocation request failed" in done.err
    assert (await door.ssh("tty")).out == b"not a tty\n"


@pytest.mark.privileged
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ('from="192.0.2.0/24"', "may not be used from 127.0.0.1"),
        ('expiry-time="20200101"', "has expired"),
        ("cert-authority", "not known"),
    ],
)
async def test_a_key_that_may_not_is_refused_and_explained(
    door: Door, option: str, reason: str
) -> None:
    """The peer hears only no; the operator hears why, and which key."""
    await door.configure(f"{option} {door.key}")
    done = await door.ssh("true")
    event = await door.wait_for("refused")

    assert done.code == 255
    assert reason.encode() not in done.err
    assert reason in event.detail
    assert event.key == parse_line(door.key).fingerprint


@pytest.mark.privileged
async def test_a_key_within_its_limits_lets_in(door: Door) -> None:
    """The same options, satisfied."""
    await door.configure(f'from="127.0.0.0/8",expiry-time="20990101",restrict {door.key}')

    assert (await door.ssh("echo in")).out == b"in\n"


@pytest.mark.privileged
async def test_the_first_line_that_admits_counts(door: Door, tmp_path: Path) -> None:
    """The same key twice: where the first line refuses, the second one is asked."""
    _, other = make_key(tmp_path, "other")
    await door.configure(
        other, f'from="192.0.2.1",command="echo one" {door.key}', f'command="echo two" {door.key}'
    )

    assert (await door.ssh("x")).out == b"two\n"


def test_our_test_keys_are_real(tmp_path: Path) -> None:
    """ssh-keygen reads the constants above too."""
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{TOKEN}\n")
    done = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True)

    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["(ED25519)", "(ED25519-SK)"]
