"""The library's methods that we override or rely on have the shape that we know.

Privilege separation hangs on private hooks of the pinned version: when this fails, read what
changed upstream before writing the digests anew (`python -I tests/admin/ssh/test_guard.py`).
"""

import ast
import hashlib
import inspect
import json
import textwrap
from pathlib import Path

import asyncssh
import pytest
from asyncssh import auth, channel, connection, kex_dh, listener, public_key, server, session

from admin.ssh import ports, relay, tunnel
from admin.ssh import server as ours

GUARDED: dict[type, tuple[str, ...]] = {
    connection.SSHServerConnection: (
        "__init__", "reload_config", "choose_server_host_key", "validate_public_key",
        "send_server_host_keys", "_process_session_open", "get_server_host_key",
        "_process_hostkeys_prove_00_at_openssh_dot_com_global_request",
        "_process_direct_streamlocal_at_openssh_dot_com_open", "_process_direct_tcpip_open",
        "_process_streamlocal_forward_at_openssh_dot_com_global_request",
        "_process_tcpip_forward_global_request", "_process_tun_at_openssh_dot_com_open",
        "_finish_port_forward", "_process_cancel_tcpip_forward_global_request",
        "create_agent_listener",
    ),
    connection.SSHConnection: (
        "data_received", "pause_writing", "resume_writing", "get_hash_prefix", "send_newkeys",
        "connection_made",
        "_finish_userauth", "send_userauth_success", "send_userauth_failure", "_send_version",
        "_recv_version", "_recv_pkthdr", "_recv_packet", "_finish_recv_packet", "send_packet",
        "_process_userauth_request", "_process_global_request", "_report_global_response",
        "_send_global_request", "_process_channel_open", "_process_kexinit",
    ),
    kex_dh._KexDHBase: (
        "__init__", "_compute_hash", "_perform_reply", "_process_init", "_format_client_key",
        "_format_server_key",
    ),
    public_key.SSHKeyPair: ("__init__", "set_sig_algorithm", "sign"),
    auth._ServerPublicKeyAuth: ("_start", "supported"),
    auth.ServerAuth: ("__init__", "send_packet", "send_failure", "send_success"),
    server.SSHServer: (
        "connection_made", "connection_lost", "begin_auth", "public_key_auth_supported",
        "session_requested", "connection_requested", "server_requested",
        "unix_connection_requested", "unix_server_requested", "tun_requested", "tap_requested",
    ),
    session.SSHServerSession: (
        "connection_made", "pty_requested", "terminal_size_changed", "shell_requested",
        "exec_requested", "subsystem_requested", "break_received", "signal_received",
    ),
    session.SSHTCPSession: ("connection_made",),
    listener.SSHListener: ("__init__", "get_port", "close", "wait_closed"),
    session.SSHSession: (
        "connection_lost", "session_started", "data_received", "eof_received",
        "pause_writing", "resume_writing",
    ),
    channel.SSHServerChannel: (
        "_start_session", "exit", "exit_with_signal", "_finish_agent_req_request",
    ),
    channel.SSHForwardChannel: ("_finish_open_request", "_open_forward"),
    channel.SSHTCPChannel: ("accept", "_open_tcp"),
    channel.SSHAgentChannel: ("open",),
    channel.SSHChannel: (
        "process_open", "_finish_open_request", "write", "write_eof", "_open", "close",
        "_flush_recv_buf", "_deliver_data",
    ),
}  # fmt: skip
DIGESTS = Path(__file__).with_name("asyncssh.json")


def shapes() -> dict[str, str]:
    """Return a digest of the syntax tree of everything guarded, docstrings left out."""
    found = {}
    for owner, names in GUARDED.items():
        for name in names:
            tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(owner, name))))
            (function,) = tree.body
            assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            if ast.get_docstring(function) is not None:
                del function.body[0]
            # ast.dump differs between Python versions; unparsed source does not.
            digest = hashlib.sha256(ast.unparse(function).encode()).hexdigest()
            found[f"{owner.__name__}.{name}"] = digest[:16]
    return found


def test_the_library_is_the_pinned_one() -> None:
    """Another version needs another look."""
    assert asyncssh.__version__ == "2.24.1"


def test_what_we_rely_on_has_not_changed() -> None:
    """The methods that privilege separation hangs on are the ones that were read."""
    assert shapes() == json.loads(DIGESTS.read_text())


def test_the_guard_sees_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed method changes the digest."""
    before = shapes()
    monkeypatch.setattr(public_key.SSHKeyPair, "set_sig_algorithm", shape_changed)

    assert shapes() != before


@pytest.mark.parametrize(
    "own", [ours.Connection, ours.HostKey, ours._Door, relay.Relay, tunnel.Tunnel, ports.Port]
)
def test_every_override_is_guarded(own: type) -> None:
    """A method of ours that stands in for one of the library's is on the list above."""
    guarded = {(owner, name) for owner, names in GUARDED.items() for name in names}
    for name, value in vars(own).items():
        if not callable(value) or name in vars(object):
            continue
        owner = next((base for base in own.__mro__[1:] if name in vars(base)), None)
        assert owner is None or (owner, name) in guarded, name


def shape_changed(self: object, sig_algorithm: bytes) -> None:
    """Stand in for a method that upstream changed."""
    raise AssertionError(self, sig_algorithm)


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps(shapes(), indent=0) + "\n")
