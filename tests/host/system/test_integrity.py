"""The root's integrity: what the kernel says becomes state, problem and event, each block once."""

from contract.event import Event, ImageCorrupted
from host.system.integrity import BLOCKS_MAX, Integrity

ROOT = {"ACTION": "change", "MAJOR": "253", "MINOR": "0"}


def wrong(block: str, **changes: str) -> dict[str, str]:
    """Return the kernel's message on a block of the root."""
    return {**ROOT, "DM_VERITY_ERR_BLOCK_NR": block, **changes}


class Kernel:
    """A kernel that is asked for a device's state, and the audit that hears of it."""

    def __init__(self, state: str = "verified") -> None:
        self.state = state
        self.told: list[Event] = []
        self.integrity = Integrity("253:0", self.told.append, lambda _: self.state)


def test_all_is_well() -> None:
    """A verified root is said to be one, and nothing is told."""
    kernel = Kernel()
    kernel.integrity.look()

    assert (kernel.integrity.state, kernel.integrity.problems, kernel.told) == ("verified", [], [])


def test_a_wrong_block_is_told_once() -> None:
    """Each read of it makes the kernel say it again; the audit holds it once."""
    kernel = Kernel()
    kernel.integrity.look()
    for block in ("0,15360", "0,15360", "1,7"):
        kernel.integrity.hear(wrong(block))
    (problem,) = kernel.integrity.problems

    assert kernel.integrity.state == "corrupted"
    assert kernel.told == [ImageCorrupted("data", 15360), ImageCorrupted("hash", 7)]
    assert "data block 15360, hash block 7" in problem


def test_what_is_not_about_our_root_is_nothing() -> None:
    """Other devices, other words, and numbers that are none."""
    kernel = Kernel()
    kernel.integrity.look()
    for message in (ROOT, wrong("0,1", MINOR="1"), wrong("2,1"), wrong("0,-1"), wrong("0,²"), {}):
        kernel.integrity.hear(message)

    assert (kernel.integrity.state, kernel.told) == ("verified", [])


def test_what_was_found_before_is_told_at_the_start() -> None:
    """The state says it, without a block; hearing of one afterwards names it."""
    kernel = Kernel("corrupted")
    kernel.integrity.look()
    kernel.integrity.look()
    assert kernel.told == [ImageCorrupted()]
    kernel.integrity.hear(wrong("0,3"))

    assert kernel.told == [ImageCorrupted(), ImageCorrupted("data", 3)]


def test_a_kernel_that_cannot_be_asked_changes_nothing() -> None:
    """What was known stays."""
    kernel = Kernel()
    kernel.integrity.look()
    kernel.state = ""
    kernel.integrity.look()

    assert kernel.integrity.state == "verified"


def test_a_disk_that_is_all_wrong_does_not_fill_the_audit() -> None:
    """So many blocks are told, and no more."""
    kernel = Kernel()
    for block in range(3 * BLOCKS_MAX):
        kernel.integrity.hear(wrong(f"0,{block}"))

    assert len(kernel.told) == BLOCKS_MAX


async def test_a_root_without_verity_is_not_watched() -> None:
    """Nothing is listened to, and nothing is said."""
    told: list[Event] = []
    integrity = Integrity("", told.append, lambda _: "verified")
    await integrity.keep()

    assert (integrity.state, told) == ("", [])
