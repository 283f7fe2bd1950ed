"""The library's methods that we override or rely on have the shape that we know.

Privilege separation hangs on private hooks of the pinned version: when this fails, read what
changed upstream before mending the digests.
"""

import ast
import hashlib
import inspect
import textwrap

import asyncssh
import pytest
from asyncssh import auth, connection, kex_dh, public_key

GUARDED = {
    connection.SSHServerConnection: (
        "__init__", "reload_config", "choose_server_host_key", "validate_public_key",
    ),
    connection.SSHConnection: (
        "pause_writing", "resume_writing", "get_hash_prefix", "send_newkeys", "connection_made",
        "_finish_userauth", "send_userauth_success",
    ),
    kex_dh._KexDHBase: ("_compute_hash", "_perform_reply", "_process_init"),
    public_key.SSHKeyPair: ("__init__", "set_sig_algorithm"),
    auth._ServerPublicKeyAuth: ("_start",),
}  # fmt: skip
DIGEST = "a9e9ab2c03d29af41d70cdee813dfd8b49cc42fc6e93e1bf2005e6ba96de8814"


def shape() -> str:
    """Return one digest over the syntax trees of everything guarded, docstrings left out."""
    digest = hashlib.sha256()
    for owner, names in GUARDED.items():
        for name in names:
            tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(owner, name))))
            (function,) = tree.body
            assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            if ast.get_docstring(function) is not None:
                del function.body[0]
            # ast.dump differs between Python versions; unparsed source does not.
            digest.update(f"{owner.__name__}.{name}\n{ast.unparse(function)}\n".encode())
    return digest.hexdigest()


def test_the_library_is_the_pinned_one() -> None:
    """Another version needs another look."""
    assert asyncssh.__version__ == "2.24.1"


def test_what_we_rely_on_has_not_changed() -> None:
    """The methods that privilege separation hangs on are the ones that were read."""
    assert shape() == DIGEST


def test_the_guard_sees_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed method changes the digest."""
    before = shape()
    monkeypatch.setattr(public_key.SSHKeyPair, "set_sig_algorithm", shape_changed)

    assert shape() != before


def shape_changed(self: object, sig_algorithm: bytes) -> None:
    """Stand in for a method that upstream changed."""
    raise AssertionError(self, sig_algorithm)
