"""PEM certificates for tests: whole outside, made up inside."""

import base64

__all__ = ["DER", "LONG_DER", "coded", "pem"]

DER = b"\x30\x03\x02\x01\x07"
LONG_DER = b"\x30\x82\x01\x00" + b"x" * 256


def pem(der: bytes = DER, label: str = "CERTIFICATE") -> str:
    """Return one PEM block."""
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def coded(text: str) -> str:
    """Return the text as the API takes certificates."""
    return base64.b64encode(text.encode()).decode()
