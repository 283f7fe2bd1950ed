"""The reports' pure parts: requests, the engines' answers, what is shown."""

import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.report import engines, network, show, wire
from admin.sheltie.options import REPORTS
from contract.errors import FailedError, SheltieError, UsageError


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    """Whatever comes is a request or a usage error."""
    try:
        wire.decode_request(data)
    except UsageError as error:
        assert error.code == "REPORT_REQUEST"  # noqa: PT017  both outcomes are right


def test_every_word_of_sheltie_is_a_request() -> None:
    """Sheltie's list of reports is the helper's."""
    assert {kind.__name__.lower() for kind in wire.Request.__args__} == REPORTS


def test_frames_pass_and_errors_keep_their_kind() -> None:
    """A message comes through whole; one that is too long, or cut, does not."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, wire.fault(UsageError("no", hint="yes", code="REPORT_REQUEST")))
        told = wire.receive_answer(theirs)
        assert isinstance(told, wire.Fault)
        error = wire.raised(told)
        assert (type(error), error.line()) == (UsageError, "no; yes [REPORT_REQUEST]")
        ours.sendall(b"\xff\xff\xff\xff")
        assert wire.receive(theirs, 100) == b""
        ours.close()
        with pytest.raises(FailedError):
            wire.receive_answer(theirs)
    assert issubclass(UsageError, SheltieError)


def test_addresses_of_the_kernel() -> None:
    """Hexadecimal words in the machine's byte order become addresses."""
    assert network._address("0100007F:280A") == "127.0.0.1:10250"
    assert network._address("00000000000000000000000001000000:0016") == "[::1]:22"


def test_what_engines_tell() -> None:
    """CRI's and docker's JSON become the same columns."""
    cri = {
        "id": "a" * 64,
        "metadata": {"name": "web"},
        "image": {"image": "sha256:1"},
        "state": "CONTAINER_RUNNING",
        "createdAt": "1700000000000000000",
        "labels": {"io.kubernetes.pod.name": "web-1"},
    }
    assert engines._from_cri(cri) == [
        "a" * 13, "web", "sha256:1", "running", "2023-11-14T22:13:20Z", "web-1",
    ]  # fmt: skip
    assert engines._from_docker({"ID": "b", "Names": "n", "Image": "i", "State": "s"})[:4] == [
        "b", "n", "i", "s",
    ]  # fmt: skip


@given(st.text())
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    """Names are anybody's: no control character of theirs is printed."""
    for line in show.as_text(wire.Table(["a", "b"], [[text, 1]])):
        assert "\x1b" not in line
        assert all(one.isprintable() for one in line.replace("\t", ""))
    told = msgspec.json.decode(show.as_json(wire.Table(["a"], [[text]], ["n"])))
    assert told == {"rows": [{"a": text}], "notes": ["n"]}
