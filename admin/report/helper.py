"""The fixed helper: `python -I -m admin.report.helper DESCRIPTOR` answers one request, and ends.

It takes nothing from its command line but the inherited end of a socketpair, gives up all
privileges but those that the request's kind needs, and only then begins.
"""

import encodings.idna  # noqa: F401  all imports come before the host's files are in sight
import os
import socket
import sys

from admin.look.kernel import set_death_signal
from admin.report import disks, engines, network, privilege, processes, wire
from contract.errors import FailedError, SheltieError

__all__ = ["answer", "main"]

SIGKILL = 9


def answer(request: wire.Request) -> wire.Answer:
    """Return the report. Raises SheltieError."""
    match request:
        case wire.Units():
            return engines.units()
        case wire.Logs(unit, lines):
            return engines.logs(unit, lines)
        case wire.Containers():
            return engines.containers()
        case wire.Pods():
            return engines.pods()
        case wire.Netstat():
            return network.netstat()
        case wire.Files(pid):
            return processes.files(pid)
        case wire.Environ(pid, values):
            return processes.environ(pid, values=values)
        case wire.Stacks(pid):
            return processes.stacks(pid)
        case wire.Firewall():
            return network.firewall()
        case wire.Disk():
            return disks.disk()
        case wire.Capture():
            return network.capture(request)


def main() -> None:
    """Serve the one request."""
    os.umask(0o077)
    with socket.socket(fileno=int(sys.argv[1])) as end:
        os.set_inheritable(end.fileno(), False)  # noqa: FBT003  its only form
        end.settimeout(None)
        said: wire.Answer
        try:
            request = wire.decode_request(wire.receive(end, wire.REQUEST_MAX))
            privilege.reduce_to(privilege.NEEDS[type(request)])
            set_death_signal(SIGKILL)
            said = answer(request)
        except SheltieError as error:
            said = wire.fault(error)
        except OSError as error:
            said = wire.fault(FailedError(f"the helper failed: {error}", code="REPORT_LOST"))
        wire.send(end, said)


if __name__ == "__main__":
    main()
