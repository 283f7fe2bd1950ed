"""One line of a container's log, as Kubernetes has it: `TIME STREAM F|P TEXT`."""

import re
from dataclasses import dataclass

__all__ = ["LogLine", "parse", "printable"]

_LINE = re.compile(r"(\S+) (stdout|stderr) ([FP]) (.*)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class LogLine:
    """What was written, when and where to; `whole` is false for a piece that others follow."""

    time: str = ""
    stream: str = "stdout"
    whole: bool = True
    text: str = ""


def parse(line: str) -> LogLine:
    """Return the parts of a line without its newline; one of another form is all text."""
    found = _LINE.fullmatch(line)
    if found is None:
        return LogLine(text=line)
    return LogLine(found[1], found[2], found[3] == "F", found[4])


def printable(text: str) -> str:
    """Return the text with control characters made visible: a terminal must not obey a log."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
