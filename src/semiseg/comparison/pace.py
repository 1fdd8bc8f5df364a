"""How many steps fit into a time: from a few measured steps, or from finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, median

from semiseg.comparison.records import BASELINE, SAME_TIME, Record
from semiseg.core.scores import Timing


def run_seconds(steps: int, timing: Timing, validations: int) -> float:
    """The seconds of a run with its validations."""
    return steps * timing.step + validations * timing.validation + timing.between


def fitting_steps(seconds: float, timing: Timing, validations: int) -> int:
    """The steps that fit into a time beside the validations; 0 or less if none does."""
    steps = (seconds - validations * timing.validation - timing.between) / timing.step
    return int(round(steps, 6))  # 6 steps in the time of 6 steps, whatever the rounding


def mean_timings(records: Iterable[Record]) -> dict[str, Timing]:
    """The mean seconds of a step and of a validation in finished runs, by method."""
    timings: dict[str, list[Timing]] = {}
    for record in records:
        method = BASELINE if record.method == SAME_TIME else record.method
        timings.setdefault(method, []).append(record.scores.timing)
    return {
        method: Timing(
            fmean(t.step for t in own),
            fmean(t.validation for t in own),
            fmean(t.between for t in own),
        )
        for method, own in timings.items()
    }


def whole_timing(records: Iterable[Record], validations: int) -> Timing | None:
    """The seconds of a step of `supervised`, with all that its runs do beside validations.

    Args:
        records: the finished runs.
        validations: the validations of each of them.

    Returns:
        The seconds of a step and of a validation; None without a run of `supervised`.
    """
    runs = [record.scores for record in records if record.method == BASELINE]
    if not runs:
        return None
    steps = [
        max(s.timing.step, (s.seconds - validations * s.timing.validation) / s.steps) for s in runs
    ]
    return Timing(median(steps), median(s.timing.validation for s in runs))


def slowest(records: Iterable[Record]) -> tuple[str, float] | None:
    """The method other than `supervised` whose runs take longest, and their median seconds."""
    seconds: dict[str, list[float]] = {}
    for record in records:
        if record.method not in (BASELINE, SAME_TIME):
            seconds.setdefault(record.method, []).append(record.scores.seconds)
    medians: Mapping[str, float] = {method: median(own) for method, own in seconds.items()}
    return max(medians.items(), key=lambda item: item[1], default=None)
