"""The chain: every flip, cut, splice and reorder is found offline."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import chain
from contract.chain import GENESIS, BrokenChainError, Head
from contract.errors import UsageError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.dictionaries(TEXTS, TEXTS | st.integers(-(2**63), 2**63 - 1), max_size=4)
CHAINS = st.lists(RECORDS, min_size=1, max_size=8)


def written(records: list[Any], head: Head = GENESIS) -> tuple[list[bytes], Head]:
    """Return the lines of a chain and its head."""
    lines = []
    for record in records:
        line, head = chain.link(head, record)
        lines.append(line)
    return lines, head


def found(lines: list[bytes], witness: Head | None = None) -> tuple[str, ...]:
    """Return the faults of a whole chain, cut into lines as a reader of files cuts it."""
    text = b"".join(lines)
    return chain.verify(text.splitlines(keepends=True) if text else [], witness=witness).faults


@given(CHAINS)
def test_sound(records: list[Any]) -> None:
    """What was written is read back, without faults, and its head is its own witness."""
    lines, head = written(records)
    verdict = chain.verify(lines, witness=head)

    assert (verdict.first, verdict.head, verdict.faults) == (1, head, ())
    assert [chain.read(line).record for line in lines] == records
    assert all(b"\n" not in line[:-1] for line in lines)


@given(CHAINS, st.data())
def test_every_flip(records: list[Any], data: st.DataObject) -> None:
    """No byte can be another one."""
    lines, head = written(records)
    text = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))

    assert found([bytes(text)], head)


@given(CHAINS, st.data())
def test_every_cut(records: list[Any], data: st.DataObject) -> None:
    """No piece can be missing, at the end too where a witness knows the head."""
    lines, head = written(records)
    text = b"".join(lines)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    assert found([text[:start] + text[end:]], head)
    if end < len(text):
        assert found([text[:start] + text[end:]])


@given(CHAINS, CHAINS, st.data())
def test_every_splice(records: list[Any], others: list[Any], data: st.DataObject) -> None:
    """No line of another chain fits in, nor one of its own a second time."""
    lines, head = written(records)
    strangers, _ = written([{"another": True}, *others])
    at = data.draw(st.integers(0, len(lines)))
    stranger = data.draw(st.sampled_from([*lines, *strangers]))

    assert found([*lines[:at], stranger, *lines[at:]], head)
    tail = data.draw(st.integers(1, len(strangers)))
    assert found([*lines, *strangers[-tail:]], head)


@given(CHAINS.filter(lambda records: len(records) > 1), st.data())
def test_every_reorder(records: list[Any], data: st.DataObject) -> None:
    """No order is sound but the one in which it was written."""
    lines, head = written(records)
    order = data.draw(st.permutations(lines).filter(lambda other: other != lines))

    assert found(order, head)


@given(CHAINS, CHAINS)
def test_a_chain_rewritten_whole(records: list[Any], others: list[Any]) -> None:
    """A chain written anew from the start is sound, and not the one of the witness."""
    lines, head = written([{"first": True}, *records])
    forged, _ = written([{"first": False}, *others])

    assert not found(forged)
    assert found(forged, head)
    assert not found(lines, head)


@given(st.binary(max_size=300))
def test_any_bytes(line: bytes) -> None:
    """A reader of lines takes anything, and believes nothing of it."""
    with pytest.raises(BrokenChainError):
        chain.read(line)


@pytest.mark.parametrize(
    "bend",
    [
        lambda line: line[:-1],
        lambda line: line + b"\n",
        lambda line: line.replace(b'{"hash"', b'{ "hash"'),
        lambda line: line.upper(),
        lambda line: b"",
        lambda line: b"[]\n",
    ],
)
def test_no_other_form(bend: Callable[[bytes], bytes]) -> None:
    """One record has one form only."""
    line, _ = chain.link(GENESIS, {"a": 1})

    with pytest.raises(BrokenChainError):
        chain.read(bend(line))


def test_later_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a later release is not guessed at."""
    monkeypatch.setattr(chain, "VERSION", 2)
    line, _ = chain.link(GENESIS, {})
    monkeypatch.undo()

    with pytest.raises(BrokenChainError, match="version 2, this release reads 1"):
        chain.read(line)


def test_known_answer() -> None:
    """The format is what docs/formats.md says: these bytes, for ever."""
    body = '"prev":"' + "0" * 64 + '","record":{"a":"é","b":1},"seq":1,"v":1}'
    digest = hashlib.sha256(f"{{{body}".encode()).hexdigest()
    line, head = chain.link(GENESIS, {"b": 1, "a": "é"})

    assert digest == "9dc803b238bf88a45d16fedf4431285e9e949a93f9dbe0ef2671b6cb50e6cb9d"
    assert line == f'{{"hash":"{digest}",{body}\n'.encode()
    assert head == Head(1, digest)
    assert chain.read(chain.link(head, {})[0]).prev == digest


def test_too_large() -> None:
    """A record has a largest size, which its writer is told."""
    with pytest.raises(UsageError, match="too large"):
        chain.link(GENESIS, {"a": "x" * chain.LINE_MAX})


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32))
def test_heads_are_texts(seq: int, digest: bytes) -> None:
    """A head can be written down and typed in."""
    head = Head(seq, digest.hex())

    assert Head.parse(f" {head}\n") == head


@pytest.mark.parametrize("text", ["", ":", "1", "1:", "1:ab", "x:" + "0" * 64, "1:" + "g" * 64])
def test_no_head(text: str) -> None:
    """What is no head is refused."""
    with pytest.raises(UsageError):
        Head.parse(text)


def test_faults_are_bounded() -> None:
    """A file of another kind is one screen of faults, not a million."""
    verdict = chain.verify([b"x\n"] * 1000)

    assert len(verdict.faults) == chain.FAULTS_MAX + 1
    assert verdict.faults[-1] == "and 900 more"
