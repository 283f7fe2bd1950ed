"""The process of a pod or container, as the host's own engine knows it: crictl, ctr, podman."""

from __future__ import annotations

import os

from contract.errors import NotFoundError, SheltieError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[list[str]], tuple[int, bytes]]

__all__ = ["find"]

NO_COMMAND = (126, 127)
NAMESPACES_MAX = 16
"""Of containerd; `k8s.io`, `moby` and `default` are the usual ones."""


def find(name: str, ask: Ask) -> int:
    """Return the pid of the pod or container `name`. Raises NotFoundError (NO_POD), SheltieError.

    `ask` runs one command of the host's and returns its exit status and output. The first engine
    that knows the name wins.
    """
    missing, silent = [], []
    for engine, pids in (("crictl", _crictl), ("ctr", _ctr), ("podman", _podman)):
        try:
            status, _ = ask([engine, "--version"])
            if status in NO_COMMAND:
                missing.append(engine)
                continue
            for pid in pids(name, ask):
                if pid > 0:  # 0 is a container that does not run
                    return pid
        except SheltieError as error:
            silent.append(error)
    if silent:
        raise silent[0]
    engines = {"crictl", "ctr", "podman"} - set(missing)
    asked = f"asked {', '.join(sorted(engines))}" if engines else "it has no crictl, ctr or podman"
    raise NotFoundError(
        f"no pod or container {name[:80]!r} runs on the host: {asked}",
        hint="`sheltie pods` and `sheltie containers` list them; --target PID needs no engine",
        code="NO_POD",
    )


def _crictl(name: str, ask: Ask) -> Iterator[int]:
    template = ["--output", "go-template", "--template", "{{.info.pid}}"]
    exact = f"^{_quoted(name)}$"
    for pod in _words(ask(["crictl", "pods", "--quiet", "--name", exact])):
        for container in _words(ask(["crictl", "ps", "--quiet", "--pod", pod])):
            yield from _numbers(ask(["crictl", "inspect", *template, container]))
    for container in _words(ask(["crictl", "ps", "--quiet", "--name", exact])):
        yield from _numbers(ask(["crictl", "inspect", *template, container]))
    yield from _numbers(ask(["crictl", "inspect", *template, name]))


def _ctr(name: str, ask: Ask) -> Iterator[int]:
    """Ask containerd: a pod by its label, a container by its own name or its pod's."""
    labels = ("io.kubernetes.pod.name", "io.kubernetes.container.name", "nerdctl/name")
    for namespace in _words(ask(["ctr", "namespaces", "list", "--quiet"]))[:NAMESPACES_MAX]:
        ctr = ["ctr", "--namespace", namespace]
        named = {name}
        for label in labels:
            wish = f"labels.{_string(label)}=={_string(name)}"
            named.update(_words(ask([*ctr, "containers", "list", "--quiet", wish])))
        _, listed = ask([*ctr, "tasks", "list"])
        for line in listed.splitlines()[1:]:  # TASK PID STATUS
            words = os.fsdecode(line).split()
            if len(words) > 1 and words[0] in named and words[1].isdigit():
                yield int(words[1])


def _podman(name: str, ask: Ask) -> Iterator[int]:
    inspect = ["podman", "container", "inspect", "--format", "{{.State.Pid}}"]
    yield from _numbers(ask([*inspect, name]))
    listed = ["podman", "pod", "inspect", "--format", "{{range .Containers}}{{.ID}} {{end}}"]
    for container in _words(ask([*listed, name])):
        yield from _numbers(ask([*inspect, container]))


def _words(answered: tuple[int, bytes]) -> list[str]:
    status, said = answered
    return [] if status else os.fsdecode(said).split()


def _numbers(answered: tuple[int, bytes]) -> list[int]:
    return [int(word) for word in _words(answered) if word.isascii() and word.isdigit()]


def _quoted(name: str) -> str:
    """Return `name` as a regular expression that matches only it."""
    return "".join(one if one.isalnum() else f"\\{one}" for one in name)


def _string(text: str) -> str:
    """Return `text` as a string of containerd's filters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
