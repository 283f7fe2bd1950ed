"""Which image runs: told by a command line and small files, played here."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.status import SystemStatus
from host.system import image
from host.system.console import greeting

HASH = "ab" * 32
CMDLINE = f"quiet sheltie.image=sheltie_1.2.3-rc.1 roothash={HASH} console=ttyS0 flag\n"


def sources(tmp_path: Path, **texts: str) -> image.Sources:
    """Return sources with these texts; what is not named is not there."""
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    names = ("cmdline", "variables", "lockdown", "blessed", "data", "first_settings")
    return image.Sources(*(tmp_path / name for name in names))


def variables(tmp_path: Path, **values: bytes) -> None:
    """Set variables of the firmware; their attributes come first."""
    (tmp_path / "variables").mkdir()
    for name, value in values.items():
        vendor = image.FIRMWARE if name == "SecureBoot" else image.LOADER
        (tmp_path / "variables" / f"{name}-{vendor}").write_bytes(b"\6\0\0\0" + value)


def test_another_host_is_no_image_of_ours(tmp_path: Path) -> None:
    """Without our words on the command line, or without one at all, there is nothing to tell."""
    assert image.read(sources(tmp_path)) is None
    assert image.read(sources(tmp_path, cmdline="root=/dev/sda1 ro\n")) is None
    assert image.problems(None) == []


def test_the_slot_and_its_root_hash(tmp_path: Path) -> None:
    """The label, the version in it, the root hash, and where first settings came from."""
    record = '{"version": 1, "image": {"from": "image", "sha256": "", "at": "2026-01-01"}}'
    found = image.read(sources(tmp_path, cmdline=CMDLINE, data="ok\n", first_settings=record))

    assert found == SystemStatus(
        "sheltie_1.2.3-rc.1",
        "1.2.3-rc.1",
        HASH,
        data="ok",
        first_settings="image at 2026-01-01",
    )
    assert image.problems(found) == []


@pytest.mark.parametrize("data", ["there is no data partition\n", ""])
def test_a_lost_data_partition_is_a_problem(tmp_path: Path, data: str) -> None:
    """What the boot said of it is in the problems; silence is one too."""
    found = image.read(sources(tmp_path, cmdline=CMDLINE, data=data))
    (sentence,) = image.problems(found)

    assert sentence
    assert data.strip() in sentence


@pytest.mark.parametrize("record", ["{", "[]", '{"image": {"from": 1}}', '{"image": {}}'])
def test_a_broken_record_does_not_stop_status(tmp_path: Path, record: str) -> None:
    """A record that nobody can read is said to be one."""
    found = image.read(sources(tmp_path, cmdline=CMDLINE, data="ok", first_settings=record))

    assert found is not None
    assert "cannot be read" in found.first_settings


def test_the_last_word_of_a_name_counts() -> None:
    """As systemd and the kernel read a command line."""
    assert image.words("a=1 b a=2 c=x=y") == {"a": "2", "c": "x=y"}


def test_the_console_says_which_image_it_is() -> None:
    """Slot and root hash on an image of ours; nothing of them elsewhere."""
    told = greeting(SystemStatus("sheltie_1.0.0", "1.0.0", HASH))

    assert f"image sheltie_1.0.0, root hash {HASH}\n" in told
    assert "root hash" not in greeting(None)
    assert "Nobody logs in here" in greeting(None)


@pytest.mark.parametrize(("value", "on"), [(b"\1", True), (b"\0", False), (b"", None)])
def test_secure_boot_and_lockdown(tmp_path: Path, value: bytes, on: bool | None) -> None:
    """The firmware's and the kernel's own word; None where there is none."""
    variables(tmp_path, SecureBoot=value)
    found = image.read(sources(tmp_path, cmdline=CMDLINE, lockdown="none [integrity] x\n"))

    assert found is not None
    assert (found.secure_boot, found.lockdown) == (on, "integrity")


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("\\EFI\\Linux\\sheltie_2.0.0+2-1.efi", 2),
        ("\\EFI\\Linux\\sheltie_2.0.0+3.efi", 3),
        ("\\EFI\\Linux\\sheltie_2.0.0-1+b.efi", None),
    ],
)
def test_attempts_left_until_it_is_good(tmp_path: Path, path: str, left: int | None) -> None:
    """What the loader counted, until this boot is blessed."""
    variables(tmp_path, LoaderBootCountPath=f"{path}\0".encode("utf-16-le"))
    seen = sources(tmp_path, cmdline=CMDLINE)
    on_trial = image.read(seen)
    seen.blessed.touch()
    good = image.read(seen)

    assert on_trial is not None
    assert good is not None
    assert (on_trial.attempts_left, good.attempts_left) == (left, None)


@given(st.binary(max_size=200))
def test_no_variable_breaks_it(value: bytes) -> None:
    """Whatever a firmware holds there."""
    found = image.attempts_left(value)
    assert found is None or 0 <= found <= 999
