"""The choice of the model to release, and its score on images that took no part in the choice.

A training ends with several candidates: its networks, each with several strengths of the logit
adjustment. The best of them on a small `val` is often the luckiest, and its score on the same
images is too high. So the choice follows two rules:

* **One standard error** (Breiman et al., *Classification and Regression Trees*, 1984, section
  3.4.3): the simplest candidate is chosen that is not worse than the best one by more than one
  standard error of the difference. On a small `val` the error is large, and the simple model stays.
* **Cross-fitting**: each half of `val` is scored with the candidate that the other half chose. The
  score is that of the rule, not of one lucky candidate.

The error is that of the jackknife over the images (Efron, *The Jackknife, the Bootstrap and Other
Resampling Plans*, 1982, section 3). Let `d` be the best candidate's mean IoU minus that of another
one, and `d_i` the same without image `i` of `n`. Then `SE² = (n - 1) / n · Σ_i (d_i - mean d)²`.
Both candidates are scored on the same images, so what makes an image hard for both cancels out. The
jackknife takes images as independent. Neighboring frames of a video are not, and their true error
is larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from semiseg.core.choices import Candidate, Choice, FirstStage
from semiseg.evaluation.metrics import MaskScores, scores_of_sums

MIN_IMAGES = 3
"""The fewest images with an error. From two, it would rest on a single difference."""

Counts = NDArray[np.integer]
Images = NDArray[np.intp]
"""The positions of some images, `(n,)`."""


class Chosen(NamedTuple):
    """What a rule chooses, by the positions of the candidates.

    Attributes:
        released: the candidate to release.
        last: that of the last stage, which stage 1 had to beat.
    """

    released: int
    last: int


class PixelSums(NamedTuple):
    """Pixels by class, summed over images: `(C,)` int64 each.

    Attributes:
        true: the true pixels of each class.
        predicted: its predicted pixels.
        common: the pixels that are both.
    """

    true: Counts
    predicted: Counts
    common: Counts

    def plus(self, other: PixelSums) -> PixelSums:
        """The sums over the images of both."""
        return PixelSums(*(a + b for a, b in zip(self, other, strict=True)))

    def scores(self, names: Sequence[str]) -> MaskScores:
        """The scores of the classes with these names."""
        true, predicted, common = map(torch.from_numpy, self)
        return scores_of_sums(true, predicted, common, names)


@dataclass(frozen=True)
class ImageCounts:
    """What the mean IoU of each candidate needs of each image: no matrix of classes by classes.

    Attributes:
        candidates: the `K` candidates, the simplest first within a stage.
        true: `(N, C)` int32, the true pixels of each class in each image.
        predicted: `(K, N, C)` int32, the predicted pixels. Ignored pixels do not count.
        common: `(K, N, C)` int32, the pixels that are both.
    """

    candidates: tuple[Candidate, ...]
    true: NDArray[np.int32]
    predicted: NDArray[np.int32]
    common: NDArray[np.int32]

    @property
    def images(self) -> Images:
        """The positions of all images."""
        return np.arange(len(self.true))

    def sums(self, index: int, images: Images) -> PixelSums:
        """The sums of one candidate over some images."""
        parts = (self.true[images], self.predicted[index][images], self.common[index][images])
        return PixelSums(*(part.sum(axis=0, dtype=np.int64) for part in parts))

    def mean_iou(self, index: int, images: Images) -> float:
        """The mean IoU of one candidate on some images in percent; NaN where no class occurs."""
        return float(_mean_iou(self.sums(index, images)))

    def score(self, index: int) -> float | None:
        """The same on all images, with the bits of all other scores; None where no class occurs."""
        names = [str(number) for number in range(self.true.shape[1])]
        return self.sums(index, self.images).scores(names)["miou"]

    def without_each(self, index: int, images: Images) -> NDArray[np.float64]:
        """The mean IoU of one candidate on some images without each one of them, `(n,)`."""
        sums = self.sums(index, images)
        parts = (self.true[images], self.predicted[index][images], self.common[index][images])
        return _mean_iou(PixelSums(*(s - part for s, part in zip(sums, parts, strict=True))))

    def standard_error(self, better: int, worse: int, images: Images) -> float | None:
        """The standard error of the difference of two mean IoUs, in percentage points.

        Returns:
            None for fewer than three images, or if no class occurs without one of them.
        """
        if len(images) < MIN_IMAGES:
            return None
        error = jackknife_error(
            self.without_each(better, images) - self.without_each(worse, images)
        )
        return None if math.isnan(error) else error

    def only(self, indices: Sequence[int]) -> ImageCounts:
        """The counts of some candidates."""
        chosen = list(indices)
        return ImageCounts(
            tuple(self.candidates[index] for index in chosen),
            self.true,
            self.predicted[chosen],
            self.common[chosen],
        )

    def in_stage(self, number: int) -> ImageCounts:
        """The same counts, of candidates that a stage of a training has made."""
        candidates = tuple(replace(candidate, stage=number) for candidate in self.candidates)
        return replace(self, candidates=candidates)

    def joined(self, other: ImageCounts) -> ImageCounts:
        """The candidates of both, on the same images.

        Raises:
            ValueError: the masks of the images differ.
        """
        if not np.array_equal(self.true, other.true):
            raise ValueError("the masks of val differ")
        return ImageCounts(
            (*self.candidates, *other.candidates),
            self.true,
            np.concatenate([self.predicted, other.predicted]),
            np.concatenate([self.common, other.common]),
        )


def simplest_first(networks: Sequence[str], strengths: Sequence[float]) -> tuple[Candidate, ...]:
    """The candidates of a training in the order of their simplicity.

    The strength decides first: an adjustment is fitted to `val`, where each of many values moves
    the pixels of all classes, and the larger ones change more. With the same strength, the student
    comes first: it is what the optimizer trained, and a teacher or a second student comes on top of
    it. The order is fixed, so that no score has a part in it.

    Args:
        networks: the networks, the student first.
        strengths: the strengths of the logit adjustment, from 0 upwards.

    Example:
        >>> [(c.network, c.strength) for c in simplest_first(["student", "teacher"], [0.0, 0.5])]
        [('student', 0.0), ('teacher', 0.0), ('student', 0.5), ('teacher', 0.5)]
    """
    return tuple(Candidate(1, network, strength) for strength in strengths for network in networks)


def jackknife_error(values: NDArray[np.float64]) -> float:
    """The standard error of a statistic from its values without each image.

    Args:
        values: `(n,)`.

    Example:
        >>> data = np.array([1.0, 2.0, 6.0])
        >>> without_each = (data.sum() - data) / 2
        >>> error = jackknife_error(without_each)  # for a mean, it is the usual one
        >>> bool(np.isclose(error, data.std(ddof=1) / np.sqrt(3)))
        True
    """
    count = len(values)
    return math.sqrt((count - 1) / count * float(((values - values.mean()) ** 2).sum()))


def choose(counts: ImageCounts, images: Images | None = None) -> int:
    """Choose the candidate to release by the rule of one standard error.

    The candidates of the last stage compete first. If there are some of an earlier one too, its own
    choice wins if it is better than that of the last stage by more than one standard error.

    Args:
        counts: the candidates, with their counts.
        images: the positions of the images to choose on; all of them by default. On fewer than
            three images the simplest candidate of the last stage is chosen.

    Returns:
        The index of the candidate.
    """
    return _choose(counts, counts.images if images is None else images).released


def _choose(counts: ImageCounts, images: Images) -> Chosen:
    """The candidate that `choose` gives, and that of the last stage."""
    choices = _choose_in_stages(counts, images)
    last = choices[max(choices)]
    if len(choices) == 1:
        return Chosen(last, last)
    first = choices[min(choices)]
    return Chosen(first if _is_worse(counts, last, first, images) else last, last)


def halves_of(names: Sequence[str]) -> tuple[Images, Images]:
    """The positions of the two halves of some images: contiguous by name, see `cross_fit`.

    Args:
        names: the name of each image.
    """
    order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.intp)
    return order[: len(order) // 2], order[len(order) // 2 :]


def cross_fit(
    counts: ImageCounts,
    names: Sequence[str],
    chooser: Callable[[ImageCounts, Images], Chosen] | None = None,
) -> tuple[Choice, PixelSums]:
    """Choose on all images, and score what each half of the images chooses on the other half.

    The halves are contiguous by name, so that the frames of a video stay together. The sums of the
    two are added before the mean IoU is computed. The mean of two mean IoUs would be another
    measure: a class may occur in one half only, and a rare class would count as much in the half
    with few of its pixels as in the other.

    Args:
        counts: the candidates, with their counts.
        names: the name of each image.
        chooser: the rule; None for that of `choose`.

    Returns:
        The choice on all images, with that of each half, and the sums to report.
    """
    rule = chooser or _choose
    first_half, second_half = halves_of(names)
    by_first, by_second = rule(counts, first_half).released, rule(counts, second_half).released
    sums = counts.sums(by_second, first_half).plus(counts.sums(by_first, second_half))
    images = counts.images
    released, last = rule(counts, images)
    best = _best(counts, range(len(counts.candidates)), images)
    choice = Choice(
        images=len(images),
        chosen=counts.candidates[released],
        miou=counts.score(released),
        best=counts.candidates[best],
        best_miou=counts.score(best),
        standard_error=counts.standard_error(best, released, images),
        first_half=counts.candidates[by_first],
        second_half=counts.candidates[by_second],
        first_stage=_compare_stages(counts, last),
    )
    return choice, sums


def _choose_in_stages(counts: ImageCounts, images: Images) -> dict[int, int]:
    """The choice among the candidates of each stage, by the number of the stage."""
    stages: dict[int, list[int]] = {}
    for index, candidate in enumerate(counts.candidates):
        stages.setdefault(candidate.stage, []).append(index)
    choices = {}
    for stage, indices in stages.items():
        best = _best(counts, indices, images)
        choices[stage] = next(i for i in indices if not _is_worse(counts, i, best, images))
    return choices


def _best(counts: ImageCounts, indices: Sequence[int], images: Images) -> int:
    """The candidate with the highest mean IoU: the simpler one of two that are alike."""
    means = {index: counts.mean_iou(index, images) for index in indices}
    return max(indices, key=lambda index: -math.inf if math.isnan(means[index]) else means[index])


def _is_worse(counts: ImageCounts, index: int, best: int, images: Images) -> bool:
    """Whether a candidate is worse than another one by more than one standard error.

    Without an error nothing is known to be worse.
    """
    error = counts.standard_error(best, index, images)
    lead = counts.mean_iou(best, images) - counts.mean_iou(index, images)
    return error is not None and lead > error


def _compare_stages(counts: ImageCounts, last: int) -> FirstStage | None:
    """The choice of the first stage against that of the last one; None with a single stage.

    Args:
        counts: the candidates, with their counts.
        last: the position of the choice of the last stage.
    """
    choices = _choose_in_stages(counts, counts.images)
    if len(choices) == 1:
        return None
    first = choices[min(choices)]
    return FirstStage(
        candidate=counts.candidates[first],
        miou=counts.score(first),
        last_miou=counts.score(last),
        standard_error=counts.standard_error(first, last, counts.images),
    )


def _mean_iou(sums: PixelSums) -> NDArray[np.float64]:
    """The mean IoU in percent from sums `(..., C)`; NaN where no class has a true pixel.

    A class without true pixels is left out, as in `evaluation.metrics.scores_of_sums`.
    """
    scored = sums.true > 0
    union = sums.true + sums.predicted - sums.common
    iou = np.where(scored, sums.common / np.maximum(union, 1), 0.0)
    number = scored.sum(axis=-1)
    mean = 100 * iou.sum(axis=-1) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.nan)
