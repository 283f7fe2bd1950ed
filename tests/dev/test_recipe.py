"""What an image is named by: the content that its Dockerfile copies, and nothing else."""

import os
from pathlib import Path

import pytest

from dev import recipe

DOCKERFILE = """\
ARG BASE=debian
FROM ${BASE} AS build
COPY room/list room/tool part/
COPY --chmod=0755 \\
    room room
FROM scratch
COPY --from=build /out /
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a small clone with a Dockerfile and one room."""
    room = tmp_path / "clone" / "room"
    room.mkdir(parents=True)
    (room / "list").write_text("a")
    (room / "tool").write_text("b")
    (room / "tool").chmod(0o755)
    (room / "link").symlink_to("tool")
    (room.parent / "Dockerfile.x").write_text(DOCKERFILE)
    (room.parent / ".dockerignore").write_text("*\n!room\n")
    return room.parent


def test_sources_are_what_the_context_gives() -> None:
    """Continued lines and flags are understood; copies between stages are none of the context."""
    assert recipe.copied(DOCKERFILE) == ["room/list", "room/tool", "room"]


def test_what_does_not_count(clone: Path) -> None:
    """Bytecode, times, permissions beyond the x bit and files outside leave the name alone."""
    name = recipe.digest(clone, clone / "Dockerfile.x")
    (clone / "room" / "__pycache__").mkdir()
    (clone / "room" / "__pycache__" / "x.pyc").write_text("x")
    (clone / "other").write_text("x")
    (clone / "room" / "list").chmod(0o600)
    os.utime(clone / "room" / "list", (1, 1))

    assert recipe.digest(clone, clone / "Dockerfile.x") == name


def test_what_counts(clone: Path) -> None:
    """Content, names, x bits, targets of links, the Dockerfile and the extra words all count."""
    dockerfile = clone / "Dockerfile.x"
    names = [recipe.digest(clone, dockerfile), recipe.digest(clone, dockerfile, "word")]
    (clone / "room" / "list").write_text("changed")
    names.append(recipe.digest(clone, dockerfile))
    (clone / "room" / "list").rename(clone / "room" / "lost")
    (clone / "room" / "list").write_text("")
    names.append(recipe.digest(clone, dockerfile))
    (clone / "room" / "list").chmod(0o755)
    names.append(recipe.digest(clone, dockerfile))
    (clone / "room" / "link").unlink()
    (clone / "room" / "link").symlink_to("list")
    names.append(recipe.digest(clone, dockerfile))
    dockerfile.write_text(DOCKERFILE + "LABEL a=b\n")
    names.append(recipe.digest(clone, dockerfile))

    assert len(set(names)) == 7


def test_a_gathered_context_is_named_alike(clone: Path, tmp_path: Path) -> None:
    """The copy that is built from has the same name as the clone, empty directories too."""
    (clone / "room" / "empty").mkdir()
    context = tmp_path / "context"
    recipe.gather(clone, clone / "Dockerfile.x", context)

    assert (context / "room" / "link").is_symlink()
    assert (context / ".dockerignore").exists()
    first = recipe.digest(clone, clone / "Dockerfile.x")
    assert recipe.digest(context, context / "Dockerfile.x") == first
