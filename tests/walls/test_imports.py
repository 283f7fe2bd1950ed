"""The direction of imports, held by import-linter: the rules and their reasons are in pyproject."""

import subprocess
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]


def test_imports_point_one_way() -> None:
    """Every contract of pyproject's [tool.importlinter] is kept."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=CLONE, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout
