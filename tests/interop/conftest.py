"""A door that is opened for a test and closed after it, as the SSH tests have it."""

from tests.admin.ssh.conftest import door as door  # noqa: PLC0414  a fixture is taken over by its name
