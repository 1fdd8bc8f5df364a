"""Confidence intervals from a few seeds: of a mean, and of a ratio of means."""

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
    """

    estimate: float | None
    low: float | None
    high: float | None
    seeds: int

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


def mean_interval(values: Sequence[float]) -> Interval:
    """The t-interval of a mean. One value gives no interval.

    Args:
        values: one for each seed, at least one.
    """
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    reach = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - reach, mean + reach, len(values))


def ratio_interval(tops: Sequence[float], bottoms: Sequence[float]) -> Interval:
    """A ratio of two means whose values are paired, with Fieller's interval.

    The interval holds each ratio `r` for which a t-test cannot distinguish the mean of
    `top - r bottom` from 0. It is exact for normally distributed pairs. It never divides the
    values of a single seed, whose bottom may be near 0.

    Args:
        tops: the numerators, one for each seed.
        bottoms: the denominators of the same seeds.

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
    scale = t_quantile(count - 1) ** 2 / count / (count - 1)
    off_top, off_bottom = [t - top for t in tops], [b - bottom for b in bottoms]
    # The bounds are the roots of a r^2 - 2 b r + c.
    a = bottom**2 - scale * math.fsum(x * x for x in off_bottom)
    b = top * bottom - scale * math.fsum(map(math.prod, zip(off_top, off_bottom, strict=True)))
    c = top**2 - scale * math.fsum(x * x for x in off_top)
    if a <= 0:
        return Interval(estimate, None, None, count)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(estimate, (b - root) / a, (b + root) / a, count)
