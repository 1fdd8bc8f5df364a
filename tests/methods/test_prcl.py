"""PRCL by hand: variances, similarities of Gaussians, prototypes by precision, and the schedule."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_methods import CLASSES, at, build, labeled_batch, learn, run, unlabeled_batch, values

from semiseg.config.groups import OptimizerConfig
from semiseg.config.methods import METHODS, PrclSettings
from semiseg.losses.contrastive import Comparisons, comparisons_of, draw_pixels, info_nce
from semiseg.losses.gaussian import (
    compare_by,
    gaussian_prototypes,
    mutual_likelihood,
    similarities_of,
)
from semiseg.model.variance_head import VarianceHead, bounded_variance
from semiseg.training.optimizer import build_optimizer

SIZE, DIM = 32, 8
# So low that a network without training has sure and hard pixels.
EASY = {
    **{"confidence_threshold": 0.4, "valid_threshold": 0.36, "hard_threshold": 0.9},
    **{"representation_dim": DIM, "anchors": 16, "negatives": 16},
}


def prcl(**settings):
    return build("prcl", **{**EASY, **settings})


def batches():
    return labeled_batch(SIZE), unlabeled_batch(SIZE)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def gaussians(count, dim=DIM, seed=0, variance=None):
    generator = seeded(seed)
    mean = torch.randn(count, dim, generator=generator).double()
    spread = 0.05 + 0.9 * torch.rand(count, dim, generator=generator).double()
    return torch.cat([mean, spread if variance is None else torch.full_like(mean, variance)], dim=1)


# The similarity


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_mutual_likelihood_by_hand(reduction):
    first, second = gaussians(3), gaussians(4, seed=1)
    ours = mutual_likelihood(first, second, reduction)
    for i, k in np.ndindex(3, 4):
        a, b = first[i].tolist(), second[k].tolist()
        length_a, length_b = (math.sqrt(sum(v * v for v in g[:DIM])) for g in (a, b))
        total = 0.0
        for d in range(DIM):
            spread = a[DIM + d] + b[DIM + d]
            total += (a[d] / length_a - b[d] / length_b) ** 2 / spread + math.log(spread)
        expected = -total / 2 / (1 if reduction == "sum" else DIM)
        assert ours[i, k].item() == pytest.approx(expected, rel=1e-12)


def test_the_similarity_is_symmetric_and_has_the_order_of_the_cosine_at_equal_variances():
    first, second = gaussians(5), gaussians(7, seed=1)
    ours, other = mutual_likelihood(first, second, "sum"), mutual_likelihood(second, first, "sum")
    torch.testing.assert_close(ours, other.t())
    first, second = gaussians(5, variance=0.3), gaussians(7, seed=1, variance=0.3)
    ours = mutual_likelihood(first, second, "sum")
    cosine = F.normalize(first[:, :DIM], dim=1) @ F.normalize(second[:, :DIM], dim=1).t()
    assert torch.equal(ours.argsort(dim=1), cosine.argsort(dim=1))


def test_with_identical_means_the_variances_alone_decide():
    mean = torch.randn(1, DIM, generator=seeded(0)).double().expand(4, DIM)
    spread = gaussians(4)[:, DIM:]
    ours = mutual_likelihood(torch.cat([mean, spread], 1), torch.cat([7 * mean, spread], 1), "sum")
    other = mutual_likelihood(torch.cat([-mean, spread], 1), torch.cat([-mean, spread], 1), "sum")
    torch.testing.assert_close(ours, other)
    expected = -0.5 * (spread.unsqueeze(1) + spread).log().sum(dim=2)
    torch.testing.assert_close(ours, expected)


def test_its_gradient():
    first, second = gaussians(2, 3).requires_grad_(), gaussians(3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: mutual_likelihood(x, second, "mean"), first)


# Prototypes


def test_prototypes_by_hand():
    """Per dimension; a pixel that is unsure in a dimension moves it less."""
    pixels, labels = gaussians(20), torch.randint(3, (20,), generator=seeded(2))
    labels[:3] = torch.tensor([255, 0, 1])
    for precision in ("sum", "mean"):
        ours = gaussian_prototypes(pixels, labels, 4, precision)
        for c in range(3):
            own = [
                p for p, label in zip(pixels.tolist(), labels.tolist(), strict=True) if label == c
            ]
            for d in range(DIM):
                total = sum(1 / p[DIM + d] for p in own)
                mean = sum(p[d] / p[DIM + d] for p in own) / total
                variance = 1 / total * (1 if precision == "sum" else len(own))
                assert ours[c, d].item() == pytest.approx(mean, rel=1e-9)
                assert ours[c, DIM + d].item() == pytest.approx(variance, rel=1e-9)
        assert torch.equal(ours[3, :DIM], torch.zeros(DIM).double())  # no pixel
        assert torch.equal(ours[3, DIM:], torch.ones(DIM).double())


def test_equal_variances_give_the_plain_mean_and_one_pixel_itself():
    pixels, labels = gaussians(10, variance=0.4), torch.zeros(10, dtype=torch.long)
    prototype = gaussian_prototypes(pixels, labels, 1, "sum")
    torch.testing.assert_close(prototype[0, :DIM], pixels[:, :DIM].mean(dim=0))
    torch.testing.assert_close(prototype[0, DIM:], torch.full((DIM,), 0.04).double())
    one = gaussian_prototypes(pixels[:1], labels[:1], 1, "sum")
    torch.testing.assert_close(one, pixels[:1])


def test_an_unsure_pixel_moves_the_prototype_less():
    pixels = gaussians(2, variance=0.5)
    labels = torch.zeros(2, dtype=torch.long)

    def distance(variance):
        moved = pixels.clone()
        moved[1, DIM:] = variance
        prototype = gaussian_prototypes(moved, labels, 1, "sum")
        return (prototype[0, :DIM] - pixels[1, :DIM]).norm()

    assert distance(0.01) < distance(0.5) < distance(1.0)


# Variances


def test_variances_are_bounded_and_finite_with_their_gradient():
    value = torch.tensor([-100.0, -20.0, 0.0, 3.0, 100.0], requires_grad=True)
    for floor in (1e-6, 0.01):
        variance = bounded_variance(value, floor)
        (grad,) = torch.autograd.grad(variance.sum(), value)
        assert grad.isfinite().all()
        assert (variance >= floor / (1 + floor) * (1 - 1e-6)).all()
        assert (variance <= 1).all()
        expected = (math.exp(3) + floor) / (1 + math.exp(3) + floor)
        assert variance[3].item() == pytest.approx(expected, rel=1e-6)


def test_the_variance_head():
    """Rows of length 1, so that the size of the weights does not matter; about 0.5 at the start."""
    torch.manual_seed(0)
    head = VarianceHead(12, DIM, 0.01)
    maps = torch.randn(4, 12, 6, 6, generator=seeded(0))
    ours = head(maps)
    assert ours.shape == (4, DIM, 6, 6)
    assert 0.4 < ours.mean() < 0.6
    unit = head.second.weight.data / head.second.weight.data.norm(dim=1, keepdim=True)
    hidden = head.first.weight.data / head.first.weight.data.norm(dim=1, keepdim=True)
    x = F.batch_norm(F.conv2d(maps, hidden), None, None, training=True).relu()
    x = F.batch_norm(F.conv2d(x, unit), None, None, training=True)
    torch.testing.assert_close(ours, ((x.exp() + 0.01) / (1 + x.exp() + 0.01)))
    head.first.weight.data.mul_(3)
    torch.testing.assert_close(head(maps), ours)


def test_the_variance_head_has_a_rate_of_its_own_and_is_not_released():
    method = prcl(variance_rate=0.25)
    optimizer = build_optimizer(method, OptimizerConfig(lr=0.1, encoder_lr=0.01, layer_decay=1.0))
    own = {id(p) for p in method.variance_head.parameters()}
    rates = {g["lr"] for g in optimizer.param_groups if own & {id(p) for p in g["params"]}}
    assert rates == {0.025}
    assert not any("variance" in key for key in method.student.state_dict())
    assert any("variance_head" in key for key in method.state_dict())


# The contrastive loss


def scene(count=120, variance=None, seed=0):
    pixels = gaussians(count, seed=seed, variance=variance).float()
    labels = torch.randint(CLASSES, (count,), generator=seeded(seed + 1))
    return pixels, labels


def test_the_loss_by_hand():
    pixels, labels = scene()
    hard = labels != 2
    prototypes = gaussian_prototypes(pixels, labels, CLASSES, "mean")
    draw = draw_pixels(labels, hard, prototypes, 0.7, 5, 6, seeded(0), similarities_of("sum"))
    comparisons = comparisons_of(pixels, prototypes, draw, 0.7, compare=compare_by("sum"))
    total = 0.0
    for i, c in enumerate(draw.classes.tolist()):
        keys = torch.cat([prototypes[c : c + 1], pixels[draw.negatives[i]]])
        for a in draw.anchors[i].tolist():
            scores = mutual_likelihood(pixels[a : a + 1], keys, "sum")[0].double() / 0.7
            if c != 2:
                total += (scores.logsumexp(dim=0) - scores[0]).item() / 5
    assert info_nce(comparisons, draw.hard).item() == pytest.approx(total / 3, rel=1e-5)


def test_at_a_variance_of_one_half_it_is_reco():
    """With the sum over the dimensions and the mean of the precisions; `(cos - 1) / tau`."""
    pixels, labels = scene(128, variance=0.5)
    maps = pixels.view(2, 8, 8, 2 * DIM).movedim(-1, 1)
    labels, hard = labels.view(2, 8, 8), torch.rand(2, 8, 8, generator=seeded(5)) < 0.6
    ours, _ = prcl(temperature=0.5)._contrast(maps, labels, hard, at())
    reco = build("reco", **EASY)
    theirs, _ = reco._contrast(maps[:, :DIM], labels, hard, at())
    assert theirs > 1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)


def gap_of(settings):
    pixels, labels = scene(120)
    name = settings.pop("name", "prcl")
    method = build(name, **{"representation_dim": DIM, **settings})
    maps = pixels.view(2, 6, 10, 2 * DIM).movedim(-1, 1)
    labels = labels.view(2, 6, 10)
    return method._contrast(maps, labels, labels >= 0, at())


def test_the_gap_of_the_logits_trains_and_the_published_one_does_not():
    _, ours = gap_of({})
    published, theirs = gap_of({"name": "prcl-paper"})
    assert ours["gap"] > 0.1
    assert theirs["gap"] < 0.01
    assert published.item() == pytest.approx(math.log(513), rel=1e-3)


def test_with_the_sum_of_the_precisions_the_sum_over_dimensions_is_learned_already():
    """A prototype of variance near 0 is nearer to each pixel than any pixel is."""
    many = {"representation_dim": 64}
    pixels = gaussians(1200, 64, variance=0.5).float()
    labels = torch.randint(CLASSES, (2, 20, 30), generator=seeded(1))
    maps = pixels.view(2, 20, 30, 128).movedim(-1, 1)
    summed, _ = build("prcl", prototype_precision="sum", **many)._contrast(
        maps, labels, labels >= 0, at()
    )
    mean, _ = build("prcl", **many)._contrast(maps, labels, labels >= 0, at())
    assert summed < 1e-3
    assert mean > 1


def test_half_precision_elsewhere_does_not_change_the_contrast():
    pixels, labels = scene(128)
    maps = pixels.view(2, 8, 8, 2 * DIM).movedim(-1, 1)
    labels = labels.view(2, 8, 8)
    ours, _ = prcl()._contrast(maps, labels, labels >= 0, at())
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = prcl()._contrast(maps, labels, labels >= 0, at())
        variance = prcl().variance_head(torch.zeros(1, 128, 4, 4))
    torch.testing.assert_close(half, ours, rtol=1e-5, atol=0)
    assert variance.dtype == torch.float32


def test_a_gradient_flows_through_anchors_alone():
    pixels, labels = scene(128)
    maps = pixels.view(2, 8, 8, 2 * DIM).movedim(-1, 1).clone().requires_grad_()
    labels, hard = labels.view(2, 8, 8), torch.zeros(2, 8, 8, dtype=torch.bool)
    hard[0, :4] = True
    loss, _ = prcl()._contrast(maps, labels, hard, at())
    loss.backward()
    for part in maps.grad.chunk(2, dim=1):  # means and variances
        reached = part.abs().sum(dim=1) > 0
        assert reached.any()
        assert not (reached & ~hard).any()


def test_comparisons_class_by_class_are_those_of_all():
    pixels, labels = scene()
    prototypes = gaussian_prototypes(pixels, labels, CLASSES, "mean")
    draw = draw_pixels(
        labels, labels >= 0, prototypes, 0.5, 4, 5, seeded(0), similarities_of("mean")
    )
    ours = comparisons_of(pixels, prototypes, draw, 0.5, compare=compare_by("mean"))
    assert isinstance(ours, Comparisons)
    assert ours.positive.shape == (3, 4)
    assert ours.negative.shape == (3, 4, 5)
    expected = mutual_likelihood(pixels[draw.anchors[1]], pixels[draw.negatives[1]], "mean")
    torch.testing.assert_close(ours.negative[1], expected / 0.5)


# The whole step


def test_the_variance_head_learns_in_a_step_and_rests_without_a_contrast():
    method = prcl()
    losses = learn(method, *batches(), at())
    assert losses.terms.keys() == {"supervised", "unsupervised", "contrastive"}
    assert losses.diagnostics.keys() == {"used", "hard", "gap"}
    assert 0 < losses.diagnostics["used"] < 1
    assert method.variance_head.first.weight.grad.any()
    method = prcl(valid_threshold=1.0)
    labeled, unlabeled = batches()
    labeled.mask[labeled.mask != 255] = 1
    losses = learn(method, labeled, unlabeled, at())
    assert losses.terms["contrastive"] == 0
    for parameter in method.variance_head.parameters():
        assert not parameter.grad.any()


def test_supervised_and_unsupervised_losses_are_those_of_reco():
    method, reco = prcl(), build("reco", **EASY)
    for network, other in zip(method.networks().values(), reco.networks().values(), strict=True):
        other.load_state_dict(network.state_dict())
    ours, theirs = run(method, *batches(), at()), run(reco, *batches(), at())
    for name in ("supervised", "unsupervised"):
        torch.testing.assert_close(ours.terms[name], theirs.terms[name])


def test_the_weight_falls_as_published():
    method = prcl(contrast_weight=1.0)
    weights = [method._contrast_weight(at(number)) for number in (0, 50, 99)]
    assert weights == pytest.approx([1, math.exp(-5 / 4), math.exp(-5 * 0.99**2)])
    constant = prcl(contrast_weight=0.3, contrast_schedule="constant")
    assert constant._contrast_weight(at(99)) == 0.3
    assert METHODS["prcl-paper"].changes(PrclSettings())["temperature"] == 100.0


def test_the_warm_up_and_no_unlabeled_images_are_the_same():
    spoiled = unlabeled_batch(SIZE)
    spoiled.weak.fill_(torch.nan)
    spoiled.strong.fill_(torch.nan)
    ours = run(prcl(supervised_warmup=0.1), labeled_batch(SIZE), spoiled, at(9))
    alone = run(prcl(supervised_warmup=0.1), labeled_batch(SIZE), None, at(9))
    assert ours.terms.keys() == {"supervised", "contrastive"}
    assert values(ours.terms) == values(alone.terms)
