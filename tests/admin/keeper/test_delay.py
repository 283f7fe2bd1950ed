"""How long the door waits before it starts the monitor anew."""

from hypothesis import given
from hypothesis import strategies as st

from admin.keeper.door import FIRST_SECONDS, LAST_SECONDS, STEADY_SECONDS, Delay

short = st.floats(0, STEADY_SECONDS, exclude_max=True)


def test_doubles_to_a_limit() -> None:
    """Half a second, then twice as long each time, and never more than half a minute."""
    delay = Delay()

    assert [delay.take(0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.lists(short, max_size=12), st.floats(STEADY_SECONDS, 1e9))
def test_a_steady_run_begins_anew(runs: list[float], steady: float) -> None:
    """After a run that was long enough the delay is the first one again, whatever was before."""
    delay = Delay()
    taken = [delay.take(ran) for ran in runs]

    assert taken == sorted(taken)
    assert all(FIRST_SECONDS <= one <= LAST_SECONDS for one in taken)
    assert [delay.take(steady), delay.take(0)] == [FIRST_SECONDS, 2 * FIRST_SECONDS]
