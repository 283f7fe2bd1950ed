"""The host image's packages: resolved into a lock of versions and digests, fetched by it, unpacked.

`python -I -m dev.hostpackages` resolves images/host/packages anew with apt, which judges the
archive's signatures, and writes packages.lock. A build takes exactly what the lock names: out of
the cache, which goes by digest, or from the mirror.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.durable import write_file
from contract.errors import FailedError, MachineError, SheltieError, UsageError
from dev import base, hostcache
from dev.site import CLONE, cache
from dev.steps import Steps
from dev.workshop import NO_NETWORK, Report, failure, need_programs

__all__ = ["LOCK", "Package", "fetch", "key", "read", "resolve", "unpack"]

WANTED = CLONE / "images/host/packages"
LOCK = CLONE / "images/host/packages.lock"
ARCHITECTURE = "amd64"
SECURITY = "pool/updates/"
"""How the security archive's paths begin, and no other's."""
APT_HELPER = "/usr/lib/apt/apt-helper"
FETCHED_AT_ONCE = 40
GONE = re.compile(r"\b404\b|not found|hash sum mismatch", re.IGNORECASE)
HEAD = "# Made by `make host-lock` from images/host/packages: SECTION NAME VERSION SHA256 PATH\n"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package of a section, `tools` or `root`; `path` is where an archive has it."""

    section: str
    name: str
    version: str
    sha256: str
    path: str

    def __str__(self) -> str:
        return f"{self.section} {self.name} {self.version} {self.sha256} {self.path}"


def read(section: str, lock: Path = LOCK) -> list[Package]:
    """Return the packages of a section as they are locked. Raises UsageError (LOCK_BROKEN)."""
    found = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        words = line.split()
        if line.startswith("#") or not words:
            continue
        if len(words) != len(Package.__slots__):
            raise UsageError(
                f"{lock}:{number} is no line of a lock", hint="make host-lock", code="LOCK_BROKEN"
            )
        found.append(Package(*words))
    return sorted(one for one in found if one.section == section)


def key(packages: Iterable[Package]) -> str:
    """Return a name made of exactly these packages."""
    text = "\n".join(map(str, sorted(packages)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fetch(packages: Sequence[Package], report: Report) -> list[Path]:
    """Bring the packages to the cache; return their files in the same order.

    Raises FailedError (PACKAGE_GONE) for what the mirror has no more, MachineError (NO_NETWORK).
    """
    place = cache() / "host/packages"
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{one.sha256}.deb" for one in packages]
    pairs = zip(packages, files, strict=True)
    missing = [pair for pair in pairs if not hostcache.take(pair[1])]
    if missing:
        need_programs("apt-get", APT_HELPER)
        archive, security = base.mirrors(base.targets())
        for start in range(0, len(missing), FETCHED_AT_ONCE):
            report(f"fetching {len(missing) - start} packages")
            _download(missing[start : start + FETCHED_AT_ONCE], archive, security)
    return files


def _download(pairs: Sequence[tuple[Package, Path]], archive: str, security: str) -> None:
    """Fetch through apt's own ways (its proxy too); a file gets its name once its digest is right.

    apt-helper leaves a file that failed beside the others, so each is looked at.
    """
    with TemporaryDirectory(dir=cache() / "host", prefix=".fetch-") as directory:
        words = []
        for one, file in pairs:
            mirror = security if one.path.startswith(SECURITY) else archive
            words += [f"{mirror.rstrip('/')}/{one.path}", f"{directory}/{file.name}"]
            words += [f"SHA256:{one.sha256}"]
        argv = [APT_HELPER, "-o", "APT::Sandbox::User=root", "download-file", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        for one, file in pairs:
            made = Path(directory, file.name)
            if made.exists() and _sha256(made) == one.sha256:
                made.rename(file)
            elif NO_NETWORK.search(done.stderr) and not GONE.search(done.stderr):
                raise failure(f"{one.name} {one.version}", done.stderr.splitlines())
            else:
                raise FailedError(
                    f"the mirror has no {one.name} {one.version} any more",
                    hint="resolve the packages anew with: make host-lock",
                    code="PACKAGE_GONE",
                )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(files: Sequence[Path], root: Path) -> None:
    """Unpack packages into a directory, in this order; none of their scripts runs.

    Raises FailedError, MachineError (NO_ROOM).
    """
    need_programs("dpkg-deb")
    root.mkdir(parents=True)
    for file in files:
        argv = ["dpkg-deb", "--extract", str(file), str(root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise failure(f"unpacking {file.name}", done.stderr.splitlines())


def resolve(report: Report, wanted: Path = WANTED) -> list[Package]:
    """Ask apt what the wanted packages come to today. Raises SheltieError."""
    need_programs("apt-get", "apt-cache")
    lines = [line.split() for line in wanted.read_text().splitlines()]
    pairs = [(words[0], words[1]) for words in lines if len(words) > 1 and words[0] != "#"]
    found: list[Package] = []
    with TemporaryDirectory(prefix="sheltie-apt-") as directory:
        apt = _Apt(Path(directory))
        report("asking the mirror")
        apt.run("apt-get", "update", "-q")
        for section in dict.fromkeys(section for section, _ in pairs):
            report(f"resolving {section}")
            names = [name for where, name in pairs if where == section]
            left_out = {name[1:] for name in names if name.startswith("-")}
            found += apt.resolve(section, [name for name in names if name[0] != "-"], left_out)
    return sorted(found)


class _Apt:
    """apt with everything of its own below a directory, and Debian's keys only."""

    def __init__(self, directory: Path) -> None:
        for name in ("etc/apt.conf.d", "etc/preferences.d", "lists/partial", "cache/archives"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        keys = ",".join(word.removeprefix("--keyring=") for word in base.keyrings())
        lines = base.lines(base.mirrors(base.targets()))
        signed = [line.replace("deb ", f"deb [signed-by={keys}] ", 1) for line in lines]
        (directory / "etc/sources.list").write_text("\n".join(signed) + "\n")
        settings = {
            "Dir::Etc": f"{directory}/etc",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": f"{directory}/lists",
            "Dir::State::status": f"{directory}/status",
            "Dir::Cache": f"{directory}/cache",
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        self._options = [part for pair in settings.items() for part in ("-o", "=".join(pair))]

    def run(self, program: str, *words: str) -> str:
        """Run it and return what it printed. Raises FailedError, MachineError."""
        argv = [program, *self._options, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise failure(f"{program} {words[0]}", done.stderr.splitlines())
        return done.stdout

    def resolve(self, section: str, names: list[str], left_out: set[str]) -> list[Package]:
        """Return what installing `names` on an empty system would bring."""
        printed = self.run("apt-get", "install", "-y", "--print-uris", *names)
        chosen = []
        for line in printed.splitlines():
            if line.startswith("'"):
                name, version, _ = line.split()[1].removesuffix(".deb").split("_")
                if name not in left_out:
                    chosen.append(f"{name}={version.replace('%3a', ':')}")
        shown = self.run("apt-cache", "show", *chosen)
        found = {}
        for record in shown.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line)
            name = fields["Package"]
            found[name] = Package(
                section, name, fields["Version"], fields["SHA256"], fields["Filename"]
            )
        if lacking := {one.partition("=")[0] for one in chosen} - found.keys():
            raise MachineError(f"apt shows no {min(lacking)}", code="LOCK_BROKEN")
        return list(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Resolve, and write the lock; return the exit status."""
    argparse.ArgumentParser(prog="make host-lock", description=__doc__).parse_args(arguments)
    try:
        with Steps(sys.stderr).step("resolve the host image's packages") as note:
            found = resolve(note.update)
            write_file(LOCK, (HEAD + "".join(f"{one}\n" for one in found)).encode())
            shutil.copymode(WANTED, LOCK)
            note.text = f"{len(found)} packages"
    except SheltieError as error:
        print(f"make host-lock: {error.line()}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
