"""The verbs on an engine: answered at once, one at a time, kept over a restart."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.errors import FailedError, NotFoundError
from contract.event import Event, UpdateFailed
from contract.settings import Updates as Settings
from contract.update import Command, CommandStatus, Partition, UpdateImage, UpdateState
from host.update.machine import LockedError
from host.update.none import NoEngine
from host.update.seam import Standing
from host.update.updates import Updates
from tests.host.update.twin import TwinEngine, image


async def done(updates: Updates, command: Command) -> CommandStatus:
    """Order a command, wait for its end and return how it ended."""
    await updates.order(command)
    await updates.settled()
    result = updates.status().most_recent_command
    assert result is not None
    assert result.cmd_type is command
    return result.cmd_status


async def test_the_whole_way() -> None:
    """Refresh, prepare, activate, deactivate: each does its part of the engine's work."""
    engine = TwinEngine("1.0.0", ["1.1.0", "1.2.0"])
    updates = Updates(engine, lambda: Settings(version_lock="1.1.0", seed=3))
    seen = []
    for command in Command:
        assert await done(updates, command) is CommandStatus.SUCCESS
        seen.append((updates.status().update_state, engine.next.version))

    assert seen == [
        (UpdateState.AVAILABLE, "1.0.0"),
        (UpdateState.STAGED, "1.0.0"),
        (UpdateState.READY, "1.1.0"),
        (UpdateState.STAGED, "1.0.0"),
    ]
    assert engine.settings == [Settings(version_lock="1.1.0", seed=3)]
    assert updates.status().available_updates == ["1.2.0", "1.1.0"]


async def test_before_the_first_command() -> None:
    """There is no status: 404 and what to do. Any order, also a refused one, makes one."""
    updates = Updates(TwinEngine())
    with pytest.raises(NotFoundError, match=r"^Update status is uninitialized, refresh-updates to"):
        updates.status()
    with pytest.raises(Exception, match="not allowed"):
        await updates.order(Command.PREPARE)

    assert updates.status().update_state is UpdateState.IDLE
    assert updates.status().active_partition == Partition(image("1.0.0"), next_to_boot=True)


async def test_one_at_a_time() -> None:
    """While a command is at work both order and status are 423; then all goes on."""
    engine = TwinEngine("1.0.0", ["1.1.0"])
    updates = Updates(engine)
    engine.gate.clear()
    await updates.order(Command.REFRESH)
    with pytest.raises(LockedError, match=r"^Update lock held$") as caught:
        await updates.order(Command.REFRESH)
    with pytest.raises(LockedError, match=r"^Unable to obtain shared lock for reading update"):
        updates.status()
    engine.gate.set()
    await updates.settled()

    assert caught.value.http_status == 423
    assert updates.status().update_state is UpdateState.AVAILABLE


async def test_failures_are_told() -> None:
    """What the engine could not do is in the status, in one line; a defect of it too."""
    engine = TwinEngine("1.0.0", ["1.1.0"])
    updates = Updates(engine)
    await done(updates, Command.REFRESH)
    engine.refuse = [FailedError("disk\nfull", code="DISK_FULL")]
    assert await done(updates, Command.PREPARE) is CommandStatus.FAILED
    told = updates.status().most_recent_command
    assert told is not None
    assert (told.exit_status, told.stderr) == (1, "disk full [DISK_FULL]")
    engine.refuse = [ZeroDivisionError()]  # type: ignore[list-item]  # a defect
    assert await done(updates, Command.PREPARE) is CommandStatus.FAILED

    assert updates.status().update_state is UpdateState.AVAILABLE


async def test_timestamps_differ() -> None:
    """Clients wait until the timestamp differs, also on a clock that stands still."""
    still = datetime(2026, 1, 1, tzinfo=UTC)
    updates = Updates(TwinEngine(), now=lambda: still)
    seen = []
    for _ in range(3):
        await done(updates, Command.REFRESH)
        result = updates.status().most_recent_command
        seen.append(result and result.timestamp)

    assert seen[0] == "2026-01-01T00:00:00.000000Z"
    assert all(first != second for first, second in itertools.pairwise(seen))


async def test_a_restarted_daemon_knows(tmp_path: Path) -> None:
    """The status outlives the daemon; a prepare that it was killed in counts as never done."""
    file = tmp_path / "updates.json"
    engine = TwinEngine("1.0.0", ["1.1.0"])
    first = Updates(engine, file=file)
    await done(first, Command.REFRESH)
    await done(first, Command.PREPARE)
    second = Updates(engine, file=file)
    assert second.status() == first.status()
    engine.gate.clear()
    await second.order(Command.PREPARE)
    killed = Updates(engine, file=file)
    await second.close()

    assert killed.status().update_state is UpdateState.AVAILABLE
    assert killed.status().staging_partition is None
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", '{"version":9,"status":{}}', '{"version":1}'])
async def test_an_unreadable_status_is_found_anew(tmp_path: Path, text: str) -> None:
    """A status that cannot be read is as none: a refresh finds it again."""
    file = tmp_path / "updates.json"
    file.write_text(text)
    updates = Updates(TwinEngine(), file=file)
    with pytest.raises(NotFoundError):
        updates.status()

    assert await done(updates, Command.REFRESH) is CommandStatus.SUCCESS


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Where the status cannot be kept the commands work all the same."""
    updates = Updates(TwinEngine("1.0.0", ["1.1.0"]), file=tmp_path / "missing" / "updates.json")

    assert await done(updates, Command.REFRESH) is CommandStatus.SUCCESS


async def test_a_host_without_an_engine() -> None:
    """It knows what runs; a refresh fails and says why, and nothing else is allowed."""
    about = {"arch": "x86_64", "version_id": "13.0.0", "variant_id": "debian"}
    updates = Updates(NoEngine(lambda: about))
    assert await done(updates, Command.REFRESH) is CommandStatus.FAILED
    status = updates.status()
    for command in (Command.PREPARE, Command.ACTIVATE, Command.DEACTIVATE):
        with pytest.raises(Exception, match=r"^Update action not allowed"):
            await updates.order(command)

    assert (status.update_state, status.available_updates) == (UpdateState.IDLE, [])
    assert status.active_partition == Partition(
        UpdateImage("x86_64", "13.0.0", "debian"), next_to_boot=True
    )
    assert status.most_recent_command is not None
    assert "this host has no update engine" in (status.most_recent_command.stderr or "")


async def test_a_reboot(tmp_path: Path) -> None:
    """What is kept and what the engine finds together are the status after a boot."""
    file = tmp_path / "updates.json"
    engine = TwinEngine("1.0.0", ["1.1.0"])
    first = Updates(engine, file=file)
    for command in (Command.REFRESH, Command.PREPARE, Command.ACTIVATE):
        await done(first, command)
    booted = TwinEngine("1.1.0")
    booted.other, booted.standing = image("1.0.0"), Standing.OLD
    second = Updates(booted, file=file)
    await second.begin()
    status = second.status()

    assert (status.update_state, status.chosen_update) == (UpdateState.IDLE, None)
    assert status.active_partition == Partition(image("1.1.0"), next_to_boot=True)
    assert status.most_recent_command == first.status().most_recent_command


async def test_a_lost_file_costs_no_more_than_the_last_command(tmp_path: Path) -> None:
    """That an update is prepared is found without it; on a fresh host there is nothing."""
    engine = TwinEngine("1.0.0", ["1.1.0"])
    fresh = Updates(engine, file=tmp_path / "one")
    await fresh.begin()
    with pytest.raises(NotFoundError):
        fresh.status()
    engine.other, engine.standing = image("1.1.0"), Standing.STAGED
    found = Updates(engine, file=tmp_path / "two")
    await found.begin()

    assert found.status().update_state is UpdateState.STAGED


async def test_a_fall_back_is_told_once(tmp_path: Path) -> None:
    """The audit names the version that failed and why, not at each start; after a retry again."""
    file, noted = tmp_path / "updates.json", list[Event]()
    engine = TwinEngine("1.0.0", ["1.1.0"])
    engine.other, engine.standing, engine.why = image("1.1.0"), Standing.SET_ASIDE, "it hangs"
    await Updates(engine, file=file, note=noted.append).begin()
    updates = Updates(engine, file=file, note=noted.append)
    await updates.begin()
    assert noted == [UpdateFailed("1.1.0", "it hangs")]
    assert updates.problems == ["version 1.1.0 failed and was given up: it hangs"]
    for command in (Command.REFRESH, Command.PREPARE, Command.ACTIVATE):
        await done(updates, command)
    engine.next, engine.standing = image("1.0.0"), Standing.SET_ASIDE
    await Updates(engine, file=file, note=noted.append).begin()

    assert [one for one in noted if isinstance(one, UpdateFailed)] == [
        UpdateFailed("1.1.0", "it hangs"),
        UpdateFailed("1.1.0", "it hangs"),
    ]
