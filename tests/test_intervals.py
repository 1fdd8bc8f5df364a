"""Intervals, against tables and against values worked out by hand."""

import math

import pytest

from semiseg.comparison.intervals import mean_interval, ratio_interval, t_quantile

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
    assert mean_interval([2.0]) == (2.0, None, None, 1)
    assert not mean_interval([2.0]).resolved
    assert ratio_interval([2.0], [4.0]) == (0.5, None, None, 1)


def test_ratio_to_constants_is_the_interval_of_the_mean_divided():
    interval = ratio_interval([2.0, 3.0, 4.0], [10.0, 10.0, 10.0])
    assert interval == pytest.approx((0.3, 0.05158, 0.54842, 3), abs=1e-5)
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
    assert ratio_interval([1.0, 2.0], [-1.0, -2.0]) == (None, None, None, 2)
