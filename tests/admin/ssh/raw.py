"""A client that sends whatever it is told: one key exchange, one cipher, no manners.

curve25519-sha256, ssh-ed25519, aes128-gcm@openssh.com (RFC 4253, RFC 8731, OpenSSH's PROTOCOL).
"""

import hashlib
import os
import socket
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admin.ssh.blobs import Reader, mpint, string
from admin.ssh.userkeys import verify

VERSION = b"SSH-2.0-raw"
LISTS = (
    b"curve25519-sha256,kex-strict-c-v00@openssh.com", b"ssh-ed25519",
    b"aes128-gcm@openssh.com", b"aes128-gcm@openssh.com", b"hmac-sha2-256", b"hmac-sha2-256",
    b"none", b"none", b"", b"",
)  # fmt: skip
SECONDS = 15


@dataclass
class Direction:
    """Keys of one direction."""

    cipher: AESGCM
    nonce: bytes

    def next(self) -> bytes:
        """Return the nonce of the next packet."""
        now, count = self.nonce, int.from_bytes(self.nonce[4:], "big") + 1
        self.nonce = now[:4] + (count % (1 << 64)).to_bytes(8, "big")
        return now


@dataclass
class Raw:
    """A connection; closed at the end of a `with`."""

    host: str
    port: int
    sends: Direction | None = None
    receives: Direction | None = None
    session: bytes = b""
    server_init: bytes = b""
    seen: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.create_connection((self.host, self.port), SECONDS)
        self.data = b""
        self.socket.sendall(VERSION + b"\r\n")
        while b"\n" not in self.data:
            self._more()
        line, _, self.data = self.data.partition(b"\n")
        self.server = line.rstrip(b"\r")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(self) -> "Raw":
        """Exchange keys and ask for the service of authentication."""
        self.exchange()
        self.send(b"\x05" + string(b"ssh-userauth"))
        assert self.receive(6)
        return self

    def propose(self) -> bytes:
        """Send our KEXINIT, fetch theirs; return ours."""
        mine = b"\x14" + os.urandom(16) + b"".join(map(string, LISTS)) + bytes(5)
        self.send(mine)
        self.server_init = self.receive(20) or b""
        return mine

    def exchange(self) -> None:
        """Exchange keys, and check the server's signature."""
        mine = self.propose()
        private = x25519.X25519PrivateKey.generate()
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        public = private.public_key().public_bytes(*raw)
        self.send(b"\x1e" + string(public))
        reply = Reader((self.receive(31) or b"")[1:])
        key, theirs, signature = reader_three(reply)
        shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
        k = mpint(int.from_bytes(shared, "big"))
        parts = (VERSION, self.server, mine, self.server_init, key, public, theirs)
        digest = hashlib.sha256(b"".join(map(string, parts)) + k).digest()
        assert verify(key, "ssh-ed25519", signature, digest)
        self.session = self.session or digest
        assert self.receive(21)
        self.send(b"\x15")
        derived = [
            hashlib.sha256(k + digest + letter + self.session).digest()
            for letter in (b"A", b"B", b"C", b"D")
        ]
        self.sends = Direction(AESGCM(derived[2][:16]), derived[0][:12])
        self.receives = Direction(AESGCM(derived[3][:16]), derived[1][:12])

    def send(self, payload: bytes) -> None:
        """Send one packet."""
        block, head = (16, 0) if self.sends else (8, 4)
        padding = block - (head + 1 + len(payload)) % block
        padding += block if padding < 4 else 0
        body = bytes([padding]) + payload + bytes(padding)
        size = len(body).to_bytes(4, "big")
        if self.sends:
            body = self.sends.cipher.encrypt(self.sends.next(), body, size)
        self.socket.sendall(size + body)

    def receive(self, *kinds: int) -> bytes | None:
        """Return the next payload of one of `kinds` (of any without), None at the end."""
        try:
            while True:
                payload = self._packet()
                self.seen.append(payload)
                if not kinds or payload[0] in kinds:
                    return payload
        except (EOFError, ConnectionError):
            return None

    def ended(self) -> bool:
        """Whether the server hangs up, whatever it says before."""
        return self.receive(255) is None

    def request(self, user: bytes, key: bytes, *, signed: bool) -> bytes:
        """Return a publickey request (RFC 4252 section 7), without its signature."""
        parts = b"\x32" + string(user) + string(b"ssh-connection") + string(b"publickey")
        return parts + bytes([signed]) + string(Reader(key).string()) + string(key)

    def login(
        self, user: bytes, private: ed25519.Ed25519PrivateKey, key: bytes = b""
    ) -> bytes | None:
        """Prove a key, claiming `key` where it is given; return the answer."""
        key = key or public_blob(private)
        message = self.request(user, key, signed=True)
        signature = private.sign(string(self.session) + message)
        self.send(message + string(string(b"ssh-ed25519") + string(signature)))
        return self.receive(51, 52)

    def _packet(self) -> bytes:
        size = self._take(4)
        length = int.from_bytes(size, "big")
        if self.receives:
            sealed = self._take(length + 16)
            body = self.receives.cipher.decrypt(self.receives.next(), sealed, size)
        else:
            body = self._take(length)
        return body[1 : len(body) - body[0]]

    def _take(self, size: int) -> bytes:
        while len(self.data) < size:
            self._more()
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        self.data += piece


def reader_three(reader: Reader) -> tuple[bytes, bytes, bytes]:
    """Return three strings."""
    return reader.string(), reader.string(), reader.string()


def public_blob(private: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the public blob of a key."""
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return string(b"ssh-ed25519") + string(private.public_key().public_bytes(*raw))
