"""`make bench`: what the main job costs, beside what one would take instead, in one run.

Ratios hold within a run; absolute times are this machine's. Everything is a median, the two sides
of a ratio are interleaved.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.errors import SheltieError
from dev import bench_api, bench_entry, bench_ledger, bench_runtime, bench_ssh, images
from dev.running import Running, stop
from dev.site import CLONE, Site
from dev.steps import Steps
from dev.up import bring_up, enable, ending, make_identity

__all__ = ["main"]

ROUNDS = 15


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--no-cold", action="store_true", help="leave out the run without caches")
    arguments = parser.parse_args(words)
    os.umask(0o077)
    steps, site = Steps(), Site(CLONE / ".sheltie" / "bench")
    try:
        stop(site)
        with ending(site):
            rows = _warm(site, steps)
        stop(site)
        with steps.step("measure the API"):
            rows += bench_api.rows()
        with steps.step("measure admin's SSH server beside sshd"):
            rows += bench_ssh.rows()
        with steps.step("measure the ledger"):
            rows += bench_ledger.rows()
        with steps.step("measure the start of containers"):
            rows += _starts()
        if not arguments.no_cold:
            with steps.step("a cold make run: nothing cached, a clone of its own"):
                rows.append(("cold `make run`", f"{_cold():.0f} s", "goal < 480 s"))
    except SheltieError as error:
        print(f"make bench: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make bench: interrupted; nothing is left running", file=sys.stderr)
        return 130
    width = max(len(row[0]) for row in rows)
    for name, figure, beside in rows:
        steps.say(f"{name:{width}}  {figure:>10}  {beside}")
    return 0


Row = tuple[str, str, str]


def _warm(site: Site, steps: Steps) -> list[Row]:
    host = bring_up(site, steps, follow_parent=True)
    with steps.step("enable, log in, enter the host"):
        answer = enable(host, make_identity(site))
        subprocess.run(_ssh(host, answer, "sheltie true"), check=True)
    rows = [("warm start to a root shell on the host", f"{steps.total:.2f} s", "goal < 20 s")]
    with steps.step("measure"):
        rows += _entry(host) + _help(host) + _login(host, answer) + [_banner(host, answer)]
    return rows


def _entry(host: Running) -> list[Row]:
    def measure(program: str, commands: list[list[str]]) -> list[list[float]]:
        return _measure(host, "admin", program, commands)

    return bench_entry.rows(measure, ["sheltie"], ["python3", "-I", "-S", "-c", "pass"])


def _help(host: Running) -> list[Row]:
    commands = [["enable-admin-container", "--help"], ["python3", "-I", "-c", "pass"]]
    ours, bare = _inside(host, "control", commands)
    beside = f"goal < 100 ms; the bare interpreter takes {bare:.1f} ms"
    return [("enable-admin-container --help, in control", f"{ours:.0f} ms", beside)]


def _login(host: Running, answer: dict[str, Any]) -> list[Row]:
    times = [_time(lambda: _quiet(_ssh(host, answer, "true"))) for _ in range(ROUNDS)]
    return [("ssh true: connect, log in, run", f"{statistics.median(times):.0f} ms", "")]


def _banner(host: Running, answer: dict[str, Any]) -> Row:
    times = []
    for _ in range(5):
        host.api("set", "host-containers.admin.enabled=false")
        _wait(host, "disabled")
        begun = time.perf_counter()
        host.api("set", "host-containers.admin.enabled=true")
        _wait_for_banner(answer["ssh"]["host"], answer["ssh"]["port"])
        times.append(time.perf_counter() - begun)
    return (
        "enabling an unpacked image to the SSH banner",
        f"{statistics.median(times):.2f} s",
        "goal < 1.5 s, apiclient's own start included",
    )


def _wait(host: Running, state: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        states = {one["name"]: one["state"] for one in host.status()["containers"]}
        if states["admin"] == state:
            return
        time.sleep(0.05)
    raise SheltieError(f"admin did not become {state}")


def _wait_for_banner(address: str, port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise SheltieError("admin's SSH server shows no banner")


def _starts() -> list[Row]:
    """Return what the start of a container costs, by each runtime."""
    rows = []
    for runtime in ("crun", "runc"):
        found = bench_runtime.in_standin(images.path("control"), runtime)
        beside = (
            f"{found.ratio:.2f} x conmon and bare {runtime} ({found.bare:.0f} ms); goal <= 1.5 x"
        )
        rows.append((f"a container's start to running, {runtime}", f"{found.ours:.0f} ms", beside))
    return rows


def _inside(host: Running, name: str, commands: list[list[str]]) -> list[float]:
    """Return the median ms of each command in container `name`, interleaved."""
    return [statistics.median(times) for times in _measure(host, name, bench_entry.TIMES, commands)]


def _measure(
    host: Running, name: str, program: str, commands: list[list[str]]
) -> list[list[float]]:
    words = [str(ROUNDS), *bench_entry.words(commands)]
    argv = host.in_container(name, "python3", "-I", "-c", program, *words)
    done = subprocess.run(argv, capture_output=True, check=True, timeout=300)
    times: list[list[float]] = json.loads(done.stdout)
    return times


def _ssh(host: Running, answer: dict[str, Any], command: str) -> list[str]:
    ssh, site = answer["ssh"], host.site
    options = ["-o", f"UserKnownHostsFile={site.known_hosts}", "-o", "BatchMode=yes"]
    where = ["-p", str(ssh["port"]), f"{ssh['user']}@{ssh['host']}"]
    return ["ssh", "-F", "none", "-i", str(site.identity), *options, *where, command]


def _quiet(argv: list[str]) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)


def _time(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def _cold() -> float:
    """Return the seconds of `make run` in a fresh clone with empty caches."""
    with tempfile.TemporaryDirectory(prefix="sheltie-cold-") as directory:
        clone = Path(directory, "clone")
        _quiet(["git", "clone", "-q", str(CLONE), str(clone)])
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(directory, "cache"))}
        begun = time.perf_counter()
        subprocess.run(
            ["make", "run"],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=1800,
        )
        return time.perf_counter() - begun
