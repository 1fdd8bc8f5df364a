"""The class scores in closed form: against loops in double precision, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch

from semiseg.model.ridge import STRENGTHS, TEMPERATURES, RidgeScores, fit_ridge

Rows = list[list[float]]
Image = tuple[Rows, list[int]]


def solve(matrix: Rows, right: Rows) -> Rows:
    """The solution of a linear system by Gaussian elimination with pivots."""
    rows = [[*a, *b] for a, b in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(size):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[size:] for row in rows]


def fit_by_loops(images: list[Image], counts: list[int], strength: float) -> Rows:
    """`(D + 1, C)`: ridge regression with the weights and the ridge of all images' counts."""
    size, classes = len(images[0][0][0]) + 1, len(counts)
    ridge = strength * sum(n * n**-0.5 for n in counts if n)
    gram = [[ridge * (i == j) for j in range(size)] for i in range(size)]
    moment = [[0.0] * classes for _ in range(size)]
    for features, targets in images:
        for row, target in zip(features, targets, strict=True):
            weight = counts[target] ** -0.5
            extended = [*row, 1.0]
            for i in range(size):
                moment[i][target] += weight * extended[i]
                for j in range(size):
                    gram[i][j] += weight * extended[i] * extended[j]
    return solve(gram, moment)


def scores_by_loops(solution: Rows, row: list[float], counts: list[int]) -> list[float]:
    extended = [*row, 1.0]
    return [
        sum(x * line[c] for x, line in zip(extended, solution, strict=True))
        - (0 if counts[c] else 1000)
        for c in range(len(counts))
    ]


def log_loss(scores: list[float], target: int, temperature: float) -> float:
    best = max(scores)
    total = sum(math.exp((score - best) / temperature) for score in scores)
    return math.log(total) - (scores[target] - best) / temperature


def draw(images: int, pixels: int, classes: int, seed: int = 0) -> list[Image]:
    """Images whose features say something about the classes, and not everything."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(images):
        targets = torch.randint(classes, (pixels,), generator=generator)
        centers = torch.eye(classes, 3)[targets]
        noise = torch.randn(pixels, 3, generator=generator)
        result.append(((centers + 0.5 * noise).double().tolist(), targets.tolist()))
    return result


def fit(images: list[Image], counts: list[int], judged: list[int]) -> RidgeScores:
    pairs = [(torch.tensor(f), torch.tensor(t, dtype=torch.long)) for f, t in images]
    return fit_ridge(iter(pairs), torch.tensor(counts), judged)


def count(images: list[Image], classes: int) -> list[int]:
    return [sum(targets.count(c) for _, targets in images) for c in range(classes)]


def test_the_fit_is_that_of_loops() -> None:
    """The matrix, and the strength and temperature by leaving out one image at a time."""
    images = draw(4, 12, 3)
    counts = [*count(images, 3), 0]  # the last class has no pixel
    result = fit(images, counts, [0, 1, 3])
    losses = {}
    labels: dict[float, list[int]] = {}
    for strength in STRENGTHS:
        judged = []
        for number in (0, 1, 3):
            others = [image for i, image in enumerate(images) if i != number]
            solution = fit_by_loops(others, counts, strength)
            features, targets = images[number]
            judged += [
                (scores_by_loops(solution, row, counts), target)
                for row, target in zip(features, targets, strict=True)
            ]
        labels[strength] = [scores.index(max(scores)) for scores, _ in judged]
        for temperature in TEMPERATURES:
            terms = [log_loss(scores, target, temperature) for scores, target in judged]
            losses[strength, temperature] = sum(terms) / len(terms)
    best = min(losses, key=lambda pair: losses[pair])
    assert (result.strength, result.temperature) == best
    assert result.left_out.tolist() == labels[best[0]]
    assert result.targets.tolist() == [t for i in (0, 1, 3) for t in images[i][1]]
    expected = torch.tensor(fit_by_loops(images, counts, best[0]), dtype=torch.double)
    torch.testing.assert_close(result.matrix, expected[:-1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(result.bias[:-1], expected[-1][:-1], rtol=1e-9, atol=1e-12)
    assert result.bias[-1] == -1000


def test_a_single_image_is_judged_by_halves() -> None:
    (image,) = draw(1, 31, 2)
    counts = count([image], 2)
    result = fit([image], counts, [0])
    features, targets = image
    halves = [(features[:16], targets[:16]), (features[16:], targets[16:])]
    labels = []
    for half, other in (halves, halves[::-1]):
        solution = fit_by_loops([other], counts, result.strength)
        scores = [scores_by_loops(solution, row, counts) for row in half[0]]
        labels += [own.index(max(own)) for own in scores]
    assert result.left_out.tolist() == labels
    assert result.targets.tolist() == targets


def test_a_class_that_is_everywhere_is_chosen_everywhere() -> None:
    features = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(3))
    targets = torch.ones(9, dtype=torch.long)
    images = [(own, targets) for own in features]
    result = fit_ridge(images, torch.tensor([0, 18, 0]), [0, 1])
    assert result.left_out.eq(1).all()
    scores = torch.randn(50, 3).double() @ result.matrix + result.bias
    assert scores.argmax(1).eq(1).all()


def test_a_class_in_one_image_only_is_fitted_and_left_out() -> None:
    images = draw(2, 10, 2)
    images.append(([[0.0, 0.0, 9.0]] * 4, [2] * 4))
    result = fit(images, count(images, 3), [0, 1, 2])
    assert 2 not in result.left_out.tolist()  # the others know nothing of it
    scores = torch.tensor([0.0, 0.0, 9.0]).double() @ result.matrix + result.bias
    assert scores.argmax() == 2


def test_an_image_without_labeled_pixels_changes_nothing() -> None:
    images = draw(3, 8, 2)
    counts = count(images, 2)
    pairs = [(torch.tensor(f), torch.tensor(t)) for f, t in images]
    empty = (torch.zeros(0, 3).double(), torch.zeros(0, dtype=torch.long))
    plain = fit_ridge(pairs, torch.tensor(counts), range(3))
    more = fit_ridge([*pairs, empty], torch.tensor(counts), range(4))
    assert all(torch.equal(*parts) for parts in zip(plain[:2], more[:2], strict=True))
    assert torch.equal(plain.left_out, more.left_out)


def test_nothing_is_fitted_to_nothing() -> None:
    with pytest.raises(ValueError, match="no labeled pixel"):
        fit_ridge([], torch.zeros(2, dtype=torch.long), [])
