"""`hostd install` and `hostd uninstall`: the daemon as a service of a systemd host."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contract import places
from contract.errors import MachineError, UsageError

if TYPE_CHECKING:
    from host.install import Step, Target

__all__ = ["install", "uninstall"]

Root = Annotated[
    Path, typer.Option("--root", help="The host's root, or that of an image.", readable=False)
]
Vendor = Annotated[
    bool, typer.Option("--vendor", help="In /usr/lib, as images and packages have it, not in /etc.")
]
Launcher = Annotated[
    str | None,
    typer.Option("--launcher", help="How the unit calls hostd. [this very installation]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def install(
    root: Root = Path("/"),
    vendor: Vendor = False,
    launcher: Launcher = None,
    dry_run: DryRun = False,
    now: Annotated[bool, typer.Option("--now", help="Start it, too.")] = False,
) -> None:
    """Make hostd a service that starts at boot.

    Says what it does; a second time there is nothing to do. Starts nothing without --now.
    """
    from host import install as plan

    steps = plan.install(_target(root, vendor, launcher, now), now=now)
    _take(steps, dry_run=dry_run)
    if not now and root == Path("/"):
        typer.echo(f"next: systemctl daemon-reload; systemctl start {plan.UNIT}, or a reboot")


def uninstall(
    root: Root = Path("/"),
    vendor: Vendor = False,
    launcher: Launcher = None,
    dry_run: DryRun = False,
    now: Annotated[
        bool, typer.Option("--now", help="Stop the containers and the daemon first.")
    ] = False,
) -> None:
    """Take the service out. The state stays, and so does what runs unless --now is given."""
    from host import install as plan

    steps = plan.uninstall(_target(root, vendor, launcher, now), now=now)
    _take(steps, dry_run=dry_run)
    state = root / places.STATE.lstrip("/")
    typer.echo(f"stays: {state} (settings, images, audit); remove it by hand if you mean it")


def _target(root: Path, vendor: bool, launcher: str | None, now: bool) -> "Target":
    from host.install import Target

    if now and root != Path("/"):
        raise UsageError("--now is for the running host, and --root names another", code="ROOT_NOW")
    return Target(root, vendor, launcher or f"{sys.executable} -I -m host")


def _take(steps: "Sequence[Step]", *, dry_run: bool) -> None:
    for step in steps:
        typer.echo(f"would {step}" if dry_run else str(step))
        if dry_run:
            continue
        try:
            step.take()
        except OSError as error:
            what = f"cannot {step}: {error.strerror}"
            raise MachineError(what, hint="run it as root", code="INSTALL_FAILED") from error
    if not steps:
        typer.echo("nothing to do")
