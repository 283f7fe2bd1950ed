"""Updates as the API orders them: one command at a time, answered before it is done."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from contract import durable, settings
from contract.errors import ConflictError, FailedError, NotFoundError, SheltieError
from contract.event import Event, UpdateEnded, UpdateFailed, cut
from contract.update import (
    Command,
    CommandResult,
    CommandStatus,
    UpdateImage,
    UpdateState,
    UpdateStatus,
)
from contract.updatereport import SetAside, UpdateReport, Working
from host.logline import event
from host.update import machine
from host.update.choice import Offer, offer
from host.update.seam import Engine, Other, Progress, Slots, Standing

__all__ = ["Updates"]

FILE_MAX: Final = 1 << 20
VERSION: Final = 1

_log = logging.getLogger("host.update")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    status: UpdateStatus
    told: list[str] = []  # failed versions that the audit has


class Updates:
    """The verbs on an engine. `wish` gives the settings of the moment.

    `file` keeps how the last command ended, and what was found; what really is, the engine tells.
    """

    def __init__(
        self,
        engine: Engine,
        wish: Callable[[], settings.Updates] = settings.Updates,
        file: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        note: Callable[[Event], object] = lambda _event: None,
    ) -> None:
        self._note = note
        self._engine, self._wish, self._file, self._now = engine, wish, file, now
        kept = None if file is None else _load(file)
        self._status: UpdateStatus | None = kept.status if kept else None
        self._told = kept.told if kept else []
        self._busy = False
        self._work: asyncio.Task[None] | None = None
        self._command: Command | None = None
        self._progress = Progress()
        self.problems: list[str] = []

    def status(self) -> UpdateStatus:
        """Return the status.

        Raises LockedError while a command is at work, NotFoundError (UPDATE_UNKNOWN) before one.
        """
        if self._busy:
            why = "Unable to obtain shared lock for reading update status: a command is at work"
            raise machine.LockedError(why)
        if self._status is None:
            raise NotFoundError(
                "Update status is uninitialized, refresh-updates to initialize it",
                code="UPDATE_UNKNOWN",
            )
        return self._status

    async def begin(self) -> None:
        """Find out how things stand after a start of the daemon, or of the host.

        Until then the lock is held: what was kept may be of another boot.
        """
        self._busy = True
        try:
            self._begin(await self._seen())
        except SheltieError as error:
            _log.error(event("update-unknown", why=error.line()))
            self.problems = [f"how updates stand is not known: {error.message}"]
        finally:
            self._busy = False

    def _begin(self, slots: Slots) -> None:
        known = machine.found(self._status or UpdateStatus(), slots, at_start=True)
        failed = [one for one in slots.others if _failed(one)]
        for one in failed:
            if one.image.version not in self._told:
                self._note(UpdateFailed(one.image.version, cut(one.why)))
        self._told = [one.image.version for one in failed]
        if failed or self._status is not None or known.update_state is not UpdateState.IDLE:
            self._keep(known)

    async def rollback(self) -> UpdateImage:
        """Let the next boot be into the image that ran before, and return that.

        Raises LockedError, ConflictError (UPDATE_NOT_ALLOWED), NotFoundError (UPDATE_NO_OTHER), and
        what the engine raises.
        """
        if self._busy:
            raise machine.LockedError("Update lock held")
        self._busy = True
        try:
            slots = await self._slots()
            if following := slots.version(Standing.NEXT):
                raise ConflictError(
                    f"the next boot is into {following.version} already",
                    hint="cancel that first: apiclient update cancel",
                    code="UPDATE_NOT_ALLOWED",
                )
            former = slots.version(Standing.OLD)
            if former is None:
                raise NotFoundError(
                    "there is no other version to go back to", code="UPDATE_NO_OTHER"
                )
            await self._engine.activate(former)
            self._note(UpdateEnded("rollback", CommandStatus.SUCCESS, former.version))
            known = machine.found(self._status or UpdateStatus(), await self._slots())
            self._keep(known)
            _log.info(event("update", do="rollback", to=former.version))
            return former
        finally:
            self._busy = False

    async def order(self, command: Command) -> None:
        """Begin a command and return; `status` tells how it ended.

        Raises LockedError, what `machine.begin` raises, and FailedError (UPDATE_FAILED).
        """
        if self._busy:
            raise machine.LockedError("Update lock held")
        self._busy = True
        try:
            known = machine.found(self._status or UpdateStatus(), await self._slots())
            self._keep(known)
            self._keep(machine.begin(known, command))
            self._work = asyncio.create_task(self._do(command))
        except BaseException:
            self._busy = False
            raise

    async def settled(self) -> None:
        """Return once no command is at work."""
        if self._work is not None:
            await asyncio.wait({self._work})

    async def close(self) -> None:
        """Break off what is at work; what boots next stays as it was."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})

    async def report(self) -> UpdateReport:
        """Return how everything stands, also while a command is at work. Raises FailedError."""
        slots = await self._slots()
        following = slots.version(Standing.NEXT) or slots.running
        former, prepared = slots.version(Standing.OLD), slots.version(Standing.STAGED)
        working = None
        if self._command is not None:
            far = self._progress
            working = Working(self._command, far.file, far.done, far.total)
        return UpdateReport(
            running=slots.running,
            proven=slots.proven,
            next=following.version,
            previous=former.version if former else "",
            prepared=prepared.version if prepared else "",
            set_aside=[
                SetAside(one.image.version, one.why, one.at, one.requested)
                for one in slots.others
                if one.standing is Standing.SET_ASIDE
            ],
            working=working,
            status=self._status,
        )

    async def _seen(self) -> Slots:
        slots = await self._engine.slots()
        self.problems = [
            f"version {one.image.version} failed and was given up: {one.why}"
            for one in slots.others
            if _failed(one)
        ]
        return slots

    async def _slots(self) -> Slots:
        try:
            return await self._seen()
        except SheltieError as error:
            raise FailedError(
                f"Update dispatcher failed: {error.line()}", code="UPDATE_FAILED"
            ) from error

    async def _do(self, command: Command) -> None:
        status = self._status or UpdateStatus()
        self._command, self._progress = command, Progress()
        try:
            found, why = await self._try(status, command)
            outcome = CommandStatus.FAILED if why else CommandStatus.SUCCESS
            result = CommandResult(command, outcome, self._timestamp(), int(bool(why)), why)
            _log.info(event("update", do=command, result=outcome, why=why or "-"))
            self._note(UpdateEnded(command, outcome, _version(status, command), cut(why)))
            if command is Command.ACTIVATE and not why:  # it is tried: a failure is news again
                self._told = []
            self._keep(machine.end(status, result, found))
        finally:
            self._busy, self._command = False, None

    async def _try(self, status: UpdateStatus, command: Command) -> tuple[Offer | None, str]:
        """Return what was found, and what went wrong in one line."""
        try:
            return await self._ask(status, command), ""
        except SheltieError as error:
            return None, error.line()
        except Exception:  # noqa: BLE001  a defect of an engine fails its command, not the daemon
            _log.exception(event("defect", where="update", do=command))
            return None, "internal error, see the daemon's log"

    async def _ask(self, status: UpdateStatus, command: Command) -> Offer | None:
        match command, status.chosen_update, status.staging_partition:
            case Command.REFRESH, _, _:
                wish = self._wish()
                running = (await self._engine.slots()).running
                return offer(await self._engine.available(wish), running, wish.version_lock)
            case Command.PREPARE, image, _ if image is not None:
                await self._engine.prepare(image, self._wish(), self._progress)
            case Command.ACTIVATE, _, staged if staged is not None:
                await self._engine.activate(staged.image)
            case Command.DEACTIVATE, _, _:
                await self._engine.deactivate()
        return None

    def _timestamp(self) -> str:
        """Return the time, never twice the same: clients wait until it differs."""
        now = self._now()
        last = self._status.most_recent_command if self._status else None
        if last is not None and last.timestamp == _rfc3339(now):
            now += timedelta(microseconds=1)
        return _rfc3339(now)

    def _keep(self, status: UpdateStatus) -> None:
        self._status = status
        if self._file is None:
            return
        try:
            durable.write_file(self._file, msgspec.json.encode(_File(VERSION, status, self._told)))
        except OSError as error:
            # Only a restart of the daemon would miss it.
            _log.error(event("unwritable", file=self._file, why=error.strerror))


def _failed(one: Other) -> bool:
    return one.standing is Standing.SET_ASIDE and not one.requested


def _version(status: UpdateStatus, command: Command) -> str:
    """Return the version that a command is about; that of a refresh is not known before."""
    staged = status.staging_partition
    image = status.chosen_update if command is Command.PREPARE else staged and staged.image
    return image.version if image and command is not Command.REFRESH else ""


def _load(file: Path) -> _File | None:
    """Return the status that another daemon kept; a lost one is found again by a refresh."""
    try:
        kept = msgspec.json.decode(durable.read_file(file, FILE_MAX), type=_File)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, SheltieError) as error:
        _log.warning(event("unreadable", file=file, why=error))
        return None
    return kept if kept.version == VERSION else None


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
