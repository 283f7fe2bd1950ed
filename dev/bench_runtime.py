"""What a container's start costs: by the supervisor, beside conmon with the bare runtime.

`python -I -m dev.bench_runtime` measures in a stand-in host of its own. The two are interleaved, of
the same image and in the same shape; the ratio of their medians is what holds on other machines.
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from contract.errors import FailedError, SheltieError
from contract.status import ContainerState
from dev.standin import bring_down, bring_up
from host.desired import Desired
from host.image.access import RegistryAccess
from host.image.images import Images
from host.runtime import conmon, entry, programs, rootfs
from host.runtime.files import Files
from host.supervisor.supervisor import Supervisor

__all__ = ["Figures", "in_standin", "measure"]

CLONE = Path(__file__).resolve().parents[1]
ROUNDS = 21
NAME = "bench"
SECONDS = 300


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds; `ratio` is that of ours to the bare runtime's."""

    runtime: str
    ours: float
    bare: float
    bare_with_root: float

    @property
    def ratio(self) -> float:
        """How many times as long ours takes."""
        return self.ours / self.bare


async def measure(state: Path, run: Path, source: str, runtime: str, rounds: int) -> Figures:
    """Measure with image `source` on this host; nothing of it is left. Raises SheltieError.

    Ours is from the wish to RUNNING: image, root file system, configuration, files made durable.
    Bare is conmon's create and the runtime's start of a bundle that lies there ready; with its
    root, also the mounting of a fresh one.
    """
    supervisor = Supervisor(state, run, runtime, grace=0.1)
    await supervisor.start()
    files = Files(state, run, NAME)
    images = Images(state, run, RegistryAccess)
    wish = Desired(NAME, enabled=True, source=source, superpowered=True)
    ours, bare, with_root = [], [], []
    try:
        for _ in range(rounds):
            begun = time.perf_counter()
            await supervisor.apply({NAME: wish})
            await supervisor.settled()
            ours.append(time.perf_counter() - begun)
            _check(supervisor)
            # It is stopped, which leaves the bundle: all that the bare runtime needs but its root.
            await supervisor.apply({})
            await supervisor.settled()
            image = await images.get(source, container=NAME)
            begun = time.perf_counter()
            rootfs.mount(image.rootfs, files)
            mounted = time.perf_counter()
            _bare(files, entry.FACTS[runtime])
            bare.append(time.perf_counter() - mounted)
            with_root.append(time.perf_counter() - begun)
            await supervisor.apply({NAME: wish})
            await supervisor.settled()
            await supervisor.apply({})
            await supervisor.settled()
    finally:
        await supervisor.stop_all()
        await supervisor.close()
    return Figures(
        supervisor.runtime, *(statistics.median(one) * 1e3 for one in (ours, bare, with_root))
    )


def _check(supervisor: Supervisor) -> None:
    (status,) = supervisor.status()
    if status.state is not ContainerState.RUNNING:
        raise FailedError(f"the container does not run: {status.reason}", code="BENCH_FAILED")


def _bare(files: Files, facts: entry.Facts) -> None:
    """Start the bundle as one would by hand: conmon, its answer, `start`."""
    command = facts.command(files.run)
    read, write = os.pipe()
    environment = {**programs.ENVIRONMENT, "_OCI_SYNCPIPE": str(write)}
    argv = conmon.argv(programs.find("conmon"), command, files)
    with subprocess.Popen(argv, env=environment, pass_fds=(write,), cwd="/") as process:
        os.close(write)
        with os.fdopen(read) as answer:
            if json.loads(answer.readline()).get("data", -1) <= 0:
                raise FailedError("the bare container was not created", code="BENCH_FAILED")
        process.wait()
    subprocess.run([*command, "start", files.name], check=True, env=programs.ENVIRONMENT, cwd="/")


def in_standin(source: Path, runtime: str = "crun", rounds: int = ROUNDS) -> Figures:
    """Measure in a stand-in host, with the image layout `source`. Raises SheltieError."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Path(directory)
        record, state = place / "record.json", place / "state"
        state.mkdir()
        shutil.copytree(source, state / "layout")
        bring_up(record=record, binds=[CLONE], state=state, follow_parent=True)
        try:
            enter = [sys.executable, "-I", "-m", "dev.enter", "--record", str(record), "--"]
            words = [str(state), runtime, str(rounds)]
            done = subprocess.run(
                [*enter, sys.executable, "-I", "-m", "dev.bench_runtime", "inside", *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
        finally:
            bring_down(record)
        if done.returncode:
            why = done.stderr.strip().splitlines()
            raise FailedError(f"cannot measure: {why[-1] if why else ''}", code="BENCH_FAILED")
        return Figures(**json.loads(done.stdout))


def _inside(state: Path, runtime: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench", dir="/run") as run:
        work = measure(state, Path(run), f"oci:{state}/layout", runtime, rounds)
        print(json.dumps(asyncio.run(work).__dict__))


def main(arguments: list[str]) -> int:
    """Print the figures of each runtime; return the exit status."""
    try:
        match arguments:
            case ["inside", state, runtime, rounds]:
                _inside(Path(state), runtime, int(rounds))
            case [source]:
                for runtime in ("crun", "runc"):
                    found = in_standin(Path(source), runtime)
                    print(
                        f"start to running, {found.runtime}: {found.ours:.0f} ms, "
                        f"{found.ratio:.2f} x conmon with the bare runtime ({found.bare:.0f} ms; "
                        f"{found.bare_with_root:.0f} ms with a fresh root), goal <= 1.5 x"
                    )
            case _:
                print("usage: python -I -m dev.bench_runtime LAYOUT", file=sys.stderr)
                return 2
    except SheltieError as error:
        print(f"bench_runtime: {error.line()}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
