"""Intervals, against tables, values worked out by hand, and SciPy."""

import math

import pytest
from scipy import stats

from semiseg.comparison.intervals import (
    Interval,
    holm,
    mean_interval,
    mean_intervals,
    p_value,
    ratio_interval,
    t_quantile,
)

# Student's t, two-sided, from printed tables.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042}


@pytest.mark.parametrize(("freedom", "t"), TABLE.items())
def test_t_quantiles_are_those_of_the_tables(freedom, t):
    assert t_quantile(freedom) == pytest.approx(t, abs=5e-4)


def test_t_quantiles_of_other_levels():
    assert t_quantile(4, 0.99) == pytest.approx(4.604, abs=5e-4)
    assert t_quantile(1, 0.5) == pytest.approx(1.0)  # the quartiles of Cauchy's distribution


def test_mean_interval_by_hand():
    # mean 2, standard deviation 1, so that the reach is 4.3027 / sqrt(3) = 2.4842
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2
    assert (interval.low, interval.high) == pytest.approx((-0.4842, 4.4842), abs=1e-4)
    assert not interval.resolved
    assert mean_interval([2.0, 2.5, 3.0]).resolved
    assert mean_interval([-2.0, -2.5, -3.0]).resolved


def test_one_value_gives_no_interval():
    assert mean_interval([2.0]) == Interval(2.0, None, None, 1)
    assert not mean_interval([2.0]).resolved
    assert ratio_interval([2.0], [4.0]) == Interval(0.5, None, None, 1)


def test_ratio_to_constants_is_the_interval_of_the_mean_divided():
    interval = ratio_interval([2.0, 3.0, 4.0], [10.0, 10.0, 10.0])
    assert interval[:4] == pytest.approx((0.3, 0.05158, 0.54842, 3), abs=1e-5)
    assert interval.resolved


def test_at_the_ends_of_fiellers_interval_the_t_test_is_on_the_edge():
    tops, bottoms = [2.0, 3.0, 4.5, 3.5], [10.0, 11.0, 12.5, 9.0]
    interval = ratio_interval(tops, bottoms)

    def t(ratio):
        rest = [top - ratio * bottom for top, bottom in zip(tops, bottoms, strict=True)]
        mean = sum(rest) / 4
        deviation = math.sqrt(sum((x - mean) ** 2 for x in rest) / 3)
        return mean / (deviation / math.sqrt(4))

    assert interval.estimate == pytest.approx(13 / 42.5)
    assert t(interval.low) == pytest.approx(3.18245, abs=1e-4)
    assert t(interval.high) == pytest.approx(-3.18245, abs=1e-4)
    assert interval.low < interval.estimate < interval.high


def test_a_ratio_by_what_may_be_nothing_has_no_bounds():
    # mean 2 with a standard error of 1.53: less than 4.3 of them above 0
    interval = ratio_interval([1.0, 1.2, 0.9], [-1.0, 3.0, 4.0])
    assert interval.estimate == pytest.approx(3.1 / 6)
    assert (interval.low, interval.high, interval.resolved) == (None, None, False)
    assert ratio_interval([1.0, 2.0], [-1.0, -2.0]) == Interval(None, None, None, 2)


SAMPLES = {
    "clear": [2.0, 2.2, 2.4],
    "doubtful": [0.5, 1.6, 1.2],
    "none": [-1.0, 1.0, 0.3],
    "four seeds": [1.0, 1.1, 1.4, 0.9],
    "one seed": [3.0],
}


@pytest.mark.parametrize("name", [name for name, values in SAMPLES.items() if len(values) > 1])
def test_p_values_and_intervals_are_those_of_scipy(name):
    values = SAMPLES[name]
    test = stats.ttest_1samp(values, 0.0)
    assert p_value(values) == pytest.approx(test.pvalue, rel=1e-9)
    for level in (0.95, 0.9875):
        interval, reference = mean_interval(values, level), test.confidence_interval(level)
        assert interval[1:3] == pytest.approx((reference.low, reference.high), rel=1e-9)
        assert interval.p == p_value(values)


def test_p_values_of_equal_values():
    assert p_value([2.0, 2.0]) == 0.0
    assert p_value([0.0, 0.0]) == 1.0
    assert mean_interval([2.0, 2.0]).resolved
    assert not mean_interval([0.0, 0.0]).resolved


def test_holm_by_hand():
    """Four tests at 5 %: 0.01 x 4, 0.015 x 3, then 0.03 x 2 is too much, so 0.04 fails as well."""
    p_values = [0.03, 0.01, 0.04, 0.015]
    corrected, levels = zip(*holm(p_values), strict=True)
    # 0.04 x 1 = 0.04 would be smaller than 0.06 before it.
    assert corrected == pytest.approx((0.06, 0.04, 0.06, 0.045))
    assert levels == pytest.approx((1 - 0.05 / 2, 1 - 0.05 / 4, 1 - 0.05 / 2, 1 - 0.05 / 3))
    assert holm([0.3]) == [(0.3, 0.95)]
    assert holm([0.9, 0.8]) == [(1.0, 0.975), (1.0, 0.975)]
    assert holm([]) == []


def test_corrected_intervals_by_hand_and_a_single_one_is_not_corrected():
    intervals = dict(zip(SAMPLES, mean_intervals(list(SAMPLES.values())), strict=True))
    # The order of the p-values: clear 0.0027, four seeds 0.0019, doubtful 0.076, none 0.87.
    for name, rest in {"four seeds": 4, "clear": 3, "doubtful": 2, "none": 2}.items():
        values, own = SAMPLES[name], intervals[name]
        count = len(values)
        reach = stats.t.ppf(1 - 0.05 / rest / 2, count - 1) * stats.sem(values)
        mean = sum(values) / count
        assert own[:3] == pytest.approx((mean, mean - reach, mean + reach))
        assert (own.tests, own.level) == (4, pytest.approx(1 - 0.05 / rest))
    assert intervals["clear"].p == pytest.approx(3 * p_value(SAMPLES["clear"]))
    assert intervals["one seed"] == Interval(3.0, None, None, 1)
    alone, seedless = mean_intervals([SAMPLES["clear"], [1.0]])
    assert alone == mean_interval(SAMPLES["clear"])
    assert seedless == Interval(1.0, None, None, 1)


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 2.0, 5.0])
def test_a_corrected_interval_excludes_0_exactly_where_the_corrected_test_rejects(scale):
    samples = [
        [mean + scale * deviation for deviation in (-0.3, 0.1, 0.4)]
        for mean in (0.2, 0.5, 1.0, 1.1, 2.0, -3.0)
    ]
    for interval in mean_intervals(samples):
        assert interval.resolved == (interval.p < 0.05)


def test_a_ratio_takes_the_level_of_its_difference():
    tops, bottoms = [2.0, 3.0, 4.0], [10.0, 10.0, 10.0]
    ratio, mean = ratio_interval(tops, bottoms, 0.99), mean_interval(tops, 0.99)
    assert (ratio.low, ratio.high) == pytest.approx((mean.low / 10, mean.high / 10))
    assert ratio.level == 0.99
