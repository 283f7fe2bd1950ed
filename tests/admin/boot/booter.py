"""Boots again and again, for a test that gave this process accounts of its own.

`booter.py ROOT STEPS`: STEPS is JSON, a list of {"boot": USER-DATA, "environment": {…}} and
{"run": ARGV}. Prints what each boot said, and the account as it is then, as a JSON list.
"""

import grp
import json
import os
import pwd
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from admin.boot.machine import boot
from contract.userdata import decode


def account(user: str) -> dict[str, Any]:
    """Return what passwd, group and shadow say of the user."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return {}
    if os.geteuid():
        return {"uid": entry.pw_uid}
    shadow = [line.split(":") for line in Path("/etc/shadow").read_text().splitlines()]
    return {
        "uid": entry.pw_uid,
        "shell": entry.pw_shell,
        "home": Path(entry.pw_dir).is_dir(),
        "password": next(fields[1] for fields in shadow if fields[0] == user),
        "groups": sorted(group.gr_name for group in grp.getgrall() if user in group.gr_mem),
    }


def main(root: Path, steps: list[dict[str, Any]]) -> None:
    """Do the steps."""
    told = []
    for step in steps:
        if "run" in step:
            subprocess.run(step["run"], check=True)
            continue
        wanted, _ = decode(json.dumps(step["boot"]).encode())
        booted = boot(wanted, step.get("environment", {}), root)
        told.append({**asdict(booted), "account": account(booted.user)})
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
