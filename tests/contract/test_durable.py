"""Reading files that somebody else puts there."""

import errno
import os
from pathlib import Path

import pytest

from contract.durable import read_file
from contract.errors import UsageError


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """As many bytes as the limit are read, one more is an error."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert read_file(path, 5) == b"12345"
    with pytest.raises(UsageError, match="larger than 4 bytes"):
        read_file(path, 4)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe without a writer, a device, a directory, a link: an error, and no waiting."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    cases = {
        tmp_path / "pipe": errno.EINVAL,
        Path("/dev/zero"): errno.EINVAL,
        tmp_path: errno.EISDIR,
        tmp_path / "link": errno.ELOOP,
        tmp_path / "missing": errno.ENOENT,
    }
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are all that counts
    for path, number in cases.items():
        with pytest.raises(OSError, match=str(path)) as caught:
            read_file(path, 5)
        assert caught.value.errno == number

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
