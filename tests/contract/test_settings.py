"""The settings model: what passes, what does not, and in which words."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import settings, values
from contract.errors import UsageError
from tests.contract.pem import DER, LONG_DER, coded, pem


def decoded(document: Any) -> Any:
    """Return a document as the model reads it."""
    return msgspec.to_builtins(settings.decode(json.dumps(document).encode()))


GOOD: list[Any] = [
    {"motd": "two\nlines"},
    {"network": {"https-proxy": "http://user:pass@proxy.example:3128", "no-proxy": [".a", "b"]}},
    {"network": {"https-proxy": "", "hostname": "a.b-c.9"}},
    {"network": {"https-proxy": "[fd00::1]:3128"}},
    {
        "container-registry": {
            "mirrors": [{"registry": "*", "endpoint": ["https://m/v2", "n:5000"]}]
        }
    },
    {
        "container-registry": {
            "credentials": [
                {"registry": "r", "username": "u", "password": "p"},
                {"registry": "s", "auth": coded("u:p")},
                {"registry": "t", "identitytoken": "i"},
            ]
        }
    },
    {"pki": {"my-bundle": {"data": coded("# comment\n" + pem() * 2), "trusted": True}}},
    {"pki": {"my-bundle": {"data": ""}}},
    {
        "updates": {
            "metadata-base-url": "https://updates/x",
            "targets-base-url": "https://updates/y",
            "seed": 2**32 - 1,
            "version-lock": "v1.2.3-rc.1+b",
            "ignore-waves": False,
        }
    },
    {"updates": {"version-lock": "latest", "seed": 0}},
]


@pytest.mark.parametrize("document", GOOD, ids=lambda one: json.dumps(one)[:60])
def test_what_passes(document: Any) -> None:
    """What upstream takes is taken, and comes out as it went in."""
    assert decoded(document) == document


def test_older_forms() -> None:
    """A table of mirrors and the name `creds` are upstream's older forms of two lists."""
    older = {"mirrors": {"r": ["https://m"]}, "creds": [{"registry": "r", "username": "u"}]}

    assert decoded({"container-registry": older}) == {
        "container-registry": {
            "mirrors": [{"registry": "r", "endpoint": ["https://m"]}],
            "credentials": [{"registry": "r", "username": "u"}],
        }
    }


BAD: list[tuple[Any, str]] = [
    ({"nope": 1}, "Object contains unknown field `nope`"),
    ({"motd": 1}, "Expected `str | null`, got `int` - at `$.motd`"),
    ({"network": {"hosts": []}}, "unknown field `hosts` - at `$.network`"),
    ({"network": {"https-proxy": "how are you"}}, "https-proxy: 'how are you' is no URL"),
    ({"network": {"https-proxy": "weird@"}}, "'weird@' is no URL - at `$.network`"),
    ({"network": {"https-proxy": "http://a:99999"}}, "is no URL"),
    ({"network": {"https-proxy": "http://a\nB=c"}}, "a line break or a control character"),
    ({"network": {"no-proxy": ["a", "b\u2028"]}}, "no-proxy: 'b\\u2028' holds a line break"),
    ({"network": {"no-proxy": "a"}}, "Expected `array | null`"),
    ({"network": {"hostname": "-a"}}, "hostname: '-a' is no host name"),
    ({"network": {"hostname": "a..b"}}, "is no host name"),
    ({"network": {"hostname": "Upper"}}, "is no host name"),
    ({"network": {"hostname": "a" * 64}}, "is no host name"),
    ({"network": {"hostname": ".".join(["a" * 63] * 4)}}, "is no host name"),
    ({"container-registry": {"mirrors": [{"endpoint": ["a b"]}]}}, "endpoint: 'a b' is no URL"),
    ({"container-registry": {"credentials": [{"auth": "%"}]}}, "auth: Invalid base64 input"),
    ({"container-registry": {"credentials": [], "creds": []}}, "duplicate field"),
    ({"container-registry": {"credentials": {}}}, "Expected `array | null`"),
    ({"pki": {"a_b": {}}}, "Expected `str` matching regex"),
    ({"pki": {"": {}}}, "Expected `str` matching regex"),
    ({"pki": {"a\n": {}}}, "Expected `str` matching regex"),
    ({"pki": {"a": {"data": "%"}}}, "data: Invalid base64 input - at `$.pki[...]`"),
    ({"pki": {"a": {"data": coded("x")}}}, "data: no PEM certificate in it"),
    ({"pki": {"a": {"data": coded(pem(label="PRIVATE KEY"))}}}, "'PRIVATE KEY' among the cert"),
    ({"pki": {"a": {"data": coded(pem() + pem(label="X"))}}}, "a PEM 'X' among the certificates"),
    ({"pki": {"a": {"data": coded(pem()[:-20])}}}, "a PEM certificate without its end"),
    ({"pki": {"a": {"data": coded(pem(DER + b"x"))}}}, "a PEM certificate that is none inside"),
    ({"pki": {"a": {"data": coded(pem(b""))}}}, "a PEM certificate that is none inside"),
    ({"updates": {"seed": 2**32}}, "$.updates.seed"),
    ({"updates": {"seed": -1}}, "$.updates.seed"),
    ({"updates": {"version-lock": "newest"}}, "version-lock: 'newest' is no version"),
    ({"updates": {"ignore-waves": "yes"}}, "$.updates.ignore-waves"),
    ({"host-containers": {"a_b": {}}}, "'a_b' is no valid container name"),
    ({"host-containers": {"a": {"user-data": "%"}}}, "`$.host-containers.a.user-data`"),
]


@pytest.mark.parametrize(("document", "why"), BAD, ids=lambda one: str(one)[:60])
def test_what_does_not_pass(document: Any, why: str) -> None:
    """What is wrong is named with its place, behind upstream's first words."""
    with pytest.raises(UsageError) as caught:
        decoded(document)

    assert caught.value.message.startswith("Json deserialize error: ")
    assert why in caught.value.message


def test_a_secret_is_not_repeated() -> None:
    """An error about a credential does not show it, and neither does its repr."""
    credential = {"registry": "r", "password": "hush\n"}
    with pytest.raises(UsageError) as caught:
        decoded({"container-registry": {"credentials": [credential]}})

    assert "hush" not in caught.value.message
    assert "hush" not in repr(settings.RegistryCredential("r", password="hush"))


@given(st.integers(0, 3), st.binary(max_size=30).filter(lambda data: b"--" not in data))
def test_bundles(count: int, noise: bytes) -> None:
    """A bundle is its certificates one after another, whatever stands between them."""
    data = noise.join([pem(LONG_DER).encode()] * (count + 1))

    found = values.certificates(data)

    assert found == values.certificates(pem(LONG_DER).encode()) * (count + 1)
    assert max(map(len, found.splitlines())) == 64


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_certificates(data: bytes, middle: bytes) -> None:
    """Whatever bytes come, the answer is certificates or a ValueError."""
    for one in (data, b"-----BEGIN CERTIFICATE-----" + middle + b"-----END CERTIFICATE-----"):
        try:
            found = values.certificates(one)
        except ValueError:
            continue
        assert values.certificates(found) == found


def test_many_marks_take_no_time() -> None:
    """Megabytes of PEM's marks without an end are refused at once."""
    data = b"-----BEGIN CERTIFICATE-----" * 50_000
    with pytest.raises(ValueError, match="without its end"):
        values.certificates(data)


@given(st.text(max_size=40) | st.from_regex(values.SEMVER, fullmatch=True))
def test_any_text(text: str) -> None:
    """Every check passes or raises ValueError, and none lets a control character through."""
    checks = (values.check_url, values.check_hostname, values.check_version, values.check_line)
    for check in checks:
        try:
            check(text)
        except ValueError:
            continue
        assert not any(ord(character) < 32 or ord(character) == 127 for character in text)
