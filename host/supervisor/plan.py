"""From what is wanted and what there is to the steps in between. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from host.desired import Desired

__all__ = [
    "Actual",
    "Clean",
    "Spec",
    "Start",
    "Step",
    "Stop",
    "WriteCertificates",
    "WriteUserData",
    "plan",
    "spec_of",
]


@dataclass(frozen=True, slots=True)
class Spec:
    """What makes a container restart when it changes; user-data is no part of it."""

    source: str
    superpowered: bool
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Actual:
    """What there is: `running` is what the running container was made of, None without one.

    `user_data` is the file's content, None without a readable one; `certificates` are what the
    running container was told of, None when nobody knows. `dirty` when a former run may
    have left something. `held` while the next attempt waits for its time. `stale` when it is to be
    started anew whatever it is made of.
    """

    running: Spec | None = None
    user_data: bytes | None = None
    dirty: bool = False
    held: bool = False
    certificates: bytes | None = b""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class WriteUserData:
    """Write the file; nothing restarts."""

    data: bytes

    def __str__(self) -> str:
        return f"write {len(self.data)} bytes of user-data"


@dataclass(frozen=True, slots=True)
class WriteCertificates:
    """Write the running container's bundle; nothing restarts."""

    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"write {len(self.data)} bytes of certificates"


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the container and remove what it used; its persistent directory stays."""

    why: str

    def __str__(self) -> str:
        return f"stop: {self.why}"


@dataclass(frozen=True, slots=True)
class Clean:
    """Remove what a former run left."""

    def __str__(self) -> str:
        return "clean up"


@dataclass(frozen=True, slots=True)
class Start:
    """Start the container anew from its image."""

    spec: Spec
    certificates: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        power = "superpowered" if self.spec.superpowered else "unprivileged"
        return f"start {power} from {self.spec.source or 'no source'}"


Step = WriteUserData | WriteCertificates | Stop | Clean | Start


def plan(desired: Desired, actual: Actual) -> Sequence[Step]:
    """Return the steps that make `actual` like `desired`; none where it is."""
    steps: list[Step] = []
    wanted = spec_of(desired) if desired.enabled else None
    stays = actual.running is not None and actual.running == wanted and not actual.stale
    if actual.running is not None and not stays:
        steps.append(Stop(_why(actual.running, wanted)))
    # After the stop, which must not fail for a file that cannot be written; before the start.
    if desired.user_data is not None and desired.user_data != actual.user_data:
        steps.append(WriteUserData(desired.user_data))
    if stays:
        if desired.certificates != actual.certificates:
            steps.append(WriteCertificates(desired.certificates))
        return steps
    if actual.held:
        return steps
    if wanted is not None:
        steps.append(Start(wanted, desired.certificates))
    elif actual.dirty and actual.running is None:
        steps.append(Clean())
    return steps


def spec_of(desired: Desired) -> Spec:
    """Return what the container is to be made of."""
    return Spec(desired.source or "", desired.superpowered, desired.command, desired.environment)


def _why(running: Spec, wanted: Spec | None) -> str:
    if wanted is None:
        return "disabled"
    changed = [
        name
        for name in ("source", "superpowered", "command", "environment")
        if getattr(running, name) != getattr(wanted, name)
    ]
    return f"{' and '.join(changed)} changed" if changed else "written to"
