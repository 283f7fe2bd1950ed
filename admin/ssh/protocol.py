"""What a listener and its monitor say to each other, and what both say to a session.

The listener asks, the monitor answers by the same `id`. Nothing here carries a privilege: the
monitor believes its own record of the connection, not the listener.
"""

import msgspec

__all__ = [
    "VERSION",
    "Agent",
    "Algorithms",
    "Ask",
    "AskAgent",
    "Began",
    "Closed",
    "Denied",
    "Ended",
    "Environment",
    "Exchange",
    "Execute",
    "Exited",
    "Grant",
    "Granted",
    "Incoming",
    "Listen",
    "ListenerTask",
    "Listening",
    "OfferedKey",
    "Open",
    "Opened",
    "Proof",
    "ProveKeys",
    "Proven",
    "Pty",
    "Shell",
    "Signal",
    "Signed",
    "Subsystem",
    "ToSession",
    "Unlisten",
    "Unreached",
    "Verdict",
    "Window",
]


VERSION = b"SSH-2.0-Sheltie"
"""The version line: no release number, which helps attackers more than anybody."""


class OfferedKey(msgspec.Struct, frozen=True):
    """A host key or host certificate as the key exchange offers it (RFC 4253 section 6.6).

    `algorithms` are its names in the key exchange, `signatures` those of its signatures, in pairs.
    """

    blob: bytes
    algorithms: list[str]
    signatures: list[str]


class Algorithms(msgspec.Struct, frozen=True):
    """What is offered, in the order of preference; `host_keys` are names of the key exchange."""

    kex: list[str]
    ciphers: list[str]
    macs: list[str]
    host_keys: list[str]
    signatures: list[str]


class ListenerTask(msgspec.Struct, frozen=True):
    """What a listener is told: nothing secret, and nothing of other connections.

    `announced` are all public host keys, for clients that learn new ones. Times are in seconds, 0
    for none.
    """

    keys: list[OfferedKey]
    announced: list[bytes]
    algorithms: Algorithms
    grace: float
    keep_alive: float = 60
    idle: float = 0


class Exchange(msgspec.Struct, tag=True, frozen=True):
    """Hash and sign a key exchange (RFC 4253 section 8): H = HASH(prefix || K_S || rest).

    `prefix` is V_C, V_S, I_C, I_S as strings; `rest` the method's own fields and K.
    """

    id: int
    hash: str
    algorithm: str
    key: bytes
    prefix: bytes
    rest: bytes


class Proof(msgspec.Struct, tag=True, frozen=True):
    """May `key` log in as `user`? With `message` and `signature` it is to be proven (RFC 4252)."""

    id: int
    user: str
    key: bytes
    message: bytes = b""
    signature: bytes = b""


class Ask(msgspec.Struct, tag=True, frozen=True):
    """Start a session: answered by Granted with three descriptors, or Denied."""

    id: int


class Open(msgspec.Struct, tag=True, frozen=True):
    """Connect for the client: answered by Opened with the socket, Unreached or Denied."""

    id: int
    host: str
    port: int


class Listen(msgspec.Struct, tag=True, frozen=True):
    """Listen for the client: answered by Listening, and an Incoming for each that comes."""

    id: int
    host: str
    port: int


class AskAgent(msgspec.Struct, tag=True, frozen=True):
    """Let programs here reach the client's agent: answered as Listen is, its port being 0."""

    id: int


class Unlisten(msgspec.Struct, tag=True, frozen=True):
    """End what the Listen of this `id` began; no answer."""

    id: int


class Closed(msgspec.Struct, tag=True, frozen=True):
    """A forwarded connection ended, so that another may begin; no answer."""


class ProveKeys(msgspec.Struct, tag=True, frozen=True):
    """Sign for public host keys of ours (OpenSSH's PROTOCOL, hostkeys-prove-00@openssh.com)."""

    id: int
    keys: list[bytes]


class Ended(msgspec.Struct, tag=True, frozen=True):
    """The connection ends; `why` is for the log, cut to a line."""

    why: str


class Signed(msgspec.Struct, tag=True, frozen=True):
    """The exchange hash and its signature blob."""

    id: int
    hash: bytes
    signature: bytes


class Verdict(msgspec.Struct, tag=True, frozen=True):
    """Whether the key may log in, or has proven that it may."""

    id: int
    accepted: bool


class Proven(msgspec.Struct, tag=True, frozen=True):
    """A signature blob for each key that was asked about; none at all where one is not ours."""

    id: int
    signatures: list[bytes]


class Granted(msgspec.Struct, tag=True, frozen=True):
    """A session: with it come the stream, the error stream and the control channel.

    `pty` is whether a terminal may be had; the session itself refuses one all the same.
    """

    id: int
    pty: bool = True


class Denied(msgspec.Struct, tag=True, frozen=True):
    """No session, or no forward: it may not be."""

    id: int


class Opened(msgspec.Struct, tag=True, frozen=True):
    """Connected: with it comes the socket."""

    id: int


class Unreached(msgspec.Struct, tag=True, frozen=True):
    """It was tried in vain; `why` is for the client."""

    id: int
    why: str


class Listening(msgspec.Struct, tag=True, frozen=True):
    """It is listened; `port` is the one that was found where any was asked for."""

    id: int
    port: int = 0


class Incoming(msgspec.Struct, tag=True, frozen=True):
    """Somebody came to what the Listen of this `id` began: with it comes the socket."""

    id: int
    host: str = ""
    port: int = 0


Ask_ = Exchange | Proof | ProveKeys | Ask | Open | Listen | AskAgent | Unlisten | Closed | Ended
Grant = Signed | Verdict | Proven | Granted | Denied | Opened | Unreached | Listening | Incoming


class Pty(msgspec.Struct, tag=True, frozen=True):
    """Use a terminal (RFC 4254 section 6.2); `modes` are opcode and value pairs."""

    term: str
    rows: int
    cols: int
    modes: dict[int, int] = {}


class Environment(msgspec.Struct, tag=True, frozen=True):
    """What the client wants in the environment (section 6.4); the session picks."""

    variables: dict[str, str]


class Shell(msgspec.Struct, tag=True, frozen=True):
    """Start the login shell (section 6.5)."""


class Execute(msgspec.Struct, tag=True, frozen=True):
    """Start a command by the login shell."""

    command: bytes


class Subsystem(msgspec.Struct, tag=True, frozen=True):
    """Start a subsystem."""

    name: str


class Agent(msgspec.Struct, tag=True, frozen=True):
    """Programs may reach the client's agent; where, the session knows from the monitor."""


class Window(msgspec.Struct, tag=True, frozen=True):
    """The terminal has a new size (section 6.7)."""

    rows: int
    cols: int


class Signal(msgspec.Struct, tag=True, frozen=True):
    """Deliver a signal, named without SIG (section 6.9)."""

    name: str


class Exited(msgspec.Struct, tag=True, frozen=True):
    """The command ended: an exit status, or the signal that killed it (section 6.10)."""

    status: int = 0
    signal: str = ""
    core: bool = False


class Began(msgspec.Struct, tag=True, frozen=True):
    """What a session tells the monitor once: its program runs, on a terminal, as a login or not."""

    tty: bool = False
    login: bool = False


ToSession = Pty | Environment | Agent | Shell | Execute | Subsystem | Window | Signal
