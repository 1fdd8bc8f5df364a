"""How many steps fit into a time: from a few measured steps, or from finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from statistics import fmean, median

from semiseg.comparison.records import BASELINE, SAME_TIME, Record
from semiseg.config.stages import most_steps
from semiseg.core.scores import Timing
from semiseg.core.text import duration, parts_of_time, plural


def run_seconds(steps: int, timing: Timing, validations: int) -> float:
    """The seconds of a run with its validations."""
    labeling = timing.labeling_at(steps)
    return steps * timing.step + validations * timing.validation + timing.between + labeling


def fitting_steps(seconds: float, timing: Timing, validations: int) -> int:
    """The steps that fit into a time beside the validations; 0 or less if none does."""
    rest = seconds - validations * timing.validation - timing.between
    steps = most_steps(rest, timing.step, (timing.labeling, timing.labeling_of_step))
    return int(round(steps, 6))  # 6 steps in the time of 6 steps, whatever the rounding


def describe_run(method: str, steps: int, timing: Timing, validations: int) -> str:
    """What takes how long in a run of a comparison, as a sentence."""
    parts = {
        "the steps": steps * timing.step,
        plural(validations, "validation"): validations * timing.validation,
        "validations of earlier stages": timing.between,
        "labels of unlabeled images": timing.labeling_at(steps),
    }
    whole = duration(run_seconds(steps, timing, validations))
    return f"{plural(steps, 'step')} of {method} take {whole}: {parts_of_time(parts)}"


def mean_timings(records: Iterable[Record]) -> dict[str, Timing]:
    """The mean seconds of a step and of a validation in finished runs, by method."""
    timings: dict[str, list[Timing]] = {}
    for record in records:
        method = BASELINE if record.method == SAME_TIME else record.method
        timings.setdefault(method, []).append(record.scores.timing)
    return {
        method: Timing(*map(fmean, zip(*map(astuple, own), strict=True)))
        for method, own in timings.items()
    }


def mean_seconds(records: Iterable[Record]) -> dict[str, float]:
    """The mean seconds of finished runs, by the method of their row."""
    seconds: dict[str, list[float]] = {}
    for record in records:
        seconds.setdefault(record.method, []).append(record.scores.seconds)
    return {method: fmean(own) for method, own in seconds.items()}


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
