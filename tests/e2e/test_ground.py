"""Ground on which the job cannot run: one line that says so, and nothing is left."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.somebody import somebody

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

CLONE = Path(__file__).resolve().parents[2]
ON_A_SMALL_DISK = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'


def play(*before: str, site: Path) -> "subprocess.CompletedProcess[str]":
    """Run the main job at `site` behind the words `before`."""
    argv = [*before, sys.executable, "-I", "-m", "dev", "run", "--site", str(site)]
    return subprocess.run(
        argv, cwd=CLONE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_without_root_it_is_one_line(tmp_path: Path) -> None:
    """Somebody who is not root is told to be."""
    done = play(*somebody(), site=tmp_path / "site")

    assert done.returncode == 6
    assert done.stderr == "make run: this needs root; use sudo [NOT_ROOT]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["64k", "100m"])
def test_a_full_disk_is_one_line(tmp_path: Path, size: str) -> None:
    """Where there is no room, the line names the place, and nothing runs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    enter = ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", size, str(disk)]
    done = play(*enter, site=disk / "site")

    assert done.returncode == 6, done.stderr
    assert done.stderr.count("\n") == 1
    assert "[NO_ROOM]" in done.stderr
    assert str(disk) in done.stderr


def test_a_site_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    """Something in the way is named."""
    (tmp_path / "site").write_text("in the way")
    done = play(site=tmp_path / "site")

    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "site") in done.stderr
