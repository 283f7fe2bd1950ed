"""What a broken promise says: its assertion in full, as in a test file."""

import pytest

pytest.register_assert_rewrite(
    *(f"tests.conformance.{what}_promises" for what in ("exec", "image", "runtime", "update")),
)
