"""The container's start: it prepares, says what somebody should know, and never fails."""

import json
from pathlib import Path

import pytest

from control.boot import NO_AGENT, boot

pytestmark = pytest.mark.privileged


def test_without_user_data_nothing_is_said(tmp_path: Path) -> None:
    """Upstream's default: no user-data."""
    assert boot(tmp_path) == ()
    assert (tmp_path / "admin-keys").is_dir()


def test_ssm_gets_one_line(tmp_path: Path) -> None:
    """User-data for an agent that is not here: one clear line, no secret in it."""
    data = {"ssm": {"activation-id": "i", "activation-code": "secret", "region": "r"}}
    (tmp_path / "user-data").write_text(json.dumps(data))

    assert boot(tmp_path) == (NO_AGENT,)


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[]", b"7", b'{"ssm": 7}'])
def test_broken_user_data_is_said(tmp_path: Path, raw: bytes) -> None:
    """A typing error never stops the container."""
    (tmp_path / "user-data").write_bytes(raw)

    assert boot(tmp_path)
    assert not any("log in" in sentence for sentence in boot(tmp_path))


def test_user_data_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The persistent directory may be written by others: no symbolic link is followed."""
    (tmp_path / "user-data").symlink_to("/etc/shadow")

    (said,) = boot(tmp_path)
    assert "user-data cannot be read" in said
