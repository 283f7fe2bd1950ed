"""Which process a pod's name means: asked of engines, one real and two played."""

from collections.abc import Iterator

import pytest

from admin.sheltie.workload import find
from contract.errors import NotFoundError, SheltieError, TimedOutError
from tests.admin.sheltie.conftest import Box
from tests.admin.sheltie.engine import engine
from tests.admin.sheltie.test_terminal import wait_for

NOTHING: tuple[int, bytes] = (0, b"")


class Engines:
    """Answers as crictl 1.31 and ctr 2.0 do; whatever is not known here is not installed."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._names = {line.split()[0] for line in answers}

    def __call__(self, argv: list[str]) -> tuple[int, bytes]:
        """Answer one command line."""
        if argv[0] not in self._names:
            return 127, b""
        if argv[1:] == ["--version"]:
            return NOTHING
        said = self._answers.get(" ".join(argv))
        return (1, b"") if said is None else (0, said.encode())


CRICTL = {
    "crictl pods --quiet --name ^web\\-0$": "p1\np2\n",
    "crictl ps --quiet --pod p1": "",
    "crictl ps --quiet --pod p2": "c2\n",
    "crictl inspect --output go-template --template {{.info.pid}} c2": "4321\n",
    "crictl ps --quiet --name ^side$": "c3\n",
    "crictl inspect --output go-template --template {{.info.pid}} c3": "0\n",
}
TASKS = "TASK      PID      STATUS\nabc       777      RUNNING\nx         778      RUNNING\n"
LIST = "ctr --namespace k8s.io containers list --quiet"
CTR = {
    "ctr namespaces list --quiet": "default\nk8s.io\n",
    "ctr --namespace k8s.io tasks list": TASKS,
    f'{LIST} labels."io.kubernetes.pod.name"=="web-0"': "abc\n",
}


@pytest.mark.parametrize(
    ("name", "answers", "pid"),
    [("web-0", CRICTL, 4321), ("web-0", CTR, 777), ("x", CTR, 778), ("web-0", CTR | CRICTL, 4321)],
)
def test_a_name_is_found(name: str, answers: dict[str, str], pid: int) -> None:
    """A pod by its name or label, a container by its own; the first engine that knows wins."""
    assert find(name, Engines(answers)) == pid


@pytest.mark.parametrize("name", ["other", "side", "web", "web-0|x", ".*"])
def test_a_name_that_nobody_knows(name: str) -> None:
    """Not found, and it says who was asked; no name is a pattern."""
    with pytest.raises(NotFoundError, match="asked crictl, ctr"):
        find(name, Engines(CTR | CRICTL))
    with pytest.raises(NotFoundError, match="no crictl, ctr or podman"):
        find(name, Engines({}))


def test_a_silent_engine_does_not_hide_the_others() -> None:
    """What one engine does not answer another may; only when none knows is the silence told."""

    def ask(argv: list[str]) -> tuple[int, bytes]:
        if argv[0] == "crictl":
            raise TimedOutError("silent", code="ENGINE_SILENT")
        return Engines(CTR)(argv)

    assert find("x", ask) == 778
    with pytest.raises(SheltieError, match="silent"):
        find("y", ask)


@pytest.fixture(scope="module")
def podman(box: Box) -> Iterator[None]:
    """The host's podman, which runs a container `web` and a pod `shop` with `till` in it."""
    with engine(box) as rootfs:
        box.on_host("podman", "run", "--detach", "--name", "web", *rootfs, "7200")
        box.on_host("podman", "pod", "create", "--infra=false", "--name", "shop")
        box.on_host("podman", "run", "--detach", "--pod", "shop", "--name", "till", *rootfs, "7201")
        yield


@pytest.mark.privileged
@pytest.mark.parametrize(("name", "seconds"), [("web", "7200"), ("till", "7201"), ("shop", "7201")])
def test_podmans_are_entered(box: Box, podman: None, name: str, seconds: str) -> None:
    """--pod finds a container and a pod through the host's podman, and stands inside."""
    wait_for(lambda: box.on_host("pgrep", "-fx", f"/bin/sleep {seconds}") != "")
    pid = box.on_host("pgrep", "-fx", f"/bin/sleep {seconds}")
    done = box.run(box.sheltie("--pod", name), input=b"echo /*; exit 3\n")

    assert (done.stderr, done.returncode) == (b"", 3)
    assert (
        done.stdout.decode().split()
        == box.on_host("sh", "-c", f"echo /proc/{pid}/root/*")
        .replace(f"/proc/{pid}/root", "")
        .split()
    )
    found = box.run(box.sheltie("--pod", name, "--no-mnt", "readlink", "/proc/self/ns/pid"))
    assert found.stdout.decode().strip() == box.on_host("readlink", f"/proc/{pid}/ns/pid")


@pytest.mark.privileged
def test_an_unknown_pod(box: Box, podman: None) -> None:
    """One line, status 4, and who was asked."""
    done = box.run(box.sheltie("--pod", "nobody", "true"))

    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert b"asked podman" in done.stderr
    assert b"NO_POD" in done.stderr
