"""The kernel's messages on devices: as it writes them, and as nobody does."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.system import uevent

MESSAGE = (
    b"change@/devices/virtual/block/dm-0\0ACTION=change\0DEVPATH=/devices/virtual/block/dm-0\0"
    b"SUBSYSTEM=block\0DM_VERITY_ERR_BLOCK_NR=0,15360\0MAJOR=253\0MINOR=0\0DEVNAME=dm-0\0"
)
NAMES = st.from_regex(r"[A-Z_]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)


def test_a_message_as_the_kernel_writes_it() -> None:
    """Its variables by name."""
    found = uevent.parse(MESSAGE)

    assert found is not None
    assert found["DM_VERITY_ERR_BLOCK_NR"] == "0,15360"
    assert (found["MAJOR"], found["MINOR"]) == ("253", "0")


@given(st.dictionaries(NAMES, VALUES))
def test_every_variable_comes_back(variables: Mapping[str, str]) -> None:
    """What is written as the kernel does is read as it was."""
    words = [f"{name}={value}".encode() for name, value in variables.items()]

    assert variables == uevent.parse(b"\0".join([b"add@/devices/x", *words]) + b"\0")


@given(st.binary(max_size=600))
def test_no_bytes_break_it(data: bytes) -> None:
    """Another's message is none; ours may hold anything."""
    found = uevent.parse(data)
    assert found is None or all(isinstance(part, str) for pair in found.items() for part in pair)


@pytest.mark.parametrize("data", [b"", b"libudev\0\xfe\xed\xca\xfe", b"change@x\0A=1", b"@/x\0A=1"])
def test_what_is_no_message_of_the_kernels(data: bytes) -> None:
    """Udev's own messages and rubbish are left alone."""
    assert uevent.parse(data) is None


@pytest.mark.privileged
async def test_a_message_is_heard() -> None:
    """First that nobody listened before; then the kernel's word on a device, asked for here."""
    trigger = Path("/sys/class/mem/null/uevent")
    messages = uevent.follow()
    try:
        async with asyncio.timeout(30):
            assert await anext(messages) is None
            trigger.write_text("change")  # noqa: ASYNC240  sysfs answers at once
            async for message in messages:
                if message is not None and message.get("DEVNAME") == "null":
                    break
    finally:
        await messages.aclose()

    assert (message or {})["ACTION"] == "change"
