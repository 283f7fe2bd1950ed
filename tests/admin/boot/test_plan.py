"""From user-data and a machine to steps; the machine is played by what each step does to it."""

import json
import subprocess
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from admin.boot import plan
from admin.boot.plan import Found, Plan, Put, Run
from contract.places import API_GID
from contract.userdata import UserData, decode

HASH = "$6$salt$Wq3kT9sVnP0uJ5"

users = st.from_regex(r"[a-z_][a-z0-9_-]{0,31}", fullmatch=True)
hashes = st.one_of(
    st.none(), st.just(HASH), st.text(max_size=20), st.from_regex(r"[!-~]{1,40}", fullmatch=True)
)
# What execve(2) can hand over: any bytes but NUL, which Python shows with surrogates.
words = st.binary(max_size=30).map(
    lambda raw: raw.replace(b"\0", b"").decode(errors="surrogateescape")
)
environments = st.dictionaries(st.sampled_from([*plan.PROXY_NAMES, "PATH"]), words)
wishes = st.builds(lambda user, wish: UserData(user=user, password_hash=wish), users, hashes)
files = st.dictionaries(st.sampled_from([plan.SUDOERS, plan.PROXY]), st.binary(max_size=8))
groups = st.frozensets(st.sampled_from(["users", "api", "video"]))
bare = st.builds(Found, known_groups=groups, files=files)
used = st.builds(
    lambda **found: Found(**found, known_groups=found["groups"] | {"video"}),
    uid=st.integers(1000, 59999),
    shell=st.sampled_from(["", "/bin/sh", "/bin/bash"]),
    password=st.sampled_from(["", "!", "*", "!" + HASH, HASH]),
    groups=groups,
    files=files,
)
machines = st.one_of(bare, used)
system_ids = st.one_of(st.integers(0, 999), st.integers(60000, 1 << 32))


def after(found: Found, made: Plan) -> Found:
    """Return the machine after the steps: what shadow-utils' manual pages promise."""
    for step in made.steps:
        found = _after_file(found, step) if isinstance(step, Put) else _after_run(found, step)
    return found


def _after_file(found: Found, step: Put) -> Found:
    files = {path: data for path, data in found.files.items() if path != step.path}
    return replace(found, files=files if step.data is None else {**files, step.path: step.data})


def _after_run(found: Found, step: Run) -> Found:
    match step.argv:
        case ("groupadd", *_, name):
            return replace(found, known_groups=found.known_groups | {name})
        case ("useradd", "-m", "-s", shell, "-G", groups, _):
            assert found.uid is None
            assert set(groups.split(",")) <= found.known_groups
            member = frozenset(groups.split(","))
            return replace(found, uid=1000, shell=shell, password="!", groups=member)
        case ("usermod", "-a", "-G", groups, _):
            assert set(groups.split(",")) <= found.known_groups
            return replace(found, groups=found.groups | set(groups.split(",")))
        case ("usermod", "-s", shell, _):
            return replace(found, shell=shell)
        case ("usermod", "-L", _):
            return replace(found, password=f"!{found.password.lstrip('!')}")
        case ("chpasswd", "-e"):
            _, _, wish = step.stdin.rstrip("\n").partition(":")
            return replace(found, password=wish)
    raise AssertionError(step)


@given(wishes, machines, environments)
def test_a_second_boot_does_nothing(
    wanted: UserData, found: Found, environment: dict[str, str]
) -> None:
    """What the steps leave behind needs no step."""
    first = plan.make(wanted, found, environment)
    second = plan.make(wanted, after(found, first), environment)

    assert second == Plan((), first.problems, usable=True)


@given(wishes, machines, environments)
def test_the_account_is_as_wanted(
    wanted: UserData, found: Found, environment: dict[str, str]
) -> None:
    """After the steps the user is in both groups, has bash, and the hash or a lock."""
    made = after(found, plan.make(wanted, found, environment))

    assert made.uid in plan.USER_IDS
    assert made.shell == "/bin/bash"
    assert {"users", "api"} <= made.groups
    if made.password != wanted.password_hash:
        assert made.password[0] in "!*"


@given(wishes, machines, system_ids)
def test_a_system_account_is_refused(wanted: UserData, found: Found, uid: int) -> None:
    """An account of the system's own is left alone, gets no sudo rule and is named."""
    made = plan.make(wanted, replace(found, uid=uid), {})

    assert not made.usable
    assert made.problems[0].startswith(f"the user {wanted.user} is ")
    assert not [step for step in made.steps if isinstance(step, Run)]
    assert plan.SUDOERS not in after(found, made).files
    assert plan.make(wanted, after(replace(found, uid=uid), made), {}).steps == ()


@given(wishes, machines)
def test_a_hash_is_in_no_list_of_processes_and_in_no_log(wanted: UserData, found: Found) -> None:
    """A password's hash goes over stdin alone."""
    wanted = replace(wanted, password_hash=HASH)
    made = plan.make(wanted, found, {})
    shown = [word for step in made.steps if isinstance(step, Run) for word in step.argv]
    shown += [step.describe() for step in made.steps]

    assert HASH not in " ".join([*shown, *made.problems, repr(made), repr(wanted)])
    if found.password != HASH:
        (step,) = (one for one in made.steps if isinstance(one, Run) and one.stdin)
        assert step.stdin == f"{wanted.user}:{HASH}\n"


@given(users, machines, st.text(max_size=40))
def test_chpasswd_gets_one_line(user: str, found: Found, wish: str) -> None:
    """No hash smuggles a second line, or another user, into chpasswd."""
    made = plan.make(UserData(user=user, password_hash=wish), found, {})
    lines = [step.stdin for step in made.steps if isinstance(step, Run) and step.stdin]

    assert len(lines) <= 1
    for line in lines:
        assert line == f"{user}:{wish}\n"
        assert line.count("\n") == line.count(":") == 1
    if not wish.isascii() or not wish.isprintable() or set(wish) & set(": ") or not wish:
        assert (lines, len(made.problems)) == ([], 1)


def test_no_hash_locks_a_password_that_was_set() -> None:
    """A hash taken out of user-data locks the password; keys work all the same."""
    found = Found(1000, "/bin/bash", HASH, frozenset({"users", "api"}), frozenset({"users", "api"}))
    made = plan.make(UserData(user="op"), found, {})

    assert Run(("usermod", "-L", "op")) in made.steps


def test_the_api_group_has_upstreams_number() -> None:
    """Where the group api is missing it is made with the number of the API socket's group."""
    made = plan.make(UserData(), Found(), {})

    assert Run(("groupadd", "--force", "--gid", str(API_GID), "api")) in made.steps


@given(users, machines)
def test_the_sudo_rule_is_one_line_for_one_user(user: str, found: Found) -> None:
    """The rule names exactly the login user, and is readable by root's group alone."""
    made = plan.make(UserData(user=user), found, {})
    rule = f"{user} ALL=(ALL) NOPASSWD: ALL\n".encode()
    puts = [step for step in made.steps if isinstance(step, Put) and step.path == plan.SUDOERS]

    assert after(found, made).files[plan.SUDOERS] == rule
    assert [step.mode for step in puts] in ([], [0o440])


@given(st.text(max_size=40))
def test_no_user_of_user_data_bends_the_rule(name: str) -> None:
    """Whatever stands at `user`, the rule that comes of it names a plain login name."""
    wanted, _ = decode(b'{"user": ' + json.dumps(name).encode() + b"}")
    (rule,) = (
        step.data
        for step in plan.make(wanted, Found(), {}).steps
        if isinstance(step, Put) and step.path == plan.SUDOERS
    )

    assert rule is not None
    assert set(rule.split(b" ", 1)[0]) <= set(b"abcdefghijklmnopqrstuvwxyz0123456789_-")


@given(st.dictionaries(st.sampled_from(plan.PROXY_NAMES), words, min_size=1))
def test_the_proxy_profile_says_what_the_container_was_told(environment: dict[str, str]) -> None:
    """A shell that reads the profile has the same values, and ran nothing else."""
    found = after(Found(), plan.make(UserData(), Found(), environment))
    profile = found.files.get(plan.PROXY, b"")
    names = [name for name in plan.PROXY_NAMES if environment.get(name)]
    script = profile + "".join(f'printf "%s\\0" "${name}"\n' for name in names).encode()
    done = subprocess.run(["/bin/sh"], input=script, capture_output=True, check=True, env={})

    assert done.stderr == b""
    assert done.stdout.split(b"\0")[:-1] == [
        environment[name].encode(errors="surrogateescape") for name in names
    ]


def test_a_proxy_that_is_gone_takes_its_profile_with_it() -> None:
    """Without proxy variables, and with empty ones, there is no profile."""
    found = Found(files={plan.PROXY: b"export HTTP_PROXY=old\n"})
    made = plan.make(UserData(), found, {"HTTP_PROXY": "", "PATH": "/bin"})

    assert plan.PROXY not in after(found, made).files
    assert f"remove {plan.PROXY}" in [step.describe() for step in made.steps]
