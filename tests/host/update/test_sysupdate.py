"""The engine on systemd-sysupdate, on a disk in a file: what it promises, and what goes wrong."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.errors import ConflictError, FailedError, NotFoundError, RefusedError, SheltieError
from contract.settings import Updates
from host.update import firmware
from host.update.seam import Progress, Standing
from tests.host.update.disk import ROOT_BYTES, UKI_BYTES, Bench, Key, image, publish
from tests.host.update.server import Server
from tests.host.update.test_firmware import program

pytestmark = [
    *(pytest.mark.privileged, pytest.mark.image, pytest.mark.timeout(300)),
    # The tools' tree is made once, by one worker.
]

NEW = image("1.1.0")
RUNNING_UKI = "EFI/Linux/sheltie_1.0.0.efi"
PREPARED_UKI = "EFI/sheltie/sheltie_1.1.0.efi"
ACTIVATED_UKI = "EFI/Linux/sheltie_1.1.0+3-0.efi"
BOTH = ["esp", "sheltie_1.0.0", "sheltie_1.0.0_verity", "sheltie_1.1.0", "sheltie_1.1.0_verity"]
EMPTY = [*BOTH[:3], "_empty", "_empty"]


async def prepared(bench: Bench) -> None:
    """Go as far as that 1.1.0 lies in the other slot."""
    engine = bench.engine()
    await engine.available(bench.settings)
    await engine.prepare(NEW, bench.settings, Progress())


async def standing(bench: Bench, version: str = "1.1.0") -> Standing | None:
    """Return how a version stands, as a daemon that has just started finds it."""
    others = (await bench.engine().slots()).others
    return next((one.standing for one in others if one.image.version == version), None)


async def failure(bench: Bench) -> SheltieError:
    """Return what keeps the update from being prepared."""
    with pytest.raises(SheltieError) as caught:
        await prepared(bench)
    return caught.value


def slot_start(bench: Bench) -> int:
    """Return where the other slot's root begins."""
    argv = ["partx", "--noheadings", "--output", "START", "--nr", "4", str(bench.disk)]
    return int(subprocess.run(argv, check=True, capture_output=True).stdout) * 512


def slot(bench: Bench) -> bytes:
    """Return what the other slot's root begins with."""
    with bench.disk.open("rb") as stream:
        stream.seek(slot_start(bench))
        return stream.read(ROOT_BYTES)


def served(bench: Bench, end: str) -> Path:
    """Return the server's file of 1.1.0 whose name ends so."""
    return next(bench.server.place.glob(f"*_1.1.0*.{end}"))


async def test_the_whole_way_and_a_good_boot(bench: Bench) -> None:
    """Offered, in the slot, on the ESP, booted, found well; each step is known after a restart."""
    seen = [await standing(bench)]
    assert await bench.engine().available(bench.settings) == [NEW]
    await prepared(bench)
    seen.append(await standing(bench))
    assert bench.labels() == BOTH
    assert slot(bench) == served(bench, "root").read_bytes()
    assert bench.esp() == [RUNNING_UKI, PREPARED_UKI]
    await bench.engine().activate(NEW)
    seen.append(await standing(bench))
    assert bench.esp() == [RUNNING_UKI, ACTIVATED_UKI]
    assert bench.uki("sheltie_1.1.0+3-0.efi").read_bytes() == served(bench, "efi").read_bytes()
    assert bench.boots() == "1.1.0"
    assert not (await bench.engine().slots()).proven
    bench.bless()
    slots = await bench.engine().slots()

    assert seen == [None, Standing.STAGED, Standing.NEXT]
    assert (slots.running, slots.proven) == (NEW, True)
    assert [(one.image.version, one.standing) for one in slots.others] == [("1.0.0", Standing.OLD)]
    left = {path.name for path in (bench.place / "updates").iterdir()}
    assert left == {"SHA256SUMS", "SHA256SUMS.gpg", "sizes.json"}


async def test_activating_is_taken_back(bench: Bench) -> None:
    """Deactivated, the next boot is into what runs, and activating works again; both twice."""
    await prepared(bench)
    engine = bench.engine()
    for _ in range(2):
        await engine.activate(NEW)
        await engine.activate(NEW)
        assert await standing(bench) is Standing.NEXT
        await engine.deactivate()
        await engine.deactivate()
        assert await standing(bench) is Standing.STAGED
        assert bench.esp() == [RUNNING_UKI, PREPARED_UKI]


async def test_a_failed_version_is_named_and_can_be_tried_again(bench: Bench) -> None:
    """Out of tries the old one boots; the new one is known as failed; only its UKI is fetched."""
    await prepared(bench)
    await bench.engine().activate(NEW)
    booted = [bench.boots() for _ in range(4)]
    assert booted == ["1.1.0", "1.1.0", "1.1.0", "1.0.0"]
    assert await standing(bench) is Standing.SET_ASIDE
    bench.server.asked.clear()
    await prepared(bench)
    await bench.engine().activate(NEW)

    assert await standing(bench) is Standing.NEXT
    assert bench.esp() == [RUNNING_UKI, ACTIVATED_UKI]
    assert {Path(file).suffix for file, _ in bench.server.asked} == {"", ".gpg", ".efi"}


async def test_rollback_lasts_and_blocks_no_later_update(bench: Bench, key: Key) -> None:
    """Set aside, the newer one does not boot again; it can be taken back; a third one goes in."""
    await prepared(bench)
    await bench.engine().activate(NEW)
    bench.boots()
    bench.bless()
    engine = bench.engine()
    await engine.activate(image("1.0.0"))
    assert await standing(bench, "1.0.0") is Standing.NEXT
    await engine.deactivate()
    assert await standing(bench, "1.0.0") is Standing.OLD
    assert bench.esp() == [RUNNING_UKI, "EFI/Linux/sheltie_1.1.0.efi"]
    await engine.activate(image("1.0.0"))
    assert [bench.boots() for _ in range(3)] == ["1.0.0"] * 3
    assert await standing(bench) is Standing.SET_ASIDE
    publish(bench.server.place, "1.2.0", key)
    engine = bench.engine()
    await engine.available(bench.settings)
    await engine.prepare(image("1.2.0"), bench.settings, Progress())
    await engine.activate(image("1.2.0"))

    assert bench.boots() == "1.2.0"
    assert bench.labels()[3:] == ["sheltie_1.2.0", "sheltie_1.2.0_verity"]
    assert bench.esp() == [RUNNING_UKI, "EFI/Linux/sheltie_1.2.0+2-1.efi"]


async def test_an_older_version_on_purpose(bench: Bench, key: Key) -> None:
    """What a version lock names may be older: it boots, and where it fails the newer one does."""
    publish(bench.server.place, "0.9.0", key)
    engine = bench.engine()
    await engine.available(bench.settings)
    await engine.prepare(image("0.9.0"), bench.settings, Progress())
    await engine.activate(image("0.9.0"))

    assert [bench.boots() for _ in range(4)] == ["0.9.0", "0.9.0", "0.9.0", "1.0.0"]


async def test_the_fall_back_of_a_trial_is_not_overwritten(bench: Bench, key: Key) -> None:
    """While the running version is still being tried nothing is prepared."""
    await prepared(bench)
    await bench.engine().activate(NEW)
    bench.boots()
    publish(bench.server.place, "1.2.0", key)
    engine = bench.engine()
    await engine.available(bench.settings)
    with pytest.raises(ConflictError, match=r"^version 1\.1\.0 is still being tried") as caught:
        await engine.prepare(image("1.2.0"), bench.settings, Progress())

    assert caught.value.code == "UPDATE_UNPROVEN"
    assert bench.labels() == BOTH


async def test_a_broken_download_goes_on_where_it_stopped(bench: Bench) -> None:
    """Also by a daemon that was started in between; nothing is written before it is whole."""
    bench.server.cut = 1_000_000
    first = await failure(bench)
    second = await failure(bench)
    assert bench.labels() == EMPTY
    bench.server.cut = 0
    await prepared(bench)
    starts = [start for file, start in bench.server.asked if file.endswith(".root")]

    assert {first.code, second.code} == {"UPDATE_UNREACHABLE"}
    assert "it goes on where it stopped" in first.line()
    assert starts[0] == 0 < starts[1] < starts[2]
    assert bench.labels() == BOTH


async def test_a_server_without_ranges(tmp_path: Path, key: Key) -> None:
    """It is asked for the whole again."""
    (tmp_path / "served").mkdir()
    publish(tmp_path / "served", "1.1.0", key)
    with Server(tmp_path / "served", ranges=False) as server:
        bench = Bench(tmp_path / "host", server, key)
        server.cut = 1_000_000
        await failure(bench)
        server.cut = 0
        await prepared(bench)

    assert bench.labels() == BOTH


async def test_another_place_for_the_files(tmp_path: Path, server: Server, key: Key) -> None:
    """`targets-base-url` names where all but the manifest lies."""
    (tmp_path / "files").mkdir()
    publish(tmp_path / "files", "1.1.0", key)
    for name in ("SHA256SUMS", "SHA256SUMS.gpg"):
        (tmp_path / "files" / name).rename(server.place / name)
    with Server(tmp_path / "files") as files:
        await prepared(Bench(tmp_path / "host", server, key, targets=f"{files.url}/"))

        assert len(files.asked) == 3


@pytest.mark.parametrize("end", ["root", "verity", "efi"])
async def test_a_tampered_file(bench: Bench, end: str) -> None:
    """What is not what the signed manifest names is refused; the right one is then taken."""
    file = served(bench, end)
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    error = await failure(bench)
    assert bench.esp() == [RUNNING_UKI]
    file.write_bytes(good)
    await prepared(bench)

    assert (error.code, file.name in error.message) == ("UPDATE_DAMAGED", True)
    assert await standing(bench) is Standing.STAGED


async def test_signatures(bench: Bench, tmp_path: Path) -> None:
    """A changed manifest, another's signature and a missing one are refused, before anything."""
    sums, signature = (bench.server.place / name for name in ("SHA256SUMS", "SHA256SUMS.gpg"))
    good = sums.read_bytes()
    codes = []
    sums.write_bytes(good.replace(b"1.1.0", b"1.9.0"))
    codes.append((await failure(bench)).code)
    sums.write_bytes(good)
    other = Key(tmp_path / "other")
    other.sign(bench.server.place)
    other.end()
    codes.append((await failure(bench)).code)
    signature.unlink()
    codes.append((await failure(bench)).line())

    assert codes[:2] == ["UPDATE_UNSIGNED"] * 2
    assert codes[2].endswith("SHA256SUMS.gpg: HTTP status 404 [UPDATE_FETCH_FAILED]")
    assert (bench.labels(), bench.esp()) == (EMPTY, [RUNNING_UKI])


async def test_a_bad_manifest_takes_no_good_ones_place(bench: Bench) -> None:
    """What was prepared by a good manifest can be activated after a bad one was met."""
    await prepared(bench)
    (bench.server.place / "SHA256SUMS").write_text("")
    with pytest.raises(RefusedError):
        await bench.engine().available(bench.settings)
    await bench.engine().activate(NEW)

    assert await standing(bench) is Standing.NEXT


async def test_an_image_without_a_key(bench: Bench) -> None:
    """It trusts no update, and says so."""
    (bench.place / "keyring").unlink()

    assert (await failure(bench)).code == "UPDATE_NO_KEYRING"


@pytest.mark.parametrize(("variant", "arch"), [("other", "x86-64"), ("sheltie-host", "arm64")])
async def test_another_machines_manifest(
    tmp_path: Path, server: Server, key: Key, variant: str, arch: str
) -> None:
    """It is refused in words that name both."""
    publish(server.place, "1.1.0", key, variant=variant, arch=arch)
    bench = Bench(tmp_path / "host", server, key)
    error = await failure(bench)

    assert (error.code, error.message) == (
        "UPDATE_OTHER_MACHINE",
        f"the update manifest is for {variant} {arch}, and this host is sheltie-host x86-64",
    )


async def test_no_source(bench: Bench) -> None:
    """Without an address the error says which setting is missing."""
    with pytest.raises(SheltieError, match="it is not set where updates come from") as caught:
        await bench.engine().available(Updates())

    assert "settings.updates.metadata-base-url" in caught.value.line()


async def test_a_version_that_is_not_offered(bench: Bench) -> None:
    """It is told as gone; what was not prepared is not activated."""
    engine = bench.engine()
    await engine.available(bench.settings)
    with pytest.raises(NotFoundError, match="is not on offer any more"):
        await engine.prepare(image("7.0.0"), bench.settings, Progress())
    with pytest.raises(NotFoundError, match="is not prepared"):
        await engine.activate(NEW)

    assert bench.esp() == [RUNNING_UKI]


async def test_a_slot_that_is_not_what_its_label_says(bench: Bench) -> None:
    """A half-written slot with a whole one's label is found by reading it, and written anew."""
    await prepared(bench)
    with bench.disk.open("r+b") as stream:
        stream.seek(slot_start(bench) + ROOT_BYTES // 2)
        stream.write(bytes(ROOT_BYTES // 4))
    await prepared(bench)

    assert slot(bench) == served(bench, "root").read_bytes()


@pytest.mark.parametrize("content", [b"", bytes(UKI_BYTES), b"short"])
async def test_a_uki_that_is_not_what_was_written(bench: Bench, content: bytes) -> None:
    """As after a power cut: it is not activated but removed, and preparing again mends it."""
    await prepared(bench)
    (bench.place / "esp" / PREPARED_UKI).write_bytes(content)
    with pytest.raises(FailedError, match="is not what was written there") as caught:
        await bench.engine().activate(NEW)
    assert bench.esp() == [RUNNING_UKI]
    await prepared(bench)
    await bench.engine().activate(NEW)

    assert caught.value.code == "UPDATE_UKI_DAMAGED"
    assert await standing(bench) is Standing.NEXT


async def test_what_secure_boot_would_refuse_is_not_activated(bench: Bench, key: Key) -> None:
    """The firmware would stand still: it is refused before, and what was prepared stays."""
    served(bench, "efi").write_bytes(program())
    key.sign(bench.server.place)
    await prepared(bench)
    (bench.place / "variables" / f"SecureBoot-{firmware.GLOBAL}").write_bytes(bytes(4) + b"\x01")
    with pytest.raises(RefusedError, match="is not signed by a key that the firmware trusts"):
        await bench.engine().activate(NEW)
    assert await standing(bench) is Standing.STAGED
    (bench.place / "variables" / f"SecureBoot-{firmware.GLOBAL}").write_bytes(bytes(5))
    await bench.engine().activate(NEW)

    assert await standing(bench) is Standing.NEXT


async def test_an_esp_that_cannot_be_read(bench: Bench) -> None:
    """It is an error of its own, not an ESP without anything."""
    shutil.rmtree(bench.place / "esp/EFI")
    with pytest.raises(SheltieError) as caught:
        await bench.engine().slots()

    assert caught.value.code == "ESP_UNUSABLE"


@pytest.mark.parametrize(
    ("what", "code"), [("esp", "UPDATE_ESP_FULL"), ("updates", "UPDATE_DISK_FULL")]
)
def test_no_room(bench: Bench, what: str, code: str) -> None:
    """A full ESP and a full data partition: a clear error, nothing changed, and a retry works."""
    program = [sys.executable, "-m", "tests.host.update.full", what, str(bench.place)]
    done = subprocess.run(
        [*program, bench.server.url], capture_output=True, text=True, check=False, timeout=200
    )

    assert (done.returncode, done.stdout.split()) == (0, [code, "1.0.0", "retried", "NEXT"]), done


async def test_cancelled(bench: Bench) -> None:
    """A daemon that ends in the middle of a download leaves what the next one goes on with."""
    engine = bench.engine()
    await engine.available(bench.settings)
    bench.server.gate.clear()
    task = asyncio.create_task(engine.prepare(NEW, bench.settings, Progress()))
    await asyncio.to_thread(bench.server.reached.wait, 60)
    task.cancel()
    bench.server.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await prepared(bench)

    assert await standing(bench) is Standing.STAGED


KILLS = 400 if os.environ.get("SHELTIE_SOAK") else 12


@pytest.mark.slow
async def test_killed_at_random_moments(bench: Bench) -> None:
    """`kill -9` in prepare and activate: what runs boots, or a whole new one; a retry works."""
    chance = random.Random(6)  # noqa: S311  moments, not secrets
    argv = [sys.executable, "-m", "tests.host.update.whole", str(bench.place), bench.server.url]
    whole = [served(bench, "root").read_bytes(), served(bench, "efi").read_bytes()]
    started = time.monotonic()
    await prepared(bench)
    await asyncio.to_thread(bench.forget)
    span = time.monotonic() - started
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begin\n"
        await asyncio.sleep(chance.random() * span)
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            process.send_signal(signal.SIGKILL)
        await process.wait()
        seen = await standing(bench)
        if seen is Standing.NEXT:
            assert [slot(bench), bench.uki("sheltie_1.1.0+3-0.efi").read_bytes()] == whole
            await bench.engine().deactivate()
            shutil.rmtree(bench.place / "esp/EFI/sheltie")
            await asyncio.to_thread(bench.forget)
        elif seen is Standing.STAGED:
            await asyncio.to_thread(bench.forget)
    await prepared(bench)
    await bench.engine().activate(NEW)

    assert [slot(bench), bench.uki("sheltie_1.1.0+3-0.efi").read_bytes()] == whole
    assert bench.esp() == [RUNNING_UKI, ACTIVATED_UKI]
