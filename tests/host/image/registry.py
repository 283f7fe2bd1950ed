"""A real registry on loopback: Debian's docker-registry, plain or with TLS, open or closed."""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["HOST", "PASSWORD", "USER", "Registry", "authority", "free_port"]

HOST = "registry.test"
USER, PASSWORD = "puller", "a secret of the test"
_START_SECONDS = 20


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """A registry whose storage is below `home`; it can be stopped and started again."""

    def __init__(self, home: Path, *, tls: Path | None = None, login: bool = False) -> None:
        self.home = home
        self.port = free_port()
        self._tls, self._login = tls, login
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir()

    @property
    def place(self) -> str:
        """Its name, for sources."""
        return f"127.0.0.1:{self.port}"

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, home: Path, *, tls: Path | None = None, login: bool = False
    ) -> Iterator["Registry"]:
        """Have one until the end of the block."""
        registry = cls(home, tls=tls, login=login)
        registry.start()
        try:
            yield registry
        finally:
            registry.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.home / "config.json").write_text(json.dumps(self._config()))  # JSON is YAML
        with (self.home / "log").open("ab") as log:
            argv = ["docker-registry", "serve", str(self.home / "config.json")]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, (self.home / "log").read_text()
            time.sleep(0.01)
        raise AssertionError((self.home / "log").read_text())

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, layout: Path, name: str, *options: str, tag: str = "latest") -> str:
        """Push an image of a layout as `name` and return the digest that the registry gives it."""
        argv = ["skopeo", "--insecure-policy", *_split(options, "--registries.d")]
        argv += ["copy", "--quiet", "--dest-tls-verify=false"]
        if self._login:
            argv += ["--dest-creds", f"{USER}:{PASSWORD}"]
        file = self.home / "digest"
        argv += ["--digestfile", str(file), *_rest(options, "--registries.d")]
        environment = {**os.environ, "TMPDIR": str(self.home)}
        subprocess.run(
            [*argv, f"oci:{layout}:{tag}", f"docker://{self.place}/{name}"],
            check=True,
            env=environment,
        )
        return file.read_text().strip()

    def blobs_asked(self) -> list[str]:
        """Return the blobs that were asked for since the last time, one for each time."""
        log = self.home / "log"
        lines = log.read_text().splitlines()
        log.write_text("")
        asked = [
            line.split('"')[1].split() for line in lines if '"GET ' in line and "/blobs/" in line
        ]
        return [words[1].rpartition("/")[2] for words in asked]

    def asked(self) -> int:
        """Return how often anything was asked since the last time."""
        log = self.home / "log"
        count = log.read_text().count('"GET ')
        log.write_text("")
        return count

    def manifest(self, name: str, data: bytes, kind: str) -> str:
        """Put a manifest or index under a name, by the registry's own API; return its digest."""
        path, _, tag = name.rpartition(":")
        url = f"http://{self.place}/v2/{path}/manifests/{tag}"
        request = urllib.request.Request(url, data, {"Content-Type": kind}, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            assert answer.status == 201
            return str(answer.headers["Docker-Content-Digest"])

    def _config(self) -> dict[str, object]:
        http: dict[str, object] = {"addr": f"127.0.0.1:{self.port}", "secret": "of no use"}
        if self._tls is not None:
            http["tls"] = {
                "certificate": f"{self._tls}/server.pem",
                "key": f"{self._tls}/server.key",
            }
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.home / "storage")}},
            "http": http,
        }
        if self._login:
            known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
            (self.home / "htpasswd").write_text(f"{USER}:{known}\n")
            path = str(self.home / "htpasswd")
            config["auth"] = {"htpasswd": {"realm": "test", "path": path}}
        return config


def _split(options: Sequence[str], flag: str) -> list[str]:
    found = [i for i, one in enumerate(options) if one == flag]
    return [word for i in found for word in options[i : i + 2]]


def _rest(options: Sequence[str], flag: str) -> list[str]:
    first = _split(options, flag)
    return [one for one in options if one not in first]


def authority(home: Path) -> Path:
    """Make an authority and a server's certificate; return the directory with all of it.

    `ca/authority.crt` is what a client is to trust.
    """
    (home / "ca").mkdir(parents=True)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    ca = _certificate(ca_name, ca_name, ca_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = [
        x509.DNSName(HOST),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    server = _certificate(subject, ca_name, key.public_key())
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = serialization.Encoding.PEM
    own = ca.sign(ca_key, hashes.SHA256()).public_bytes(pem)
    (home / "ca/authority.crt").write_bytes(own)
    (home / "server.pem").write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (home / "server.key").write_bytes(key.private_bytes(pem, form, plain))
    return home


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
