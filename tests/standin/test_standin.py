"""The stand-in host: what it is from the inside, and that nothing of it is left."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.standin import bring_down, bring_up
from tests.e2e.terminal import Terminal
from tests.standin.conftest import CLONE, Made, Make

pytestmark = [pytest.mark.privileged]


def argv(made: Made, *command: str) -> list[str]:
    """Return the argv that runs `command` on the stand-in."""
    return [sys.executable, "-I", "-m", "dev.enter", "--record", str(made.record), "--", *command]


def run(made: Made, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run `command` on the stand-in."""
    return subprocess.run(
        argv(made, *command), input=stdin, capture_output=True, text=True, check=False, timeout=30
    )


def sleeper(made: Made) -> "subprocess.Popen[str]":
    """Start a process on the stand-in that sleeps, and return once it does."""
    command = argv(made, "sh", "-c", "echo asleep; exec sleep 100")
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "asleep\n"
    child.stdout.close()
    return child


def cgroups_left(made: Made) -> list[Path]:
    """Return the cgroups of a stand-in that are still there."""
    return [path for path in made.standin.cgroups if path.exists()]


def test_it_is_a_host_of_its_own(make: Make) -> None:
    """PID 1 is our init, the name is its own, and /proc shows nobody else."""
    made = make()

    assert run(made, "cat", "/proc/1/comm").stdout == "catatonit\n"
    assert run(made, "hostname").stdout == "standin\n"
    pids = run(made, "sh", "-c", "ls -d /proc/[0-9]* | wc -l").stdout
    assert int(pids) < 6


def test_its_pid_1_may_be_entered_from_inside(make: Make) -> None:
    """What the machine refuses works here: all namespaces of PID 1, by nsenter."""
    done = run(make(), "nsenter", "-t", "1", "-a", "true")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        "touch /file",
        "touch /etc/file",
        "mount -o remount,rw / && touch /file",
        "nsenter -t 1 -a mount -o remount,rw /; touch /usr/file",
        "rm /etc/passwd",
    ],
)
def test_nothing_can_be_written_to_the_machines_root(make: Make, command: str) -> None:
    """Writes to the root fail, also after a remount."""
    done = run(make(), "sh", "-c", command)

    assert done.returncode != 0
    assert not Path("/file").exists()
    assert not Path("/usr/file").exists()
    assert Path("/etc/passwd").exists()


def test_state_is_writable_and_the_clone_is_not(make: Make) -> None:
    """The state directory is the machine's own; the clone can be read only."""
    made = make()

    assert run(made, "sh", "-c", f"echo hello > {made.state}/file").returncode == 0
    assert (made.state / "file").read_text() == "hello\n"
    assert run(made, "touch", f"{CLONE}/file").returncode != 0
    assert run(made, "cat", f"{CLONE}/pyproject.toml").returncode == 0


def test_a_state_below_tmp_and_a_deep_one_are_seen(make: Make, tmp_path: Path) -> None:
    """Binds come after the tmpfs mounts, and a path of any depth works."""
    deep = tmp_path / "/".join(["deeper"] * 30)
    made = make(where=deep)

    assert len(str(made.state)) > 107
    assert run(made, "sh", "-c", f"echo deep > {made.state}/file").returncode == 0
    assert (made.state / "file").read_text() == "deep\n"


def test_a_host_without_a_shell(make: Make) -> None:
    """The variant without a shell has none, and Python and the runtimes work in it."""
    made = make(shell=False)

    assert run(made, "sh", "-c", "true").returncode == 127
    assert run(made, "/usr/bin/bash", "-c", "true").returncode == 127
    assert run(made, "crun", "--version").returncode == 0
    done = run(made, sys.executable, "-I", "-c", "import contract; print(contract.__version__)")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_network_of_its_own(make: Make) -> None:
    """With a network of its own there is one interface, and it is up."""
    made = make(net=True)
    lines = run(made, "ip", "-br", "address").stdout.splitlines()

    assert len(lines) == 1
    assert "127.0.0.1" in lines[0]


def test_two_at_once_do_not_meet(make: Make) -> None:
    """Two stand-ins have different namespaces and cgroups, and end one by one."""
    one, two = make(), make()
    bring_down(one.record)

    assert cgroups_left(one) == []
    assert run(two, "true").returncode == 0


def test_exit_codes_signals_and_stdin_come_through(make: Make) -> None:
    """What the command ends with is what `enter` ends with, and bytes pass."""
    made = make()

    assert run(made, "sh", "-c", "exit 7").returncode == 7
    assert run(made, "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    assert run(made, "cat", stdin="bytes").stdout == "bytes"
    assert run(made, "no-such-command").returncode == 127


def test_a_shell_on_a_terminal_has_job_control(make: Make) -> None:
    """On a terminal ^Z stops a job and fg brings it back."""
    with Terminal(argv(make(), "bash", "--norc", "-i")) as terminal:
        terminal.keys("sh -c 'echo up-$((1 + 1)); exec sleep 333'\r")
        terminal.expect("up-2")
        terminal.keys("\x1a")
        terminal.expect("Stopped")
        terminal.keys("kill %1; exit 3\r")
        terminal.keys("exit 3\r")
        assert terminal.wait() == 3


def test_down_leaves_nothing(make: Make) -> None:
    """After `down` no process, mount, cgroup or record of it is there; twice is no error."""
    before = Path("/proc/self/mountinfo").read_text()
    made = make()
    child = sleeper(made)
    bring_down(made.record)

    assert child.wait(timeout=10) == 128 + signal.SIGKILL
    assert cgroups_left(made) == []
    assert before == Path("/proc/self/mountinfo").read_text()
    assert not made.record.exists()
    bring_down(made.record)


def test_a_killed_init_is_cleaned_up(make: Make) -> None:
    """After kill -9 of its PID 1 everything is dead, and `down` removes the cgroups."""
    made = make()
    child = sleeper(made)
    os.kill(made.standin.pid, signal.SIGKILL)

    assert child.wait(timeout=10) == 128 + signal.SIGKILL
    bring_down(made.record)
    assert cgroups_left(made) == []


def test_it_dies_with_the_parent_that_it_follows(tmp_path: Path) -> None:
    """With `follow_parent` kill -9 of the parent ends the stand-in."""
    record, state = tmp_path / "record.json", tmp_path / "state"
    state.mkdir()
    script = (
        "import pathlib, sys, time; from dev.standin import bring_up\n"
        "record, state = map(pathlib.Path, sys.argv[1:])\n"
        "made = bring_up(record=record, binds=[], state=state, follow_parent=True)\n"
        "print(made.pid, flush=True); time.sleep(100)\n"
    )
    command = [sys.executable, "-I", "-c", script, str(record), str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        parent.kill()
    try:
        assert select.select([descriptor], [], [], 10)[0]
    finally:
        os.close(descriptor)
        bring_down(record)


def test_one_that_follows_is_taken_down_by_its_parent(make: Make) -> None:
    """What keeps a following stand-in ends with it, so that no cgroup stays busy."""
    made = make(follow_parent=True)
    bring_down(made.record)

    assert cgroups_left(made) == []


def test_a_frozen_cgroup_does_not_hold_the_end_up(make: Make) -> None:
    """A process frozen by the version 1 freezer is thawed, killed and removed."""
    made = make()
    freezer = next((path for path in made.standin.cgroups if "freezer" in str(path)), None)
    if freezer is None:
        assert not Path("/sys/fs/cgroup/freezer").exists()
        return
    inner = freezer / "frozen"
    inner.mkdir()
    child = sleeper(made)
    (inner / "cgroup.procs").write_text(str(child.pid))
    (inner / "freezer.state").write_text("FROZEN")
    bring_down(made.record)

    assert cgroups_left(made) == []
    child.kill()
    child.wait(timeout=10)


def test_a_failing_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the init cannot start, no cgroup and no record stays."""
    from contract.errors import MachineError

    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MachineError, match="did not come up"):
        bring_up(record=tmp_path / "record.json", binds=[], state=state)

    assert list(tmp_path.glob("*.json")) == []


def test_one_that_nobody_remembers_ends(tmp_path: Path) -> None:
    """When its maker dies before it has remembered the pid, the stand-in ends by itself."""
    record, state = tmp_path / "record.json", tmp_path / "state"
    state.mkdir()
    script = (
        "import os, pathlib, sys; from dev import standin\n"
        "record, state = map(pathlib.Path, sys.argv[1:])\n"
        "def die(_record, made):\n"
        "    if made.pid: os.write(1, f'{made.pid}\\n'.encode()); os._exit(1)\n"
        "    remember(_record, made)\n"
        "remember, standin._remember = standin._remember, die\n"
        "standin.bring_up(record=record, binds=[], state=state)\n"
    )
    command = [sys.executable, "-I", "-c", script, str(record), str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    try:
        descriptor = os.pidfd_open(int(done.stdout))
    except ProcessLookupError:
        descriptor = -1
    if descriptor >= 0:
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
    bring_down(record)
    assert not record.exists()


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_an_oci_runtime_runs_in_it(make: Make, runtime: str) -> None:
    """A container with its own namespaces runs under the runtime."""
    made = make()
    bundle = made.state / "bundle"
    (bundle / "rootfs/bin").mkdir(parents=True)
    (bundle / "rootfs/bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (bundle / "rootfs/bin/busybox").chmod(0o755)
    for name in ("proc", "dev", "sys"):
        (bundle / "rootfs" / name).mkdir()
    made_spec = run(made, "sh", "-c", f"cd {bundle} && {runtime} spec")
    assert made_spec.returncode == 0, made_spec.stderr
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=["/bin/busybox", "echo", "inside"], rlimits=[])
    config["linux"]["resources"] = {}
    path.write_text(json.dumps(config))
    root = "/run/test-runtime"
    done = run(made, runtime, "--root", root, "run", "--bundle", str(bundle), "one")

    assert (done.stdout, done.returncode) == ("inside\n", 0), done.stderr
