"""Which image runs: told by a command line and small files, played here."""

from pathlib import Path

import pytest

from contract.status import SystemStatus
from host.system import image
from host.system.console import greeting

HASH = "ab" * 32
CMDLINE = f"quiet sheltie.image=sheltie_1.2.3-rc.1 roothash={HASH} console=ttyS0 flag\n"


def sources(tmp_path: Path, **texts: str) -> image.Sources:
    """Return sources with these texts; what is not named is not there."""
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return image.Sources(tmp_path / "cmdline", tmp_path / "data", tmp_path / "first_settings")


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
        "sheltie_1.2.3-rc.1", "1.2.3-rc.1", HASH, "ok", "image at 2026-01-01"
    )
    assert image.problems(found) == []


@pytest.mark.parametrize("data", ["there is no data partition\n", ""])
def test_a_lost_data_partition_is_a_problem(tmp_path: Path, data: str) -> None:
    """What the boot said of it is in the problems; silence is one too."""
    found = image.read(sources(tmp_path, cmdline=CMDLINE, data=data))
    (sentence,) = image.problems(found)

    assert data.strip() in sentence
    assert "in memory" in sentence


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
    told = greeting(SystemStatus("sheltie_1.0.0", "1.0.0", HASH, "ok"))

    assert f"image sheltie_1.0.0, root hash {HASH}\n" in told
    assert "root hash" not in greeting(None)
    assert "Nobody logs in here" in greeting(None)
