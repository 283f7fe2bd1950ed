"""A fresh host's settings: the image's own, then what a credential or a labelled volume brings.

Each is applied once, and STATE/first-settings.json says which was, from where and when. Both are
documents of settings as `apiclient set -j` takes them. A credential (`sheltie.settings`,
systemd.exec(5)) goes before the volume: a file system labelled `SHELTIE` with a `settings.json`.
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from contract.apiclient.client import HostApi, merge
from contract.durable import read_file, write_file
from contract.errors import FailedError, SheltieError, UnavailableError
from contract.places import RUN, STATE
from host import logline
from host.logline import event
from host.runtime import kernel
from host.store.transactions import utc_now

__all__ = ["apply", "brought", "main"]

DEFAULTS: Final = Path("/usr/share/sheltie/defaults.json")
CREDENTIAL: Final = "sheltie.settings"
VOLUME: Final = Path("/dev/disk/by-label/SHELTIE")
NAME_ON_VOLUME: Final = "settings.json"
FILE_SYSTEMS: Final = ("vfat", "iso9660", "ext4")
SIZE_MAX: Final = 2 << 20
"""Bytes of a document: the API takes no larger one."""
PATIENCE_SECONDS: Final = 120.0
_STEP_SECONDS: Final = 0.2
_QUIET: Final = 1 | 2 | 4 | 8  # MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC: linux/mount.h

_log = logging.getLogger("host.system")


def main() -> int:
    """Apply what is there and was not applied; return the exit status."""
    logline.set_up()
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        found = brought(Path(credentials) if credentials else None, VOLUME)
        apply(HostApi(f"{RUN}/api/host/api.sock"), Path(STATE), DEFAULTS, found)
    except SheltieError as error:
        _log.error(event("first-settings", why=error.line()))
        return error.exit_status
    return 0


def brought(credentials: Path | None, volume: Path) -> tuple[str, bytes] | None:
    """Return where first settings come from, and what they are; None when nobody brings any.

    Raises FailedError (FIRST_SETTINGS) for a volume or a credential that cannot be read.
    """
    try:
        if credentials and (credentials / CREDENTIAL).exists():
            return f"credential {CREDENTIAL}", read_file(credentials / CREDENTIAL, SIZE_MAX)
        if volume.exists():
            with _mounted(volume) as place:
                return f"volume {volume.name}", read_file(place / NAME_ON_VOLUME, SIZE_MAX)
    except OSError as error:
        raise FailedError(
            f"the first settings cannot be read: {error}",
            hint=f"a volume {volume.name} holds them as {NAME_ON_VOLUME}",
            code="FIRST_SETTINGS",
        ) from error
    return None


def apply(api: HostApi, state: Path, defaults: Path, found: tuple[str, bytes] | None) -> list[str]:
    """Have the daemon take the settings that are new; return the names of what changed.

    Raises FailedError (FIRST_SETTINGS) for a document that is none, and what the API answers.
    """
    record = state / "first-settings.json"
    done = _read(record)
    documents: list[tuple[str, str, dict[str, Any]]] = []
    if not done:
        data = defaults.read_bytes()
        documents.append(("image", _digest(data), _parse("the image's settings", data)))
    if found and "brought" not in done:
        origin, data = found
        documents.append((origin, _digest(data), _parse(f"the settings of {origin}", data)))
    if not documents:
        return []
    together: dict[str, Any] = {}
    for _, _, document in documents:
        together = merge(together, document)
    _await(api)
    changed = api.set_document(together)
    for origin, digest, _ in documents:
        role = "image" if origin == "image" else "brought"
        done[role] = {"from": origin, "sha256": digest, "at": utc_now()}
        _log.info(event("first-settings", source=origin, sha256=digest))
    write_file(record, json.dumps({"version": 1, **done}).encode())
    return changed


def _read(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(read_file(record, SIZE_MAX))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FailedError(
            f"{record} cannot be read: {error}",
            hint="remove it to have the first settings applied again",
            code="FIRST_SETTINGS",
        ) from error
    return {key: value for key, value in known.items() if key != "version"}


def _parse(what: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FailedError(f"{what} are no JSON: {error}", code="FIRST_SETTINGS") from error
    if not isinstance(document, dict):
        raise FailedError(f"{what} are no JSON object", code="FIRST_SETTINGS")
    inner = document.get("settings", document)
    return inner if isinstance(inner, dict) else document


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _await(api: HostApi) -> None:
    """Wait until the daemon answers: it may just be starting. Raises UnavailableError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            api.read("/os")
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_STEP_SECONDS)
        else:
            return


@contextmanager
def _mounted(volume: Path) -> Iterator[Path]:
    """Mount a volume to be read, for the moment. Raises OSError."""
    place = Path(tempfile.mkdtemp(prefix="sheltie-"))
    try:
        _mount(volume, place)
        try:
            yield place
        finally:
            kernel.umount(str(place))
    finally:
        place.rmdir()


def _mount(volume: Path, place: Path) -> None:
    for number, kind in enumerate(FILE_SYSTEMS, 1):
        try:
            kernel.mount(str(volume), str(place), kind, _QUIET)
        except OSError:
            if number == len(FILE_SYSTEMS):
                raise
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
