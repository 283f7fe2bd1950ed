"""Whether what is to run is there: found as the container would, and only in its own tree."""

from pathlib import Path

import pytest

from contract.errors import FailedError
from host.image.program import check
from host.runtime.shape import ImageProcess


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with a shell, a script, a script without its interpreter, and odd things."""
    files = {
        "bin/sh": b"\x7fELF",
        "usr/sbin/start": b"#!/bin/sh\n",
        "usr/sbin/orphan": b"#! /usr/bin/python3 -I\n",
        "bin/data": b"",
        "opt/tool": b"\x7fELF",
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644 if name == "bin/data" else 0o755)
    (tmp_path / "bin/link").symlink_to("/usr/sbin/start")
    (tmp_path / "bin/outside").symlink_to("../../../../../../../../usr/bin/env")
    (tmp_path / "bin/loop").symlink_to("loop")
    return tmp_path


def process(*args: str, path: str = "/usr/sbin:/bin", cwd: str = "/") -> ImageProcess:
    """Return a process."""
    return ImageProcess(args, (f"PATH={path}",), cwd, {})


@pytest.mark.parametrize(
    "args", [["sh"], ["start"], ["/bin/link"], ["link"], ["/usr/../bin/sh"], ["./tool"]]
)
def test_what_is_there(tree: Path, args: list[str]) -> None:
    """By PATH, by links within the tree, and by the directory it runs in."""
    check("x", tree, process(*args, cwd="/opt"), ())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "names no program"),
        (["nowhere"], "has no program 'nowhere'"),
        (["tool"], "has no program 'tool'"),
        (["/bin"], "has no program '/bin'"),
        (["data"], "has no program 'data'"),
        (["loop"], "has no program 'loop'"),
        (["outside"], "has no program 'outside'"),
        (["\0"], "has no program"),
        (["orphan"], "has no /usr/bin/python3, which its program /usr/sbin/orphan needs"),
    ],
)
def test_what_is_not(tree: Path, args: list[str], words: str) -> None:
    """The error says which program, or what that one needs."""
    with pytest.raises(FailedError, match=words) as caught:
        check("x", tree, process(*args), ())
    assert caught.value.code == "IMAGE_INCOMPLETE"
    assert caught.value.hint


def test_the_settings_command_counts(tree: Path) -> None:
    """It stands for what the image says."""
    check("x", tree, process("nowhere"), ["sh"])
    with pytest.raises(FailedError):
        check("x", tree, process("sh"), ["nowhere"])


def test_what_is_mounted_need_not_be_there(tree: Path) -> None:
    """Programs of the host and of the persistent directory are not the image's."""
    check("x", tree, process("/.bottlerocket/rootfs/usr/bin/env"), ())
