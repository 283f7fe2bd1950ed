"""Containers by podman, in the very shapes that the other runtimes give them (podman-create(1)).

podman makes a configuration of its own from its options; a precreate hook (oci-hooks(5)) hands ours
to the OCI runtime instead. What podman adds is its book of containers: `podman ps` shows them.
Commands inside go straight to the OCI runtime: an exec of podman's cannot be ended from outside.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Final

from contract.durable import ensure_directory, write_file
from contract.errors import FailedError, SheltieError
from host.runtime import entry, logs, programs
from host.runtime.cgroups import Cgroups
from host.runtime.entry import Facts
from host.runtime.files import Files
from host.runtime.oci import OciRuntime

__all__ = ["PodmanRuntime"]

_SHOW: Final = "import sys; sys.stdout.write(open(sys.argv[1]).read())"


class PodmanRuntime(OciRuntime):
    """podman with an OCI runtime of `facts`, and with state of its own below RUN.

    Raises MachineError (PROGRAM_MISSING) when made.
    """

    def __init__(self, facts: Facts, run: Path, cgroups: Cgroups) -> None:
        super().__init__(facts, run, cgroups)
        place = run / "podman"
        self._podman = [
            programs.find("podman"),
            *("--root", str(place / "root"), "--runroot", str(place / "run")),
            *("--tmpdir", str(place / "tmp"), "--events-backend", "none"),
            # It stores no image of ours, and this driver alone mounts nothing.
            *("--storage-driver", "vfs"),
            *("--cgroup-manager", "cgroupfs", "--runtime", self.command[0]),
            *("--conmon", self._conmon),
        ]

    async def _make(self, files: Files) -> None:
        hooks = ensure_directory(files.scratch / "hooks")
        show = [sys.executable, "-I", "-S", "-c", _SHOW, str(files.config)]
        hook = {
            "version": "1.0.0",
            "hook": {"path": show[0], "args": show},
            "when": {"always": True},
            "stages": ["precreate"],
        }
        write_file(hooks / "config.json", json.dumps(hook).encode())
        entry.podman_id(files).unlink(missing_ok=True)
        await self._do(files, "created", *_create(files, self.cgroups))
        await self._do(files, "created", "--hooks-dir", str(hooks), "init", _name(files))
        # podman has put it where it is itself: in the daemon's cgroup.
        with contextlib.suppress(ValueError, OSError):
            self.cgroups.shelter(files.name, int(files.conmon_pid.read_bytes()))

    async def _start(self, files: Files) -> None:
        await self._do(files, "started", "start", _name(files))

    async def _remove(self, files: Files) -> str:
        rm = ("rm", "--force", "--time", "0", "--ignore", _name(files))
        done = await programs.run([*self._podman, *rm], seconds=self.answer_seconds)
        return programs.last_line(done.err) if done.status else ""

    async def _learn_exit(self, files: Files) -> None:
        """Write the exit file: podman reads conmon's and removes it."""
        if files.exit.exists():
            return
        question = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", _name(files))
        with contextlib.suppress(SheltieError, OSError):
            done = await programs.run([*self._podman, *question], seconds=self.answer_seconds)
            state, _, status = done.out.decode().strip().partition(" ")
            if state in {"exited", "stopped"} and status.isdecimal():
                write_file(files.exit, status.encode())

    async def _do(self, files: Files, what: str, *words: str) -> None:
        done = await programs.run([*self._podman, *words], seconds=self.answer_seconds)
        if done.status:
            why = programs.last_line(done.err)
            raise FailedError(
                f"container {files.name} could not be {what}: {why}", code="CONTAINER_FAILED"
            )


def _name(files: Files) -> str:
    return f"sheltie-{files.name.strip('_')}"


def _create(files: Files, cgroups: Cgroups) -> list[str]:
    """Return the options that matter beside the configuration, which is ours."""
    return [
        *("create", "--name", _name(files), "--cidfile", str(entry.podman_id(files))),
        *("--pidfile", str(files.pid), "--conmon-pidfile", str(files.conmon_pid)),
        *("--log-driver", "k8s-file", "--log-opt", f"path={files.log}"),
        *("--log-opt", f"max-size={logs.MAX}"),
        # Nothing is to be set up for these: no bridge, no file of hosts, no mount for /dev/shm.
        *("--network", "host", "--ipc", "host", "--pid", "host", "--uts", "host"),
        *("--no-hosts", "--systemd=false", "--restart=no"),
        # conmon's cgroup goes with the others of its container.
        *("--cgroup-parent", cgroups.path(f"{files.name}.conmon")),
        # It wants a command, and does not get to see ours.
        *("--rootfs", str(files.rootfs), files.name),
    ]
