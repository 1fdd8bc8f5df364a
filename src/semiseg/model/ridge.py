"""Class scores in closed form: ridge regression on the classes of labeled pixels.

Its strength, and the temperature of the probabilities, are those with the smallest log loss on the
labeled images, each judged by a fit without it. Nothing is drawn. All sums and solutions are in
double precision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""The strengths to choose from, as shares of the sum of all weights."""
TEMPERATURES = tuple(0.02 * 50 ** (step / 17) for step in range(18))
"""The temperatures to choose from, 0.02 to 1 in equal ratios."""
_NEVER = -1000.0  # the score of a class without a labeled pixel


class RidgeScores(NamedTuple):
    """Scores of the classes that are linear in the features.

    Attributes:
        matrix: `(D, C)` double.
        bias: `(C,)` double. A class without a labeled pixel has -1000 here, so it is never chosen.
        strength: the strength of the ridge that was chosen.
        temperature: the scores divided by it are the logits of the probabilities.
        left_out: `(M,)` the labels of the pixels that were judged by fits without their images.
        targets: `(M,)` the classes of these pixels.
    """

    matrix: Tensor
    bias: Tensor
    strength: float
    temperature: float
    left_out: Tensor
    targets: Tensor


class _Sums(NamedTuple):
    """What a fit needs of some pixels: `(D + 1, D + 1)` and `(D + 1, C)`, weighted."""

    gram: Tensor
    moment: Tensor

    def without(self, part: _Sums) -> _Sums:
        return _Sums(self.gram - part.gram, self.moment - part.moment)

    def solve(self, ridge: Tensor) -> Tensor:
        """`(D + 1, C)`; the last row belongs to the constant."""
        factor = torch.linalg.cholesky(
            self.gram + ridge * torch.eye(len(self.gram), dtype=self.gram.dtype)
        )
        return torch.cholesky_solve(self.moment, factor)


def fit_ridge(
    images: Iterable[tuple[Tensor, Tensor]], counts: Tensor, judged: Collection[int]
) -> RidgeScores:
    """Fit the scores to one-hot targets. A pixel of class `c` has the weight `counts[c] ** -0.5`.

    The features get a constant as a further one, which the ridge shrinks too.

    Args:
        images: of each image the features `(N, D)` and the classes `(N,)` int64 of its labeled
            pixels. They are read once; only those of the judged images are kept.
        counts: `(C,)` the pixels of each class in all images.
        judged: the positions of the images that are judged by fits without them. Of a single image,
            each half of the pixels is judged without it.

    Raises:
        ValueError: there is no labeled pixel.
    """
    if not counts.any():
        raise ValueError("there is no labeled pixel")
    weights = counts.clamp(min=1).double().rsqrt()
    total_weight = (counts * weights).sum()
    judged_parts: list[tuple[Tensor, Tensor]] = []
    total: _Sums | None = None
    number = 0
    for number, (features, targets) in enumerate(images, 1):
        own = _sums(features, targets, weights)
        total = own if total is None else _Sums(total.gram + own.gram, total.moment + own.moment)
        if number - 1 in judged:
            judged_parts.append((features, targets))
    if total is None:
        raise ValueError("there is no image")
    if number == 1:
        judged_parts = [*zip(*(part.tensor_split(2) for part in judged_parts[0]), strict=True)]
    ridges = [strength * total_weight for strength in STRENGTHS]
    unlabeled = torch.where(counts > 0, 0.0, _NEVER).double()
    scores = [
        torch.cat(parts) + unlabeled
        for parts in zip(*_left_out_scores(judged_parts, total, weights, ridges), strict=True)
    ]
    targets = torch.cat([part for _, part in judged_parts])
    best = min(
        (F.cross_entropy(own / temperature, targets).item(), strength, temperature)
        for strength, own in zip(STRENGTHS, scores, strict=True)
        for temperature in TEMPERATURES
    )
    _, strength, temperature = best
    position = STRENGTHS.index(strength)
    solution = total.solve(ridges[position])
    return RidgeScores(
        solution[:-1],
        solution[-1] + unlabeled,
        strength,
        temperature,
        scores[position].argmax(1),
        targets,
    )


def _left_out_scores(
    parts: Iterable[tuple[Tensor, Tensor]], total: _Sums, weights: Tensor, ridges: list[Tensor]
) -> Iterator[list[Tensor]]:
    """For each part, its scores `(N, C)` by fits without it, one for each ridge."""
    for features, targets in parts:
        others = total.without(_sums(features, targets, weights))
        extended = _with_constant(features)
        yield [extended @ others.solve(ridge) for ridge in ridges]


def _sums(features: Tensor, targets: Tensor, weights: Tensor) -> _Sums:
    extended = _with_constant(features)
    weighted = extended * weights[targets][:, None]
    one_hot = F.one_hot(targets, len(weights)).double()
    return _Sums(extended.T @ weighted, weighted.T @ one_hot)


def _with_constant(features: Tensor) -> Tensor:
    return F.pad(features.double(), (0, 1), value=1.0)
