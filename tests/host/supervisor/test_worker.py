"""One container kept as wanted, with a runner and a clock by hand."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from contract.errors import FailedError, NotFoundError, UsageError
from contract.event import ContainerStarted, ContainerStopped, Event
from contract.status import ContainerState
from host.audit import changes
from host.desired import Desired
from host.runtime.usage import Usage
from host.supervisor.plan import spec_of
from host.supervisor.restart import HEALTHY_SECONDS
from host.supervisor.worker import GRACE_SECONDS, Worker
from tests.host.supervisor.twin import HandClock, TwinRunner, TwinTask, made, quiet

WANTED = Desired("admin", enabled=True, source="oci:/a", superpowered=True, user_data=b"data")
OFF = replace(WANTED, enabled=False)


class Bench:
    """A worker that lives, with its twins."""

    def __init__(self) -> None:
        self.runner = TwinRunner()
        self.clock = HandClock()
        self.worker = Worker("admin", self.runner, self.clock)
        self.life: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """Adopt what is left and begin."""
        await self.worker.adopt()
        self.life = asyncio.create_task(self.worker.run())

    async def want(self, desired: Desired) -> None:
        """Want it so, and let it happen."""
        if self.life is None:
            await self.live()
        self.worker.want(desired)
        await quiet()

    @property
    def state(self) -> ContainerState:
        """Where it stands."""
        return self.worker.status().state

    def is_in(self, state: ContainerState) -> bool:
        """Return whether it stands there."""
        return self.worker.status().state is state

    @property
    def starts(self) -> int:
        """How often it was started."""
        return self.runner.log.count("start")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A bench that is cleared afterwards."""
    bench = Bench()
    yield bench
    if bench.life is not None:
        bench.life.cancel()
        await asyncio.wait({bench.life})
    await bench.worker.close()


async def test_enabling_starts_and_disabling_stops(bench: Bench) -> None:
    """User-data, start; TERM, clean-up."""
    await bench.want(WANTED)
    assert (bench.state, bench.worker.status().pid) == (ContainerState.RUNNING, 100)
    await bench.want(OFF)

    assert bench.is_in(ContainerState.DISABLED)
    assert bench.runner.log == ["clean", "write", "start", "clean"][1:]
    assert bench.runner.task.signals[0] == signal.SIGTERM
    assert bench.worker.status().last_exit == 143
    assert bench.runner.task.closed


async def test_equal_wishes_do_nothing(bench: Bench) -> None:
    """Writing the same settings again restarts nothing."""
    await bench.want(WANTED)
    before = list(bench.runner.log)
    await bench.want(replace(WANTED))

    assert bench.runner.log == before
    assert bench.runner.task.running


async def test_each_counted_write_restarts(bench: Bench) -> None:
    """On a stock host a write is enough: one of what was there, and one of user-data alone."""
    await bench.want(WANTED)
    await bench.want(replace(WANTED, written=1))
    await bench.want(replace(WANTED, written=2, user_data=b"more"))

    assert bench.starts == 3
    assert bench.runner.task.running
    assert bench.runner.data == b"more"
    await bench.want(replace(OFF, written=3))
    await bench.want(replace(OFF, written=4, user_data=b"none"))
    assert (bench.starts, bench.runner.data) == (3, b"none")


async def test_a_write_during_the_stop_counts_once_more(bench: Bench) -> None:
    """What is written while an old one ends still reaches the new one by a restart."""
    bench.runner.deaf = True
    await bench.want(WANTED)
    await bench.want(replace(WANTED, written=1))
    assert bench.is_in(ContainerState.STOPPING)
    await bench.want(replace(WANTED, written=2, user_data=b"late"))
    await bench.clock.forward(2 * GRACE_SECONDS)
    await bench.clock.forward(2 * GRACE_SECONDS)

    assert bench.is_in(ContainerState.RUNNING)
    assert bench.runner.data == b"late"
    assert bench.runner.log.index("write", 1) < len(bench.runner.log) - 1
    assert bench.runner.log[-1] == "start"


async def test_what_was_adopted_is_not_restarted(bench: Bench) -> None:
    """A daemon that starts anew has counted nothing yet."""
    bench.runner.left = (TwinTask(7), made(spec_of(WANTED)))
    bench.runner.data = b"data"
    await bench.want(WANTED)

    assert bench.starts == 0
    assert bench.worker.status().pid == 7


async def test_user_data_is_rewritten_beside_the_running_container(bench: Bench) -> None:
    """Only the file changes."""
    await bench.want(WANTED)
    await bench.want(replace(WANTED, user_data=b"more"))

    assert bench.runner.data == b"more"
    assert bench.starts == 1


async def test_one_that_ignores_term_is_killed_after_the_grace(bench: Bench) -> None:
    """Stopping waits 20 seconds, and not one more."""
    bench.runner.deaf = True
    await bench.want(WANTED)
    await bench.want(OFF)
    await bench.clock.forward(GRACE_SECONDS - 1)
    assert (bench.state, bench.runner.task.running) == (ContainerState.STOPPING, True)
    await bench.clock.forward(1)

    assert bench.is_in(ContainerState.DISABLED)
    assert bench.worker.status().last_exit == 137


async def test_one_that_ends_is_started_again_later_each_time(bench: Bench) -> None:
    """Also after exit status 0; the status says when and why."""
    await bench.want(WANTED)
    for delay in (1, 2, 4):
        bench.runner.task.end(0)
        await quiet()
        status = bench.worker.status()
        assert (status.state, status.last_exit) == (ContainerState.WAITING, 0)
        assert status.reason == f"it ended with status 0; next attempt in {delay} s"
        starts = bench.starts
        await bench.clock.forward(delay - 0.5)
        assert bench.starts == starts
        await bench.clock.forward(0.5)
        assert bench.starts == starts + 1
    assert bench.worker.status().restarts == 3


async def test_health_makes_the_delay_short_again(bench: Bench) -> None:
    """A run of a minute forgets former failures."""
    await bench.want(WANTED)
    for wait in (1, 2, 4, 8):
        bench.runner.task.end(1)
        await quiet()
        await bench.clock.forward(wait)
    await bench.clock.forward(60)
    bench.runner.task.end(1)
    await quiet()
    await bench.clock.forward(1)

    assert bench.is_in(ContainerState.RUNNING)


async def test_what_cannot_start_waits_and_what_never_will_fails(bench: Bench) -> None:
    """A missing image is tried again; a source of the wrong kind waits for another setting."""
    bench.runner.refuse = [FailedError("no image", code="X"), UsageError("bad source", code="Y")]
    await bench.want(WANTED)
    assert bench.is_in(ContainerState.WAITING)
    assert "no image [X]; next attempt in 1 s" in bench.worker.status().reason
    await bench.clock.forward(1)
    assert bench.is_in(ContainerState.FAILED)
    await bench.clock.forward(1000)
    assert bench.starts == 2
    await bench.want(replace(WANTED, source="oci:/b"))

    assert bench.is_in(ContainerState.RUNNING)


async def test_a_changed_wish_is_tried_at_once(bench: Bench) -> None:
    """Nobody waits for the delay of what was wanted before."""
    bench.runner.refuse = [FailedError("no")] * 3
    await bench.want(WANTED)
    await bench.clock.forward(1)
    await bench.clock.forward(2)
    await bench.want(replace(WANTED, source="oci:/b"))

    assert bench.is_in(ContainerState.RUNNING)


async def test_a_container_that_ends_while_disabled_stays_down(bench: Bench) -> None:
    """Disabling while it waits ends the waiting."""
    await bench.want(WANTED)
    bench.runner.task.end(1)
    await quiet()
    await bench.want(OFF)
    await bench.clock.forward(1000)

    assert (bench.state, bench.starts) == (ContainerState.DISABLED, 1)


async def test_a_running_one_is_adopted(bench: Bench) -> None:
    """The next daemon takes it over as it is, and its end is noticed."""
    task = TwinTask(7)
    bench.runner.left = (task, made(spec_of(WANTED), restarts=4))
    bench.runner.data = b"data"
    await bench.want(WANTED)
    assert (bench.state, bench.starts) == (ContainerState.RUNNING, 0)
    assert bench.worker.status().since == "2026-01-01T00:00:00Z"
    task.end(9)
    await quiet()

    assert bench.worker.status().last_exit == 9
    assert bench.worker.status().restarts == 5


async def test_one_that_was_made_of_something_else_is_made_anew(bench: Bench) -> None:
    """Settings that changed while no daemon ran count."""
    bench.runner.left = (TwinTask(7), made(spec_of(replace(WANTED, source="oci:/old"))))
    await bench.want(WANTED)

    assert bench.starts == 1
    assert not bench.runner.tasks[0].running


async def test_the_exit_of_one_that_ended_meanwhile_is_known(bench: Bench) -> None:
    """It ended while no daemon ran: its status is there, and it is started again."""
    bench.runner.left = (None, made(spec_of(WANTED), last_exit=1))
    bench.runner.left_exit = 3
    await bench.live()
    assert bench.worker.status().last_exit == 3
    await bench.want(WANTED)

    assert bench.is_in(ContainerState.RUNNING)


async def test_a_disabled_one_that_still_runs_is_stopped(bench: Bench) -> None:
    """Disabled while no daemon ran."""
    bench.runner.left = (TwinTask(7), made(spec_of(WANTED)))
    await bench.want(OFF)

    assert bench.is_in(ContainerState.DISABLED)
    assert not bench.runner.tasks[0].running


async def test_clean_up_that_fails_is_tried_again(bench: Bench) -> None:
    """What does not go away is said, and tried again after a while."""
    await bench.want(WANTED)
    bench.runner.stuck = [FailedError("busy", code="B")]
    await bench.want(OFF)
    assert bench.is_in(ContainerState.WAITING)
    assert "busy" in bench.worker.status().reason
    await bench.clock.forward(1)

    assert bench.is_in(ContainerState.DISABLED)


async def test_a_file_that_cannot_be_written_stops_nothing(bench: Bench) -> None:
    """The running container stays, disabling works, and the reason is told."""
    await bench.want(WANTED)
    bench.runner.unwritable = FailedError("is a directory", code="D")
    await bench.want(replace(WANTED, user_data=b"new"))
    assert bench.is_in(ContainerState.RUNNING)
    assert "is a directory" in bench.worker.status().reason
    await bench.want(replace(OFF, user_data=b"new"))

    assert not bench.runner.task.running
    assert bench.is_in(ContainerState.DISABLED)
    assert "is a directory" in bench.worker.status().reason
    bench.runner.unwritable = None
    await bench.clock.forward(1)
    assert (bench.runner.data, bench.worker.status().reason) == (b"new", "")


async def test_exec_needs_a_running_container(bench: Bench) -> None:
    """Otherwise the error says why it does not run."""
    bench.runner.refuse = [FailedError("no image", code="X")]
    await bench.want(WANTED)
    with pytest.raises(NotFoundError) as caught:
        await bench.worker.exec([b"true"], None)
    assert "no image" in caught.value.hint


async def test_letting_go_leaves_it_running(bench: Bench) -> None:
    """A daemon that ends sends no signal."""
    await bench.want(WANTED)
    assert bench.life is not None
    bench.life.cancel()
    await asyncio.wait({bench.life})
    await bench.worker.close()

    assert bench.runner.task.running
    assert bench.runner.task.signals == []


async def test_a_defect_costs_a_delay(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen exception ends neither the worker nor the daemon."""
    bench.runner.refuse = [ValueError("odd")]
    await bench.want(WANTED)
    assert bench.is_in(ContainerState.WAITING)
    await bench.clock.forward(1)

    assert bench.is_in(ContainerState.RUNNING)
    assert "defect" in caplog.text


async def test_its_way_is_observed(bench: Bench) -> None:
    """Whoever observes hears of each state once, in order: the audit's events come from that."""
    noted: list[Event] = []

    def note(event: Event) -> int:
        noted.append(event)
        return len(noted)

    bench.worker.observe = changes.Containers(note).seen
    await bench.want(WANTED)
    await bench.want(replace(WANTED, user_data=b"other"))
    await bench.want(OFF)

    digest = made(spec_of(WANTED)).digest
    assert noted == [
        ContainerStarted("admin", 100, "oci:/a", digest, superpowered=True),
        ContainerStopped("admin", 143),
    ]


async def test_failures_in_a_row_are_counted_and_the_next_start_is_told(bench: Bench) -> None:
    """They never end the attempts, and health or another wish forgets them."""
    bench.runner.refuse = [FailedError("no")] * 12
    await bench.want(WANTED)
    seen = []
    for delay in (1, 2, 4, 8, 16, 32, 45, 45, 45, 45):
        status = bench.worker.status()
        seen.append(status.failures)
        assert status.retry > status.since
        await bench.clock.forward(delay)
    assert seen == list(range(1, 11))
    await bench.want(replace(WANTED, source="oci:/b"))
    assert bench.worker.status().failures == 1
    await bench.clock.forward(1)
    assert bench.is_in(ContainerState.RUNNING)
    status = bench.worker.status()
    assert (status.failures, status.retry) == (0, "")


async def test_health_forgets_failures(bench: Bench) -> None:
    """A run of a minute, and the next end is the first one again."""
    await bench.want(WANTED)
    for _ in range(3):
        bench.runner.task.end(1)
        await quiet()
        await bench.clock.forward(45)
    await bench.clock.forward(60)
    bench.runner.task.end(1)
    await quiet()

    assert bench.worker.status().failures == 1


@pytest.mark.parametrize(
    ("status", "kills", "said"), [(137, 2, True), (1, 2, False), (137, 0, False)]
)
async def test_an_end_by_lack_of_memory_is_told(
    bench: Bench, status: int, kills: int, said: bool
) -> None:
    """Only where the container itself was killed, and the kernel did it."""
    await bench.want(WANTED)
    bench.runner.kills = kills
    bench.runner.task.end(status)
    await quiet()

    assert ("memory" in bench.worker.status().reason) is said


async def test_certificates_change_beside_the_running_container(bench: Bench) -> None:
    """Written once, and nothing restarts."""
    await bench.want(replace(WANTED, certificates=b"one"))
    assert bench.runner.certificates == b"one"
    await bench.want(replace(WANTED, certificates=b"two"))
    await bench.want(replace(WANTED, certificates=b"two", user_data=b"other"))

    assert bench.runner.certificates == b"two"
    assert (bench.starts, bench.runner.log.count("certificates")) == (1, 1)


async def test_an_adopted_one_gets_its_certificates(bench: Bench) -> None:
    """What a former daemon told it is not known."""
    bench.runner.left = (TwinTask(7), made(spec_of(WANTED)))
    bench.runner.data = b"data"
    await bench.want(replace(WANTED, certificates=b"one"))

    assert (bench.runner.certificates, bench.starts) == (b"one", 0)


async def test_what_cannot_be_told_about_is_left_alone(bench: Bench) -> None:
    """A host without a free process cannot ask its runtime: nothing is killed for that."""
    task = TwinTask(7)
    bench.runner.left = (task, made(spec_of(WANTED)))
    bench.runner.data = b"data"
    bench.runner.blind = [FailedError("no process", code="P")] * 2
    bench.life = asyncio.create_task(bench.worker.run())
    await bench.want(WANTED)
    assert bench.is_in(ContainerState.WAITING)
    assert "no process" in bench.worker.status().reason
    await bench.clock.forward(1)
    assert bench.runner.log == []
    await bench.clock.forward(2)

    assert (bench.state, bench.worker.status().pid) == (ContainerState.RUNNING, 7)
    assert task.running
    assert bench.runner.log == ["certificates"]


async def test_usage_and_limits_are_told_of_one_that_runs(bench: Bench) -> None:
    """And of no other."""
    bench.runner.used = Usage(4096, 1.23456, 3)
    await bench.want(WANTED)
    status = bench.worker.status()
    assert (status.memory_bytes, status.cpu_seconds, status.pids) == (4096, 1.235, 3)
    await bench.want(OFF)

    assert bench.worker.status().memory_bytes is None


async def test_what_takes_long_is_told(bench: Bench) -> None:
    """While it starts, the status says how far it is; once it runs, no more."""
    seen: list[str] = []
    bench.worker.observe = lambda status: seen.append(f"{status.state}: {status.reason}")
    bench.runner.says = ["pulling oci:/a: 3 of 40 MB"]
    await bench.want(WANTED)

    assert "starting: pulling oci:/a: 3 of 40 MB" in seen
    assert bench.worker.status().reason == ""


async def test_what_has_run_for_long_is_proven_once(bench: Bench) -> None:
    """After a minute of health its image is called good, and again after the next start."""
    proven: list[str] = []
    bench.worker.proven = lambda: proven.append("collect")
    await bench.want(WANTED)
    await bench.clock.forward(HEALTHY_SECONDS - 1)
    assert bench.runner.good == 0
    await bench.clock.forward(1)
    assert (bench.runner.good, proven) == (1, ["collect"])
    await bench.clock.forward(10 * HEALTHY_SECONDS)
    assert bench.runner.good == 1
    await bench.want(OFF)
    await bench.want(WANTED)
    await bench.clock.forward(HEALTHY_SECONDS)
    assert bench.runner.good == 2


async def test_what_ends_early_proves_nothing(bench: Bench) -> None:
    """A container that ends again and again never makes its image the one to fall back on."""
    await bench.want(WANTED)
    for _ in range(6):
        await bench.clock.forward(HEALTHY_SECONDS / 2)
        bench.runner.task.end(1)
        await quiet()
        await bench.clock.forward(45)

    assert bench.runner.good == 0
