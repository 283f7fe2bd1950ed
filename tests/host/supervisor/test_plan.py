"""From wanted and actual to steps, and how long to wait."""

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from host.desired import Desired
from host.supervisor.plan import (
    Actual,
    Clean,
    Spec,
    Start,
    Stop,
    WriteCertificates,
    WriteUserData,
    plan,
    spec_of,
)
from host.supervisor.restart import FIRST_SECONDS, HEALTHY_SECONDS, MOST_SECONDS, Backoff

WANTED = Desired(
    "admin",
    enabled=True,
    source="oci:/a",
    superpowered=True,
    command=("x",),
    user_data=b"data",
)
RUNNING = Actual(Spec("oci:/a", superpowered=True, command=("x",)), b"data", dirty=True)

desired = st.builds(
    Desired,
    st.just("admin"),
    st.booleans(),
    st.sampled_from(["oci:/a", "oci:/b", None]),
    st.booleans(),
    st.sampled_from([(), ("x",)]),
    st.sampled_from([None, b"", b"data"]),
    certificates=st.sampled_from([b"", b"pem"]),
)
actual = st.builds(
    Actual,
    st.one_of(
        st.none(), st.builds(Spec, st.sampled_from(["oci:/a", ""]), st.booleans(), st.just(()))
    ),
    st.sampled_from([None, b"", b"data"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, b"", b"pem"]),
    st.booleans(),
)


def test_equal_needs_nothing() -> None:
    """What is as wanted is left alone."""
    assert plan(WANTED, RUNNING) == []
    assert plan(replace(WANTED, user_data=None), RUNNING) == []


def test_user_data_alone_restarts_nothing() -> None:
    """A new file is written, and that is all."""
    assert plan(replace(WANTED, user_data=b"new"), RUNNING) == [WriteUserData(b"new")]


def test_a_change_of_what_runs_restarts() -> None:
    """Source, superpowered, command and environment each restart, and the step says why."""
    changes = {
        "source": replace(WANTED, source="oci:/b"),
        "superpowered": replace(WANTED, superpowered=False),
        "command": replace(WANTED, command=()),
        "environment": replace(WANTED, environment=(("NO_PROXY", "x"),)),
    }
    for field, wanted in changes.items():
        stop, start = plan(wanted, RUNNING)
        assert str(stop) == f"stop: {field} changed"
        assert start == Start(spec_of(wanted))


def test_certificates_alone_restart_nothing() -> None:
    """They are written for one that runs, and come with the start of one that does not."""
    wanted = replace(WANTED, certificates=b"pem")

    assert plan(wanted, RUNNING) == [WriteCertificates(b"pem")]
    assert plan(WANTED, replace(RUNNING, certificates=None)) == [WriteCertificates(b"")]
    assert plan(wanted, Actual(user_data=b"data")) == [Start(spec_of(wanted), b"pem")]
    assert plan(replace(wanted, enabled=False), Actual(user_data=b"data")) == []


def test_stale_restarts_what_is_as_wanted() -> None:
    """A write is enough on a stock host; disabled stays disabled."""
    stale = replace(RUNNING, stale=True)

    assert plan(WANTED, stale) == [Stop("written to"), Start(spec_of(WANTED))]
    off = replace(WANTED, enabled=False, user_data=None)
    assert plan(off, Actual(stale=True)) == []


def test_disabling_stops_before_the_file_is_written() -> None:
    """A file that cannot be written must not keep a container up."""
    wanted = replace(WANTED, enabled=False, user_data=b"less")

    assert plan(wanted, RUNNING) == [Stop("disabled"), WriteUserData(b"less")]


def test_enabling_writes_the_file_first() -> None:
    """The container finds its user-data."""
    assert plan(WANTED, Actual()) == [WriteUserData(b"data"), Start(spec_of(WANTED))]


def test_a_held_container_waits_but_its_file_does_not() -> None:
    """Between two starts user-data is written and nothing is started."""
    assert plan(WANTED, Actual(dirty=True, held=True)) == [WriteUserData(b"data")]


def test_what_a_former_run_left_is_removed() -> None:
    """A disabled container is cleaned up once."""
    off = Desired("admin")

    assert plan(off, Actual(dirty=True)) == [Clean()]
    assert plan(off, Actual()) == []


def test_steps_tell_nothing_secret() -> None:
    """User-data is counted, not shown."""
    assert "data" not in str(WriteUserData(b"secret")).replace("user-data", "")
    assert "secret" not in repr(replace(WANTED, user_data=b"secret"))
    assert "secret" not in f"{WriteCertificates(b'secret')!s}{WriteCertificates(b'secret')!r}"


@given(desired, actual)
def test_after_the_steps_nothing_is_left_to_do(wanted: Desired, there: Actual) -> None:
    """Taking the steps makes actual what is wanted, and every step can be said."""
    for step in plan(wanted, there):
        assert str(step)
        match step:
            case Stop():
                there = replace(there, running=None, dirty=False, stale=False)
            case Start(spec, certificates):
                there = replace(there, running=spec, certificates=certificates, stale=False)
            case WriteCertificates(data):
                there = replace(there, certificates=data)
            case WriteUserData(data):
                there = replace(there, user_data=data)
            case Clean():
                there = replace(there, dirty=False)
    assert plan(wanted, replace(there, stale=False)) == []
    if there.running is not None:
        assert wanted.enabled
        assert there.running == spec_of(wanted)
        assert there.certificates == wanted.certificates


def test_delays_grow_and_end() -> None:
    """1, 2, 4 … seconds up to 45."""
    backoff = Backoff()
    delays = [backoff.after(0) for _ in range(9)]

    assert delays[:6] == [1, 2, 4, 8, 16, 32]
    assert set(delays[6:]) == {MOST_SECONDS}
    assert all(one <= two for one, two in itertools.pairwise(delays))


def test_health_begins_anew() -> None:
    """Whoever ran long enough is started again soon; a little less does not count."""
    backoff = Backoff()
    for _ in range(9):
        backoff.after(HEALTHY_SECONDS - 0.1)

    assert backoff.after(HEALTHY_SECONDS - 0.1) == MOST_SECONDS
    assert backoff.after(HEALTHY_SECONDS) == FIRST_SECONDS
    assert backoff.after(0) == 2 * FIRST_SECONDS
