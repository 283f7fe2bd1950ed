"""Entering the host: sheltie beside nsenter, in one run, from inside the admin container."""

import json
import statistics
from collections.abc import Callable

__all__ = ["PROMPTS", "TIMES", "rows", "words"]

Row = tuple[str, str, str]
Measure = Callable[[str, list[list[str]]], list[list[float]]]
"""Run a program of Python's in admin with commands as its words; return its lists of ms."""

# Runs the commands of argv[2:] (JSON lists) in turn, argv[1] times; prints a list of ms for each.
TIMES = """
import json, subprocess, sys, time
commands = [json.loads(text) for text in sys.argv[2:]]
times = [[] for _ in commands]
for _ in range(int(sys.argv[1])):
    for command, mine in zip(commands, times):
        begun = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        mine.append((time.perf_counter() - begun) * 1e3)
print(json.dumps(times))
"""
# The same on a terminal, until the first prompt, which ends with a blank.
PROMPTS = """
import json, os, pty, select, signal, sys, time
commands = [json.loads(text) for text in sys.argv[2:]]
times = [[] for _ in commands]
for _ in range(int(sys.argv[1])):
    for command, mine in zip(commands, times):
        begun = time.perf_counter()
        pid, master = pty.fork()
        if not pid:
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm", "PS1": "$ "})
        seen = b""
        while not seen.endswith((b"# ", b"$ ")):
            if not select.select([master], [], [], 30)[0]:
                sys.exit(f"no prompt of {command}: {seen}")
            seen += os.read(master, 65536)
        mine.append((time.perf_counter() - begun) * 1e3)
        os.close(master)
        os.kill(pid, signal.SIGHUP)
        os.waitpid(pid, 0)
print(json.dumps(times))
"""
NSENTER = ["nsenter", "-t", "1", "-a"]


def rows(measure: Measure, sheltie: list[str], python: list[str]) -> list[Row]:
    """Return the rows; `sheltie` starts it, `python` is the bare interpreter as it uses it."""
    ours, theirs, look, bare = _medians(
        measure(
            TIMES, [[*sheltie, "true"], [*NSENTER, "true"], [*sheltie, "--look", "true"], python]
        )
    )
    goal = 1.5 * theirs + bare
    shell = [*NSENTER, "bash", "--noprofile", "--norc", "-i"]
    prompt, nsenters, looks = _medians(measure(PROMPTS, [sheltie, shell, [*sheltie, "--look"]]))
    prompt_goal = 1.5 * nsenters + bare
    return [
        (
            "sheltie true, in admin",
            f"{ours:.1f} ms",
            f"nsenter {theirs:.1f} ms, bare interpreter {bare:.1f} ms; goal <= {goal:.1f} ms",
        ),
        (
            "sheltie --look true, in admin",
            f"{look:.1f} ms",
            f"{look - ours:.1f} ms more than without; goal <= 10 ms",
        ),
        (
            "sheltie, to the first prompt",
            f"{prompt:.1f} ms",
            f"nsenter's bash {nsenters:.1f} ms; goal <= {prompt_goal:.1f} ms",
        ),
        (
            "sheltie --look, to the first prompt",
            f"{looks:.1f} ms",
            f"{looks - prompt:.1f} ms more than without; goal <= 10 ms",
        ),
    ]


def _medians(times: list[list[float]]) -> list[float]:
    return [statistics.median(one) for one in times]


def words(commands: list[list[str]]) -> list[str]:
    """Return commands as the programs take them."""
    return [json.dumps(command) for command in commands]
