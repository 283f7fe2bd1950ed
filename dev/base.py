"""The local base image: a Debian 13 of the same kind as the public slim one, from packages.

Where no image registry is in reach, mmdebstrap makes it from the machine's own Debian mirror. It
lies in the cache under a name made of its recipe.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import MachineError, SheltieError
from dev.site import CLONE, cache
from dev.steps import Steps
from dev.workshop import Report, Workshop, alone, need_programs, need_room, need_root

__all__ = ["SUITE", "build", "key", "mirrors", "path"]

SUITE = "trixie"
ROOM_NEEDED = 600 * 2**20
RECIPE = (
    "--variant=minbase",
    "--mode=root",
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Install-Recommends "false"',
    # What the public slim image leaves out; its licences stay, as there.
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/groff/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/lintian/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=force-unsafe-io",
)
# Of each target of the machine's sources, tab-separated (apt-get(8), indextargets).
FIELDS = "$(REPO_URI)\t$(RELEASE)\t$(ORIGIN)\t$(LABEL)\t$(COMPONENT)"
KEYRINGS = Path("/usr/share/keyrings")


def key() -> str:
    """Return the name of what the recipe makes here."""
    recipe = json.dumps([SUITE, platform.machine(), RECIPE])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def path() -> Path:
    """Return where the tarball lies, or will."""
    return cache() / f"base-{key()}.tar"


def build(report: Report, *, force: bool = False) -> Path:
    """Make the tarball unless it is there; return its path. Raises MachineError, FailedError."""
    target = path()
    if target.exists() and not force:
        return target
    need_root()
    need_programs("mmdebstrap", "apt-get")
    cache().mkdir(parents=True, exist_ok=True)
    with alone(cache() / "base.lock", report):
        if force or not target.exists():  # another one may have made it while we waited
            _make(target, report)
    return target


def _make(target: Path, report: Report) -> None:
    need_room(cache(), ROOM_NEEDED)
    work = cache() / ".base"
    shutil.rmtree(work, ignore_errors=True)  # of one that was killed
    work.mkdir()
    try:
        sources = lines(mirrors(targets()))
        made = work / "base.tar"
        argv = ["mmdebstrap", *RECIPE, *keyrings(), SUITE, str(made), *sources]
        env = {"TMPDIR": str(work), **apt_proxy()}
        with Workshop.opened(work / "room", [cache(), CLONE]) as workshop:
            workshop.run(argv, hear=_hear(report), env=env, what="the local base")
        made.rename(target)
    finally:
        shutil.rmtree(work)


def targets() -> str:
    """Return apt's own account of the machine's package sources. Raises MachineError."""
    argv = ["apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
        raise MachineError(f"apt's sources: {said}", hint="mend them first", code="NO_MIRROR")
    return done.stdout


def mirrors(account: str) -> tuple[str, str]:
    """Return the addresses of the Debian archive and of its security archive ("" for none).

    `account` has a line of FIELDS for each target. SHELTIE_MIRROR in the environment goes before
    it. Raises MachineError when there is no Debian in it.
    """
    given = os.environ.get("SHELTIE_MIRROR", "")
    archive, security = given, ""
    for line in account.splitlines():
        address, release, origin, label, component = (*line.split("\t"), "", "", "", "")[:5]
        # Before the first update apt knows neither origin nor label.
        if component != "main" or origin not in {"Debian", ""}:
            continue
        if label == "Debian-Security" or release.endswith("-security"):
            security = security or address
        elif label in {"Debian", ""} and not given:
            archive = archive or address
    if not archive:
        raise MachineError(
            "this machine's package sources name no Debian mirror",
            hint="set SHELTIE_MIRROR to the address of one",
            code="NO_MIRROR",
        )
    return archive, security


def lines(found: tuple[str, str]) -> list[str]:
    """Return the lines of sources.list(5) for the suite."""
    archive, security = found
    wanted = [f"deb {archive} {SUITE} main", f"deb {archive} {SUITE}-updates main"]
    return wanted + ([f"deb {security} {SUITE}-security main"] if security else [])


def keyrings() -> list[str]:
    """Return the options for Debian's keys only, not for others that the machine trusts too.

    Debian 12 has them as .gpg, Debian 13 as .pgp; `…-keyring` holds those of all releases.
    """
    # Where both are, one is a link to the other.
    for suffix in (".gpg", ".pgp"):
        wanted = (f"debian-archive-{SUITE}-*{suffix}", f"debian-archive-keyring{suffix}")
        files = [file for name in wanted for file in sorted(KEYRINGS.glob(name))]
        if files:
            return [f"--keyring={file}" for file in files]
    raise MachineError(
        f"{KEYRINGS} holds no keys of Debian's archive",
        hint="install debian-archive-keyring",
        code="NO_KEYRING",
    )


def apt_proxy() -> dict[str, str]:
    """Return apt's own proxy as an environment, for apt inside of builds."""
    argv = ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    value = done.stdout.strip().removeprefix("PROXY=").strip("'\"")
    return {"http_proxy": value} if value and value != "DIRECT" else {}


def _hear(report: Report) -> Report:
    def hear(line: str) -> None:
        if line.startswith("I: "):
            report(line.removeprefix("I: "))

    return hear


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the base and print where it lies; return the exit status."""
    parser = argparse.ArgumentParser(prog="dev.base", description="Make the local base image.")
    parser.add_argument("--force", action="store_true", help="make it anew, with today's packages")
    options = parser.parse_args(arguments)
    try:
        with Steps(sys.stderr).step(f"the local base: Debian {SUITE}") as note:
            made = build(note.update, force=options.force)
            note.text = f"{made.stat().st_size // 10**6} MB"
    except SheltieError as error:
        print(f"dev.base: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("dev.base: interrupted; nothing is left half done", file=sys.stderr)
        return 130
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
