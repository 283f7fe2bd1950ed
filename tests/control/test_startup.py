"""Start-up: what a command does not need is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
HEAVY = {"asyncio", "h11", "http", "msgspec", "pydantic", "rich", "wsproto"}
SCRIPT = """
import sys
sys.path.insert(0, {clone!r})
sys.argv = {argv!r}
from control.__main__ import main
status = main()
print(*sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize(
    "argv",
    [
        ["control", "--version"],
        ["control", "--help"],
        ["enable-admin-container", "--help"],
        ["control", "update", "--help"],
    ],
)
def test_help_and_version_import_nothing_heavy(argv: list[str]) -> None:
    """`--help` costs the parser alone."""
    script = SCRIPT.format(clone=str(CLONE), argv=argv)
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not HEAVY & set(done.stderr.split())
