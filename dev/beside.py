"""Figures of two sides, ours and another's, that were taken in turn."""

import statistics
import time
from collections.abc import Callable, Sequence

__all__ = ["Row", "row", "timed"]

Row = tuple[str, str, str]
"""A name, our figure, and what it stands beside."""


def timed(work: Callable[[], None]) -> float:
    """Return how many seconds some work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def row(name: str, unit: str, figures: Sequence[Sequence[float]], goal: str = "") -> Row:
    """Return the medians of ours and sshd's, side by side."""
    ours, theirs = (statistics.median(one) for one in figures)
    ratio = f"{ours / theirs:.2f} x sshd" if theirs > 0 else "sshd"
    beside = f"{ratio} ({theirs:.3g} {unit})"
    return (f"SSH: {name}", f"{ours:.3g} {unit}", f"{beside}; goal {goal}" if goal else beside)
