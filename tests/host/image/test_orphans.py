"""What a killed daemon left at work is ended, and nothing else is."""

import subprocess
from pathlib import Path

from host.image import orphans


def test_only_what_works_in_there_is_ended(tmp_path: Path) -> None:
    """A process in the directory or below; one beside it, whose name begins alike, goes on."""
    places = [tmp_path / name for name in ("left", "left/deeper", "left-alone")]
    for place in places:
        place.mkdir()
    processes = [subprocess.Popen(["sleep", "60"], cwd=place) for place in places]
    try:
        orphans.end(tmp_path / "left")

        assert [process.poll() for process in processes] == [-9, -9, None]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_nobody_there_is_fine(tmp_path: Path) -> None:
    """There is nothing to end."""
    orphans.end(tmp_path)
