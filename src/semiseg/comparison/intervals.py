"""Confidence intervals from a few seeds: of a mean, of several means, and of a ratio of means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with its confidence interval.

    Attributes:
        estimate: the mean, or the ratio of the means; None where a ratio has no meaning.
        low: the lower end of the interval, or None where there is no interval.
        high: the upper end, or None.
        seeds: the number of seeds.
        p: the two-sided p-value of Student's t-test against 0, corrected if several means were
            tested; None for a ratio, and where there is no interval.
        tests: the number of means that were tested together, and for which `p` and the interval
            are corrected.
        level: the probability with which such an interval, taken by itself, holds the true value.
    """

    estimate: float | None
    low: float | None
    high: float | None
    seeds: int
    p: float | None = None
    tests: int = 1
    level: float = LEVEL

    @property
    def resolved(self) -> bool:
        """Whether the interval excludes 0, so that the sign of the estimate is certain."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def to_dict(self) -> dict[str, float | None]:
        """The interval as plain values, with `resolved`."""
        return {**self._asdict(), "resolved": self.resolved}


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The `t` such that Student's distribution has the probability `level` between `-t` and `t`.

    Args:
        freedom: degrees of freedom, at least 1.
        level: the probability.

    Example:
        >>> round(t_quantile(2), 4)
        4.3027
    """
    # The probability is a finite sum in the angle whose tangent is t / sqrt(freedom). It rises
    # with the angle, so bisection finds the quantile to the last bits.
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _within(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """The probability of `|t| < sqrt(freedom) tan(angle)` (Abramowitz and Stegun, 26.7.3-4)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(freedom // 2):
        total += term
        term *= cosine**2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


def p_value(values: Sequence[float]) -> float:
    """The two-sided p-value of Student's t-test of a mean against 0.

    Args:
        values: at least two.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0]), 4)
        0.0742
    """
    freedom = len(values) - 1
    error = stdev(values) / math.sqrt(len(values))
    angle = math.atan2(abs(fmean(values)), error * math.sqrt(freedom))
    # Rounding may lift the probability of equal values above 1.
    return max(0.0, 1 - _within(angle, freedom)) if angle else 1.0


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The t-interval of a mean. One value gives no interval.

    Args:
        values: one for each seed, at least one.
        level: the probability with which such an interval holds the true mean.
    """
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    reach = t_quantile(len(values) - 1, level) * stdev(values) / math.sqrt(len(values))
    p = p_value(values)
    return Interval(mean, mean - reach, mean + reach, len(values), p, level=level)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[tuple[float, float]]:
    """Correct several tests that are read together (Holm, 1979).

    The smallest of `m` p-values is multiplied by `m`, the next one by `m - 1`, and so on; none
    becomes smaller than one before it. The probability that any true hypothesis has a corrected
    p-value of at most `1 - level` is at most `1 - level`, however the tests depend on one another.

    Args:
        p_values: the p-value of each test.
        level: 1 minus the probability of a wrong rejection.

    Returns:
        For each test, the corrected p-value and the level of an interval that excludes 0 exactly
        where the corrected test rejects: `1 - (1 - level) / (m - k)` for the test in place `k`
        (from 0). From the first test that does not reject on, all have the level of that test.

    Example:
        >>> [(round(p, 4), round(level, 4)) for p, level in holm([0.03, 0.01, 0.2])]
        [(0.06, 0.975), (0.03, 0.9833), (0.2, 0.975)]
    """
    results = [(1.0, level)] * len(p_values)
    corrected, own_level, rejects = 0.0, level, True
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        rest = len(p_values) - place
        corrected = max(corrected, min(1.0, rest * p_values[index]))
        if rejects:
            own_level = 1 - (1 - level) / rest
            rejects = p_values[index] <= 1 - own_level
        results[index] = (corrected, own_level)
    return results


def mean_intervals(samples: Sequence[Sequence[float]], level: float = LEVEL) -> list[Interval]:
    """The t-intervals of several means that are read together, corrected by Holm's method.

    Samples of one value have no interval, and do not count as tests. A single test is not
    corrected.

    Args:
        samples: for each mean its values, at least one.
        level: 1 minus the probability that any interval excludes 0 although its mean is 0.
    """
    tested = [values for values in samples if len(values) > 1]
    corrections = iter(holm([p_value(values) for values in tested], level))
    intervals = []
    for values in samples:
        if len(values) < 2:
            intervals.append(mean_interval(values))
            continue
        p, own_level = next(corrections)
        interval = mean_interval(values, own_level)
        intervals.append(interval._replace(p=p, tests=len(tested)))
    return intervals


def ratio_interval(
    tops: Sequence[float], bottoms: Sequence[float], level: float = LEVEL
) -> Interval:
    """A ratio of two means whose values are paired, with Fieller's interval.

    The interval holds each ratio `r` for which a t-test cannot distinguish the mean of
    `top - r bottom` from 0. It is exact for normally distributed pairs. It never divides the
    values of a single seed, whose bottom may be near 0.

    Args:
        tops: the numerators, one for each seed.
        bottoms: the denominators of the same seeds.
        level: the probability with which such an interval holds the true ratio.

    Returns:
        The interval. It has no bounds for one seed, or if the mean of the bottoms is not
        significantly above 0, since any ratio is possible then. It has no estimate either if that
        mean is 0 or less.
    """
    count, top, bottom = len(tops), fmean(tops), fmean(bottoms)
    if bottom <= 0:
        return Interval(None, None, None, count)
    estimate = top / bottom
    if count < 2:
        return Interval(estimate, None, None, count)
    scale = t_quantile(count - 1, level) ** 2 / count / (count - 1)
    off_top, off_bottom = [t - top for t in tops], [b - bottom for b in bottoms]
    # The bounds are the roots of a r^2 - 2 b r + c.
    a = bottom**2 - scale * math.fsum(x * x for x in off_bottom)
    b = top * bottom - scale * math.fsum(map(math.prod, zip(off_top, off_bottom, strict=True)))
    c = top**2 - scale * math.fsum(x * x for x in off_top)
    if a <= 0:
        return Interval(estimate, None, None, count)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(estimate, (b - root) / a, (b + root) / a, count, level=level)
