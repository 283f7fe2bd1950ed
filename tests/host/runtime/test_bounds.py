"""What a container is kept to, by every runtime: processes, memory, processor, and its log."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contract.status import Limits
from host.runtime import logs, usage
from tests.host.runtime.bench import Bench, everything, output_of, settled

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(300),
]

MEMORY = 48 << 20
LIMITS = Limits(memory=MEMORY, cpu=0.2, pids=16)


@pytest.fixture(params=["crun", "runc", "podman/crun"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench with each runtime; nothing of it is left afterwards."""
    before = everything()
    with Bench.set_up(tmp_path, request.param) as bench:
        yield bench
    assert settled(before) == before


@pytest.fixture(params=[False, True], ids=["normal", "superpowered"])
async def limited(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A bench with a running container `one` of either shape within LIMITS."""
    config = await bench.prepare("one", ["sleep", "600"], superpowered=request.param, limits=LIMITS)
    task = await bench.runtime.run(bench.files("one"), config)
    yield bench
    assert await bench.runtime.find(bench.files("one")) is not None, "its first process is gone"
    task.close()
    await bench.clear("one")


async def sh(bench: Bench, script: str) -> tuple[str, int]:
    """Run a script in the container and return what it wrote, and its status."""
    process = await bench.runtime.exec(
        bench.files("one"), [b"sh", b"-c", script.encode()], size=None
    )
    output, status = await output_of(process)
    return output.decode(), status


async def test_a_fork_bomb_ends_at_the_limit(limited: Bench) -> None:
    """No process more than that, by EAGAIN, and the container is usable afterwards."""
    said, status = await sh(
        limited, "for i in $(echo 1 2 3 4 5 6 7 8 9 10); do sleep 2 >/dev/null 2>&1 & done; :"
    )
    assert (said, status) == ("", 0)
    said, status = await sh(limited, "while :; do sleep 2 >/dev/null & done")
    assert "Resource temporarily unavailable" in said
    assert status != 0
    assert used(limited)[2] <= LIMITS.pids


async def test_a_memory_hog_is_killed(limited: Bench) -> None:
    """It alone, with KILL, and that it was the memory is known."""
    said, _ = await sh(limited, "tail -c 200000000 /dev/zero; echo $?")

    assert said.splitlines()[-1] == "137"
    assert usage.memory_kills(limited.cgroups.below("one")) == 1
    assert (await sh(limited, "echo well"))[0] == "well\n"


async def test_a_busy_loop_gets_its_share(limited: Bench) -> None:
    """A fifth of a processor, however hard it tries."""
    process = await limited.runtime.exec(
        limited.files("one"), [b"sh", b"-c", b"while :; do :; done"], size=None
    )
    await asyncio.sleep(0.2)
    spent, begun = used(limited)[1], time.monotonic()
    await asyncio.sleep(1.0)
    share = (used(limited)[1] - spent) / (time.monotonic() - begun)
    await process.end()

    assert 0.05 < share < 0.3


async def test_usage_is_told(limited: Bench) -> None:
    """What the container holds shows in bytes, seconds and processes."""
    async with asyncio.timeout(10):
        while used(limited)[2] != 1:  # noqa: ASYNC110  the threads of a runtime that ends
            await asyncio.sleep(0.01)
    before = used(limited)
    script = b"head -c 8000000 /dev/zero > /dev/shm/x; echo done; exec sleep 60"
    process = await limited.runtime.exec(limited.files("one"), [b"sh", b"-c", script], size=None)
    assert await asyncio.to_thread(os.read, process.output, 16) == b"done\n"
    after = used(limited)
    await process.end()

    # What went before may hold what the runtime took to start a process: the sum is ours to know.
    assert 8_000_000 <= after[0] <= MEMORY
    assert after[1] > before[1]
    assert after[2] >= 2


def used(bench: Bench) -> tuple[int, float, int]:
    """Return bytes, seconds and processes, which are all told here."""
    found = usage.read(bench.cgroups.places("one"))
    assert found.memory is not None
    assert found.cpu is not None
    assert found.pids is not None
    return found.memory, found.cpu, found.pids


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Logs that turn early."""
    monkeypatch.setattr(logs, "MAX", 40_000)
    return 40_000


async def wrote(bench: Bench, script: str) -> None:
    """Let a container write and end."""
    files = bench.files("one")
    config = await bench.prepare("one", ["sh", "-c", script])
    task = await bench.runtime.run(files, config)
    await task.wait()
    task.close()
    await bench.clear("one")


def lines(bench: Bench) -> list[int]:
    """Return the numbers in the log, old before new."""
    files = bench.files("one")
    text = "".join(one.read_text() for one in (files.log_before, files.log) if one.exists())
    said = ""
    for line in text.splitlines():
        _, _, tag, words = line.split(" ", 3)
        said += words + ("\n" if tag == "F" else "")  # P: the line goes on in the next
    return [int(line.rpartition(" ")[2]) for line in said.splitlines()]


COUNT = "i=0; while [ $i -lt {0} ]; do echo a line of the log with a number $i; i=$((i+1)); done"


async def test_a_log_turns_and_keeps_what_came_before(bench: Bench, small: int) -> None:
    """Bounded, whole at the end, and never less than one part long."""
    # Slowly: of what turns twice while a busy daemon looks away, the part between is lost.
    pause = "[ $((i % 400)) -eq 0 ] && sleep 0.3; i=$((i+1))"
    await wrote(bench, COUNT.format(2000).replace("i=$((i+1))", pause))
    found = lines(bench)
    files = bench.files("one")

    assert found == list(range(found[0], 2000))
    assert files.log.stat().st_size + files.log_before.stat().st_size >= small
    assert files.log.stat().st_size <= small
    assert files.log_before.stat().st_size <= small
    assert files.log.stat().st_mode & 0o777 == 0o600


async def test_a_log_of_many_runs_is_bounded(bench: Bench, small: int) -> None:
    """By us: conmon counts the bytes of one run, and who ends all the time would fill the disk."""
    for _ in range(6):
        await wrote(bench, COUNT.format(300))
    files = bench.files("one")
    sizes = [path.stat().st_size for path in files.home.glob("log*")]

    assert len(sizes) == 3  # one of them is the same file by another name
    assert all(size < 2 * small for size in sizes)
    assert lines(bench)[-300:] == list(range(300))


async def test_a_log_turns_while_nobody_watches(bench: Bench, small: int) -> None:
    """What turned while no daemon ran is found by the next one."""
    files = bench.files("one")
    config = await bench.prepare("one", ["sh", "-c", f"{COUNT.format(900)}; sleep 600"])
    task = await bench.runtime.run(files, config)
    task.close()
    async with asyncio.timeout(20):
        while not files.log.read_text().endswith(" 899\n"):  # noqa: ASYNC110  a foreign process
            await asyncio.sleep(0.01)
    found = await bench.runtime.find(files)
    assert found is not None
    found.close()
    assert lines(bench) == list(range(900))
    assert files.log_before.stat().st_size <= small
    await bench.clear("one")
