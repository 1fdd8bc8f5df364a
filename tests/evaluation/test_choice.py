"""The choice of the released model: the rule by hand, the jackknife as a loop, the two halves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semiseg.core.choices import Candidate
from semiseg.evaluation.choice import (
    ImageCounts,
    choose,
    cross_fit,
    jackknife_error,
    simplest_first,
)


def table(common: object, candidates: tuple[Candidate, ...] = ()) -> ImageCounts:
    """Counts with 100 true and 100 predicted pixels for each class in each image.

    Args:
        common: `(K, N, C)`, or `(K, N)` for a single class.
        candidates: the candidates; the networks `0`, `1` ... by default.
    """
    correct = np.asarray(common, dtype=np.int32)
    correct = correct[..., None] if correct.ndim == 2 else correct
    whole = np.full_like(correct, 100)
    candidates = candidates or tuple(Candidate(1, str(i), 0.0) for i in range(len(correct)))
    return ImageCounts(candidates, whole[0], whole, correct)


def drawn(candidates: int, images: int, classes: int, seed: int) -> ImageCounts:
    """Random counts. The last class is rare: half of the images do not have it."""
    rng = np.random.default_rng(seed)
    true = rng.integers(1, 100, (images, classes))
    true[rng.random(images) < 0.5, -1] = 0
    common = rng.integers(0, true + 1, (candidates, images, classes))
    predicted = common + rng.integers(0, 40, common.shape)
    arrays = (array.astype(np.int32) for array in (true, predicted, common))
    return ImageCounts(tuple(Candidate(1, str(i), 0.0) for i in range(candidates)), *arrays)


def mean_iou(counts: ImageCounts, index: int, images: list[int]) -> float:
    """The mean IoU of one candidate, class by class and image by image."""
    values = []
    for c in range(counts.true.shape[1]):
        true = sum(int(counts.true[i, c]) for i in images)
        predicted = sum(int(counts.predicted[index, i, c]) for i in images)
        common = sum(int(counts.common[index, i, c]) for i in images)
        if true:
            values.append(100 * common / (true + predicted - common))
    return sum(values) / len(values)


def error(counts: ImageCounts, best: int, other: int, images: list[int]) -> float:
    """The error of the jackknife, image by image."""
    differences = []
    for left_out in images:
        rest = [image for image in images if image != left_out]
        differences.append(mean_iou(counts, best, rest) - mean_iou(counts, other, rest))
    mean = sum(differences) / len(differences)
    squares = sum((difference - mean) ** 2 for difference in differences)
    return math.sqrt((len(images) - 1) / len(images) * squares)


def rule(counts: ImageCounts, images: list[int]) -> int:
    """The rule of one standard error, in plain words."""
    means = [mean_iou(counts, index, images) for index in range(len(counts.candidates))]
    best = means.index(max(means))
    for index, mean in enumerate(means):
        if means[best] - mean <= error(counts, best, index, images):
            return index
    raise AssertionError("the best candidate is not worse than itself")


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_is_that_of_the_loops(seed: int) -> None:
    counts = drawn(candidates=5, images=7, classes=3, seed=seed)
    everything = list(range(7))
    assert choose(counts) == rule(counts, everything)
    for best, other in ((0, 1), (3, 2)):
        ours = counts.standard_error(best, other, counts.images)
        assert ours == pytest.approx(error(counts, best, other, everything))
    some = [1, 2, 5, 6]
    assert choose(counts, np.array(some)) == rule(counts, some)


def test_the_rules_of_the_loops_differ_from_the_best_one() -> None:
    """Else the test above would say nothing."""
    tables = [drawn(candidates=5, images=7, classes=3, seed=seed) for seed in range(6)]
    choices = [choose(counts) for counts in tables]
    means = [[mean_iou(counts, k, list(range(7))) for k in range(5)] for counts in tables]
    assert choices != [values.index(max(values)) for values in means]
    assert len(set(choices)) > 1


def test_the_error_of_a_mean_is_the_usual_one() -> None:
    data = np.random.default_rng(0).normal(size=11)
    without_each = (data.sum() - data) / 10
    assert jackknife_error(without_each) == pytest.approx(data.std(ddof=1) / math.sqrt(11))


def test_the_simple_one_stays_where_the_difference_is_within_the_error() -> None:
    simple = [60, 60, 60, 60]
    assert choose(table([simple, [70, 52, 69, 53]])) == 0  # better, but not in each image
    assert choose(table([simple, [62, 61, 62, 61]])) == 1  # by little, but in each image
    assert choose(table([simple, simple])) == 0
    # The second is within the error of the third, and simpler.
    assert choose(table([[50, 50, 50, 50], [60, 62, 60, 62], [63, 60, 64, 59]])) == 1


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_images_choose_nothing(images: int) -> None:
    counts = table([[10] * images, [90] * images])
    assert choose(counts) == 0
    assert counts.standard_error(1, 0, counts.images) is None
    choice, sums = cross_fit(counts, [str(i) for i in range(images)])
    assert choice.chosen == choice.first_half == choice.second_half == counts.candidates[0]
    assert sums.common.tolist() == [10 * images]
    if images:
        assert choice.best == counts.candidates[1]
        assert choice.best_miou == pytest.approx(100 * 90 / 110)


def test_images_without_a_class_choose_nothing() -> None:
    zeros = np.zeros((2, 5, 3), np.int32)
    counts = ImageCounts(table([[0], [0]]).candidates, zeros[0], zeros, zeros)
    choice, sums = cross_fit(counts, list("abcde"))
    assert choice.chosen == counts.candidates[0]
    assert choice.miou is choice.best_miou is choice.standard_error is None
    assert sums.scores("xyz")["miou"] is None


def test_each_half_is_scored_with_what_the_other_one_chose() -> None:
    """The halves are contiguous by name, wherever the images stand in the list."""
    names = ["a3", "b1", "a1", "b3", "a2", "b2"]
    # The first candidate is the better one on a, the second one on b.
    common = [[80, 20, 81, 21, 82, 22], [50, 60, 51, 61, 52, 62]]
    counts = table(common)
    choice, sums = cross_fit(counts, names)
    first, second = counts.candidates
    assert (choice.first_half, choice.second_half) == (first, second)
    # So a is scored with the second candidate, and b with the first one.
    assert sums.common.tolist() == [50 + 51 + 52 + 20 + 21 + 22]
    assert sums.true.tolist() == sums.predicted.tolist() == [600]
    assert choice.images == 6
    assert choice.miou == pytest.approx(mean_iou(counts, choose(counts), list(range(6))))
    with_five = ImageCounts(
        counts.candidates, counts.true[1:], counts.predicted[:, 1:], counts.common[:, 1:]
    )
    _, sums = cross_fit(with_five, names[1:])  # two images of a choose nothing for three of b
    assert sums.common.tolist() == [51 + 52 + 20 + 21 + 22]


def test_a_class_in_one_half_counts_once() -> None:
    """The sums are added; the mean of two mean IoUs would be another number."""
    arrays = np.zeros((3, 1, 6, 2), np.int32)
    arrays[:, :, :, 0] = 100
    arrays[2, :, :, 0] = 60
    arrays[:, :, 5, 1] = 10
    counts = ImageCounts((Candidate(1, "student", 0.0),), arrays[0, 0], arrays[1], arrays[2])
    _, sums = cross_fit(counts, list("abcdef"))
    assert sums.scores(["common", "rare"])["miou"] == pytest.approx((100 * 60 / 140 + 100) / 2)


def test_what_is_best_on_val_is_optimistic_and_the_cross_fitted_score_is_not() -> None:
    """Fourteen candidates that are equally good; on each val, chance makes one the best."""
    rng = np.random.default_rng(0)
    truth = 100 * 60 / 140
    best, reported = [], []
    for _ in range(100):
        counts = table(np.rint(rng.normal(60, 10, (14, 20))))
        choice, sums = cross_fit(counts, [f"{i:02}" for i in range(20)])
        best.append(choice.best_miou)
        reported.append(sums.scores(["all"])["miou"])
    assert np.mean(best) - truth > 3
    error = np.std(reported) / math.sqrt(len(reported))
    assert error < 0.3
    assert abs(np.mean(reported) - truth) < 3 * error


def test_the_order_is_that_of_the_strength_then_of_the_network() -> None:
    order = [(c.strength, c.network) for c in simplest_first(["student", "teacher"], [0.0, 0.25])]
    assert order == [(0.0, "student"), (0.0, "teacher"), (0.25, "student"), (0.25, "teacher")]


FIRST = [50, 51, 49, 50, 52, 48]


@pytest.mark.parametrize(
    ("last", "stage"),
    [
        ([40, 41, 39, 40, 42, 38], 1),  # worse in each image
        ([60, 61, 59, 60, 62, 58], 2),
        ([20, 80, 20, 79, 20, 78], 2),  # worse by less than the error
        (FIRST, 2),
    ],
    ids=["worse", "better", "within the error", "equal"],
)
def test_the_first_stage_is_released_where_the_last_one_is_worse(
    last: list[int], stage: int
) -> None:
    counts = table([FIRST]).joined(table([last]).in_stage(2))
    choice, _ = cross_fit(counts, list("abcdef"))
    assert choice.chosen.stage == stage
    assert choice.is_first_stage == (stage == 1)
    comparison = choice.first_stage
    assert comparison is not None
    assert comparison.candidate == counts.candidates[0]
    assert comparison.miou == pytest.approx(mean_iou(counts, 0, list(range(6))))
    assert comparison.last_miou == pytest.approx(mean_iou(counts, 1, list(range(6))))
    assert comparison.standard_error == pytest.approx(error(counts, 0, 1, list(range(6))))


def test_each_half_chooses_the_stage_too() -> None:
    """And each stage its own candidate first."""
    first = table([[50, 50, 50, 50, 50, 50], [50, 60, 50, 60, 50, 60]])
    last = table([[40, 41, 42, 90, 91, 92]]).in_stage(2)
    counts = first.joined(last)
    choice, sums = cross_fit(counts, list("abcdef"))
    assert choice.first_half.stage == 1
    assert choice.second_half.stage == 2
    chosen = counts.candidates.index(choice.first_half)
    expected = [40 + 41 + 42 + int(counts.common[chosen, 3:].sum())]
    assert sums.common.tolist() == expected


def test_stages_with_other_masks_are_refused() -> None:
    other = table([[1, 2, 3]])
    other = ImageCounts(other.candidates, other.true + 1, other.predicted, other.common)
    with pytest.raises(ValueError, match="masks of val differ"):
        table([[1, 2, 3]]).joined(other)
