"""Set a bare Debian machine up: programs from its packages, then the virtual environment.

Standard library only, and no import of its neighbours: it runs before anything else exists, as
`python3 -I dev/packages.py`, with the word `bench` before measuring. When nothing is missing it
takes a few dozen milliseconds.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
ENVIRONMENT = CLONE / ".venv"
POLICY = Path("/usr/sbin/policy-rc.d")
LOCK_SECONDS = 300

# Debian package: the program it brings, and why it is needed.
PACKAGES = {
    "bash-static": ("bash-static", "the shell that sheltie's tests execute by descriptor"),
    "buildah": ("buildah", "builds the images without a daemon"),
    "busybox-static": ("busybox", "a tiny root file system for the runtime tests"),
    "ca-certificates": ("update-ca-certificates", "package registries over TLS"),
    "catatonit": ("catatonit", "PID 1 of the stand-in host"),
    "conmon": ("conmon", "logs and exit codes that outlive the daemon"),
    "crun": ("crun", "the OCI runtime"),
    "docker-registry": ("docker-registry", "a real registry on loopback, in tests"),
    "dropbear-bin": ("dbclient", "an SSH client of another family, in tests"),
    "faketime": ("faketime", "a wrong clock for one process, in tests"),
    "git": ("git", "the clone's list of files"),
    "gnupg": ("gpg", "checks signatures of images for skopeo; signs in tests"),
    "iproute2": ("ip", "what a host shows of its network, in tests"),
    "mmdebstrap": ("mmdebstrap", "a local base image where no registry is in reach"),
    "nftables": ("nft", "the firewall's report, in tests"),
    "openssh-client": ("ssh", "the real client that everything is shown with"),
    "openssh-sftp-server": ("/usr/lib/openssh/sftp-server", "what admin runs for scp and sftp"),
    "openssl": ("openssl", "keys for Secure Boot, in tests"),
    "podman": ("podman", "shows that the Dockerfiles build with a second engine"),
    "procps": ("ps", "what a host shows of its processes, in tests"),
    "python3-venv": ("", "the virtual environment; not there at first"),
    "runc": ("runc", "the second OCI runtime"),
    "sbsigntool": ("sbverify", "judges programs for Secure Boot; signs in tests"),
    "shellcheck": ("shellcheck", "lint of the shell scripts"),
    "skopeo": ("skopeo", "looks at and copies images"),
    "tcpdump": ("tcpdump", "the capture's report, in tests"),
    "umoci": ("umoci", "unpacks images"),
    "util-linux": ("unshare", "namespaces in tests"),
}
# What only `make bench` wants.
BENCH = {"openssh-server": ("sshd", "OpenSSH's server, to measure ours beside")}
# What only the host's image and its virtual machine need.
VM = {
    "ovmf": ("/usr/share/OVMF/OVMF_CODE_4M.fd", "the virtual machine's firmware"),
    "qemu-system-x86": ("qemu-system-x86_64", "the virtual machine"),
}
MORE = {"bench": BENCH, "vm": VM}
FIRST_PYTHON = (3, 11)


class SetupError(Exception):
    """One line for people."""


def main(words: list[str] | None = None) -> int:
    """Install what is missing; return the exit status."""
    wanted = {**PACKAGES}
    for word in words or ():
        wanted |= MORE.get(word, {})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.version_info < FIRST_PYTHON:
        say("python3 is older than 3.11; Debian 12 and 13 have what is needed")
        return 1
    try:
        restore(POLICY)  # an earlier run may have been killed
        install(missing_packages(wanted))
        make_environment()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def missing_packages(wanted: dict[str, tuple[str, str]] = PACKAGES) -> list[str]:
    """Return the packages whose program is not on the PATH."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [
        name
        for name, (program, _) in wanted.items()
        if program and not shutil.which(program, path=path) and not is_data(program)
    ]
    if not (ENVIRONMENT / "bin/python").exists() and not has_venv():
        missing.append("python3-venv")
    return missing


def is_data(place: str) -> bool:
    """Whether this is a file that nobody executes."""
    return place.startswith("/") and Path(place).is_file() and not os.access(place, os.X_OK)


def interpreter() -> str:
    """Return the Python that the virtual environment is made of: the distribution's own."""
    own = "/usr/bin/python3"
    if not Path(own).exists():
        return sys.executable
    argv = [own, "-I", "-c", "import sys; print(sys.version_info >= (3, 11))"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return own if done.stdout.strip() == "True" else sys.executable


def has_venv() -> bool:
    """Whether the interpreter can make virtual environments with pip in them."""
    argv = [interpreter(), "-I", "-c", "import venv, ensurepip"]
    return not subprocess.run(argv, capture_output=True, check=False).returncode


def install(names: list[str]) -> None:
    """Install Debian packages without starting any service. Raises SetupError."""
    if not names:
        return
    wanted = " ".join(names)
    if not shutil.which("apt-get"):
        raise SetupError(f"this is no Debian; install the programs of these packages: {wanted}")
    if os.geteuid():
        raise SetupError(f"these packages are missing, and installing needs root: {wanted}")
    say(f"install {len(names)} packages: {wanted}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}"]
    with no_services(POLICY):
        _apt([*apt, "update"], environment)
        _apt([*apt, "install", "--no-install-recommends", *names], environment)


def _apt(argv: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("E:")]
        words = lines or done.stdout.strip().splitlines() or ["no reason given"]
        raise SetupError(f"{' '.join(argv[:1] + argv[5:6])} failed: {words[-1]}")


@contextlib.contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """Keep installed packages from starting services: `policy` answers 101 (invoke-rc.d(8)).

    What stood there before is kept beside it, and comes back whatever happens; if this process is
    killed, the next call brings it back.
    """
    restore(policy)
    former, absent = _memory(policy)
    if policy.exists() or policy.is_symlink():
        policy.rename(former)
    else:
        absent.touch()
    try:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        yield
    finally:
        restore(policy)


def restore(policy: Path) -> None:
    """Bring back what stood at `policy` before `no_services`; nothing happens otherwise."""
    former, absent = _memory(policy)
    if former.exists() or former.is_symlink():
        former.rename(policy)
    elif absent.exists():
        policy.unlink(missing_ok=True)
        absent.unlink()


def _memory(policy: Path) -> tuple[Path, Path]:
    """Return where the former file waits, and the mark that there was none."""
    name = f"{policy.name}.sheltie"
    return policy.with_name(f"{name}-former"), policy.with_name(f"{name}-absent")


def make_environment() -> None:
    """Make `.venv` from the hashed lock file, unless it is up to date. Raises SetupError."""
    stamp, wanted = ENVIRONMENT / "sheltie-stamp", _stamp()
    with contextlib.suppress(OSError):
        if stamp.read_text() == wanted:
            return
    say("make the virtual environment")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    _run([interpreter(), "-m", "venv", str(ENVIRONMENT)], "python -m venv")
    python = str(ENVIRONMENT / "bin/python")
    requirements = str(CLONE / "requirements.txt")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    cached = ["--cache-dir", str(cache() / "pip")]
    pip = [python, "-I", "-m", "pip", "install", *quiet, *cached]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", requirements], "pip install")
    site = next((ENVIRONMENT / "lib").glob("python3*/site-packages"))
    (site / "sheltie.pth").write_text(f"{CLONE}\n")
    # Written last: an environment without its stamp is made anew.
    stamp.write_text(wanted)


def cache() -> Path:
    """Return the cache directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "sheltie"


def _stamp() -> str:
    """What the environment depends on: the lock, the interpreter, its place (it cannot move)."""
    lock = hashlib.sha256((CLONE / "requirements.txt").read_bytes()).hexdigest()
    own = Path(interpreter()).resolve()
    return f"{lock}\n{own} {own.stat().st_mtime_ns}\n{ENVIRONMENT}\n"


def _run(argv: list[str], what: str) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise SetupError(f"{what} failed: {words[-1]}")


def say(text: str) -> None:
    """Tell what is being done."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
