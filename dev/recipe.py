"""What goes into an image: the files its Dockerfile copies, and a name made of their content."""

import fnmatch
import hashlib
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["copied", "digest", "files", "gather"]

IGNORED = ("__pycache__", "*.pyc")
"""What .dockerignore leaves out of a tree too."""


def copied(dockerfile: str) -> list[str]:
    """Return the sources of the COPY lines that read the build context, in their order."""
    joined = re.sub(r"\\\n", " ", dockerfile)
    found = []
    for line in joined.splitlines():
        words = line.split()
        if words[:1] != ["COPY"] or any(word.startswith("--from=") for word in words):
            continue
        found += [word for word in words[1:-1] if not word.startswith("--")]
    return list(dict.fromkeys(found))


def files(tree: Path) -> Iterator[Path]:
    """Yield the files and links of a tree, or the file itself, in a stable order."""
    if tree.is_symlink() or not tree.is_dir():
        yield tree
        return
    for path in sorted(tree.iterdir()):
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in IGNORED):
            yield from files(path)


def gather(clone: Path, dockerfile: Path, context: Path) -> None:
    """Copy what the Dockerfile needs to a build context, so that no edit changes it half-way."""
    for name in (dockerfile.name, ".dockerignore"):
        context.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clone / name, context / name)
    for source in copied(dockerfile.read_text()):
        if (clone / source).is_dir():
            (context / source).mkdir(parents=True, exist_ok=True)
        for path in files(clone / source):
            target = context / path.relative_to(clone)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)


def digest(clone: Path, dockerfile: Path, *extra: str) -> str:
    """Return a name for what the Dockerfile makes of this clone: paths, content, x bits.

    Times, owners and other permissions do not count; the Dockerfile sets them. Raises OSError.
    """
    text = dockerfile.read_text()
    sources = [clone / name for name in copied(text)]
    seen = hashlib.sha256()
    for part in (text, *extra):
        _add(seen, part.encode())
    for path in sorted({path for source in sources for path in files(source)}):
        executable = stat.S_IXUSR & path.lstat().st_mode
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        kind = "link" if path.is_symlink() else "program" if executable else "file"
        _add(seen, f"{kind} {path.relative_to(clone)}".encode())
        _add(seen, content)
    return seen.hexdigest()[:16]


def _add(seen: "hashlib._Hash", part: bytes) -> None:
    """Add a part with its length, so that no two lists of parts look alike."""
    seen.update(len(part).to_bytes(8, "big"))
    seen.update(part)
