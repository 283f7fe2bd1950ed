"""Entry point of `apiclient`: the one place where an error becomes a line and an exit status."""

import os
import sys

from contract.apiclient.arguments import parse
from contract.apiclient.failure import StatusError
from contract.errors import SheltieError, UsageError

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit status: 0, 1, 2 for usage, or exec's own."""
    options = parse(sys.argv[1:])
    from contract.apiclient.verbs import perform

    try:
        status = perform(options)
        sys.stdout.flush()
    except SheltieError as error:
        # What the host said goes out in upstream's words: tools read the number after "Status".
        said = error.__cause__
        line = str(said) if isinstance(said, StatusError) else f"apiclient: {error.line()}"
        sys.stderr.write(f"{line}\n")
        return 2 if isinstance(error, UsageError) and not isinstance(said, StatusError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("apiclient: interrupted\n")
        return 130
    except BrokenPipeError:
        # Nobody reads our output (`| head`); the interpreter must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


if __name__ == "__main__":
    sys.exit(main())
