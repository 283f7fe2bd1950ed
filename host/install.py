"""Putting the daemon among a systemd host's services, and taking it out again.

What is to be done is a list of steps that can be printed, and then taken; steps whose effect is
there already are left out, so that a second time does nothing. Nothing is started but on request.
"""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from contract.durable import read_file, write_file
from contract.errors import FailedError, MachineError, SheltieError

__all__ = ["UNIT", "Link", "Remove", "Run", "Step", "Target", "Write", "install", "uninstall"]

UNIT: Final = "hostd.service"
_LAUNCHER: Final = "/usr/bin/hostd"
_SOURCES: Final = Path(__file__).parent / "systemd"
_SIZE_MAX: Final = 1 << 20
_ETC: Final = "etc"
_VENDOR: Final = "usr/lib"


class Step(Protocol):
    """Something to do; its text says what."""

    def take(self) -> None:
        """Do it. Raises OSError, SheltieError."""

    @property
    def needed(self) -> bool:
        """Whether it would change anything."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file that everybody may read."""

    path: Path
    text: str

    @property
    def needed(self) -> bool:
        """Whether the file is another one."""
        try:
            return read_file(self.path, _SIZE_MAX) != self.text.encode()
        except (OSError, SheltieError):
            return True

    def take(self) -> None:
        """Write it."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_file(self.path, self.text.encode(), 0o644)

    def __str__(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class Link:
    """Make a symbolic link: that is how systemd knows what starts at boot."""

    path: Path
    target: str

    @property
    def needed(self) -> bool:
        """Whether something else is there, or nothing."""
        return not (self.path.is_symlink() and str(self.path.readlink()) == self.target)

    def take(self) -> None:
        """Make it."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.target)

    def __str__(self) -> str:
        return f"link {self.path} to {self.target}"


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file or a link."""

    path: Path

    @property
    def needed(self) -> bool:
        """Whether it is there."""
        return self.path.is_symlink() or self.path.exists()

    def take(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)

    def __str__(self) -> str:
        return f"remove {self.path}"


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program. Always needed: it knows itself what is to be done."""

    argv: tuple[str, ...]
    needed: bool = True

    def take(self) -> None:
        """Run it. Raises FailedError (INSTALL_FAILED)."""
        done = subprocess.run(self.argv, capture_output=True, text=True, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            why = words[-1] if words else f"exit status {done.returncode}"
            raise FailedError(f"`{' '.join(self.argv)}`: {why}", code="INSTALL_FAILED")

    def __str__(self) -> str:
        return f"run {' '.join(self.argv)}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: below `root`, in /etc or, as a `vendor`, in /usr/lib; `launcher` is ExecStart's."""

    root: Path = Path("/")
    vendor: bool = False
    launcher: str = _LAUNCHER

    @property
    def _base(self) -> Path:
        return self.root / (_VENDOR if self.vendor else _ETC)

    @property
    def _wants(self) -> Path:
        return self._base / "systemd/system/multi-user.target.wants" / UNIT

    def files(self) -> Iterator[Write]:
        """Yield what is installed."""
        unit = (_SOURCES / UNIT).read_text().replace(_LAUNCHER, self.launcher)
        yield Write(
            self._base / "sysusers.d/sheltie.conf", (_SOURCES / "sysusers.conf").read_text()
        )
        yield Write(
            self._base / "tmpfiles.d/sheltie.conf", (_SOURCES / "tmpfiles.conf").read_text()
        )
        yield Write(self._base / "systemd/system" / UNIT, unit)

    def link(self) -> Link:
        """Return what has the daemon started at boot."""
        return Link(self._wants, f"../{UNIT}")


def install(target: Target, *, now: bool = False) -> Sequence[Step]:
    """Return the steps that install, those that are needed; with `now` it is started, too."""
    steps: list[Step] = [*target.files(), target.link()]
    if now:
        steps += _runs(
            ("systemd-sysusers", "sheltie.conf"),
            ("systemd-tmpfiles", "--create", "sheltie.conf"),
            ("systemctl", "daemon-reload"),
            ("systemctl", "start", UNIT),
        )
    return _needed(target, steps)


def uninstall(target: Target, *, now: bool = False) -> Sequence[Step]:
    """Return the steps that take it out; with `now` the daemon and its containers end first."""
    steps: list[Step] = []
    if now:
        steps += _runs((*target.launcher.split(), "stop"), ("systemctl", "stop", UNIT))
    steps += [Remove(target.link().path), *(Remove(file.path) for file in target.files())]
    if now:
        steps += _runs(
            ("systemctl", "daemon-reload"),
        )
    return _needed(target, steps)


def _runs(*lines: tuple[str, ...]) -> Iterator[Run]:
    yield from map(Run, lines)


def _needed(target: Target, steps: Iterable[Step]) -> list[Step]:
    """Leave out what is so already. Raises MachineError (INSTALL_OUTSIDE)."""
    needed = [step for step in steps if step.needed]
    root = target.root.resolve()
    for step in needed:
        # A link in an image that leads to / would mean the machine's own.
        if isinstance(
            step, Write | Link | Remove
        ) and not step.path.parent.resolve().is_relative_to(root):
            raise MachineError(
                f"{step.path} lies outside {root}",
                hint="look where its directories are links to",
                code="INSTALL_OUTSIDE",
            )
    return needed
