"""The losses against their formulas, written out with loops, and where there is no pseudo-label."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from semiseg.augment.mixing import draw_boxes
from semiseg.config.groups import OptimizerConfig
from semiseg.losses.contrastive import (
    Draw,
    _other_class,
    contrastive_loss,
    cosines,
    draw_pixels,
)
from semiseg.losses.pseudo import (
    balanced_weights,
    consistency_loss,
    count_labels,
    pseudo_label_loss,
    share_weighted_loss,
    unsupervised_loss,
)
from semiseg.losses.supervised import cross_entropy, ohem_cross_entropy
from semiseg.methods.semi_supervised import schedule_factor
from semiseg.model.prototypes import class_means, update_prototypes
from semiseg.training.module import TrainingModule

TAU = 0.5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, scale=1.0, dtype=torch.float64):
    return (scale * torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)).to(dtype)


def labels_of(*shape, classes, ignored=0.2, seed=0):
    labels = torch.randint(classes, shape, generator=seeded(seed))
    ignored_pixels = torch.rand(shape, generator=seeded(seed + 1)) < ignored
    return labels.masked_fill(ignored_pixels, 255)


def nll(values, label):
    """`-log softmax(values)[label]` with Python's floats."""
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values)) - values[label]


def cross_entropy_sum(logits, target):
    total, count = 0.0, 0
    for b, y, x in np.ndindex(*target.shape):
        if target[b, y, x] != 255:
            total += nll(logits[b, :, y, x].tolist(), int(target[b, y, x]))
            count += 1
    return total, count


def cosine(a, b):
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))


def info_nce(representation, prototypes, draw, tau):
    """Eq. 9 for a given draw."""
    pixels, centers, total = representation.tolist(), prototypes.tolist(), 0.0
    for i, c in enumerate(draw.classes.tolist()):
        if not draw.hard[i]:
            continue
        for a in draw.anchors[i].tolist():
            scores = [cosine(pixels[a], centers[c]) / tau]
            scores += [cosine(pixels[a], pixels[n]) / tau for n in draw.negatives[i].tolist()]
            total += nll(scores, 0) / draw.anchors.shape[1]
    return total / len(draw.classes)


def draw_loss(labels, hard, prototypes, *, tau=TAU, anchors=16, negatives=16, seed=0):
    return draw_pixels(labels, hard, prototypes, tau, anchors, negatives, seeded(seed))


def learn(representation, labels, hard, prototypes):
    """The loss, and its gradient, of one draw."""
    representation = representation.clone().requires_grad_()
    draw = draw_loss(labels, hard, prototypes)
    loss = contrastive_loss(representation, prototypes, draw, TAU)
    (grad,) = torch.autograd.grad(loss, representation)  # raises where there is no graph
    return loss.detach(), grad


@pytest.fixture
def scene():
    """60 pixels of 5 classes, one of which (3) has no hard pixel and one (4) no pixel at all."""
    labels = labels_of(60, classes=4, seed=3)
    hard = (torch.rand(60, generator=seeded(5)) < 0.6) & (labels != 3)
    return normal(60, 6), labels, hard, normal(5, 6, seed=1)


# Cross-entropy


@pytest.mark.parametrize("classes", [2, 5, 181])
def test_cross_entropy_is_the_mean_over_pixels_that_are_not_ignored(classes):
    logits = normal(2, classes, 4, 3, scale=3)
    target = labels_of(2, 4, 3, classes=classes)
    total, count = cross_entropy_sum(logits, target)
    assert 0 < count < target.numel()
    assert cross_entropy(logits, target).item() == pytest.approx(total / count, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 5, 181])
def test_pseudo_label_loss_is_divided_by_all_pixels_that_show_image(classes):
    logits = normal(2, classes, 4, 3, scale=3)
    label = labels_of(2, 4, 3, classes=classes)
    valid = torch.rand(2, 4, 3, generator=seeded(7)) < 0.7
    total, count = cross_entropy_sum(logits, label.masked_fill(~valid, 255))
    assert 0 < count < valid.sum()
    expected = total / valid.sum().item()
    assert pseudo_label_loss(logits, label, valid).item() == pytest.approx(expected, rel=1e-12)


def test_pseudo_labels_count_by_the_weight_of_their_class():
    logits = normal(2, 3, 4, 3, scale=3)
    label = labels_of(2, 4, 3, classes=3)
    valid = torch.rand(2, 4, 3, generator=seeded(7)) < 0.7
    weights = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    total = sum(
        weight * cross_entropy_sum(logits, label.masked_fill(~valid | (label != c), 255))[0]
        for c, weight in enumerate(weights.tolist())
    )
    expected = total / valid.sum().item()
    loss = pseudo_label_loss(logits, label, valid, weights=weights).item()
    assert loss == pytest.approx(expected, rel=1e-12)


def test_labels_are_counted_without_those_of_no_class():
    labels = torch.tensor([[[0, 2, 2], [255, 2, 0]]])
    assert count_labels(labels, 4).tolist() == [2.0, 0.0, 3.0, 0.0]
    assert count_labels(labels[:0], 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.5, 2.0])])
def test_pseudo_labels_count_by_class_as_labels_do(weights):
    """Class 1 is half as frequent among pseudo-labels as among labels, class 0 twice."""
    shares, counts = torch.tensor([0.4, 0.4, 0.2]), torch.tensor([800.0, 200.0, 200.0])
    plain = torch.ones(3) if weights is None else weights
    balanced = balanced_weights(shares, counts, weights)
    mass = balanced * counts
    expected = shares * plain / (shares * plain).sum()
    torch.testing.assert_close(mass / mass.sum(), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(mass.sum(), (plain * counts).sum())


def test_shares_part_by_five_times_at_most():
    """Class 1 has no pseudo-label, class 3 has no label; the other classes set the scale."""
    shares, counts = torch.tensor([0.5, 0.25, 0.25, 0.0]), torch.tensor([1e6, 0.0, 1e5, 1e5])
    balanced = balanced_weights(shares, counts, None)
    first, third = 0.5001 / (1e6 / 1.2e6 + 1e-4), 0.2501 / (1e5 / 1.2e6 + 1e-4)
    scale = 1.2e6 / (1e6 * first + 1e5 * third + 1e5 * 0.2)
    expected = torch.tensor([first, 5.0, third, 0.2]) * scale
    torch.testing.assert_close(balanced, expected)


def test_no_weight_moves_more_than_twenty_five_times():
    """All pseudo-labels are of a class that hardly counts in the labels."""
    shares, counts = torch.tensor([0.0, 1.0]), torch.tensor([1e6, 0.0])
    torch.testing.assert_close(balanced_weights(shares, counts, None), torch.tensor([1.0, 25.0]))


def test_the_weights_are_those_of_the_labels_before_the_first_pseudo_label():
    weights = torch.tensor([0.5, 1.5])
    balanced = balanced_weights(torch.tensor([0.9, 0.1]), torch.zeros(2), weights)
    assert torch.equal(balanced, weights)


def test_gradients_of_both_cross_entropies():
    logits = normal(2, 4, 3, 2).requires_grad_()
    label = labels_of(2, 3, 2, classes=4)
    valid = torch.rand(2, 3, 2, generator=seeded(7)) < 0.7
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, label), logits)
    assert torch.autograd.gradcheck(lambda x: pseudo_label_loss(x, label, valid), logits)


def test_cross_entropies_do_not_care_for_the_order_of_classes_or_images():
    logits, label = normal(3, 5, 4, 4), labels_of(3, 4, 4, classes=5)
    valid = torch.rand(3, 4, 4, generator=seeded(7)) < 0.7
    order = torch.randperm(5, generator=seeded(2))
    rank = torch.cat([order.argsort(), torch.full((251,), 255)])
    other = logits[:, order].flip(0), rank[label].flip(0)
    same = {"rtol": 1e-12, "atol": 0}
    torch.testing.assert_close(cross_entropy(*other), cross_entropy(logits, label), **same)
    ours = pseudo_label_loss(*other, valid.flip(0))
    torch.testing.assert_close(ours, pseudo_label_loss(logits, label, valid), **same)


@pytest.mark.parametrize("loss", ["all ignored", "no pseudo-label", "padding alone"])
def test_cross_entropy_without_a_labeled_pixel_is_an_exact_zero_with_a_graph(loss):
    logits = normal(2, 3, 4, 4).requires_grad_()
    label, nothing = labels_of(2, 4, 4, classes=3), torch.full((2, 4, 4), 255)
    value = {
        "all ignored": lambda: cross_entropy(logits, nothing),
        "no pseudo-label": lambda: pseudo_label_loss(logits, nothing, nothing == 255),
        "padding alone": lambda: pseudo_label_loss(logits, label, nothing != 255),
    }[loss]()
    (grad,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert torch.equal(grad, torch.zeros_like(logits))


def test_extreme_logits_and_a_single_pixel_stay_finite():
    logits = 1e4 * normal(1, 3, 2, 2, dtype=torch.float32)
    logits.requires_grad_()
    target = torch.full((1, 2, 2), 255)
    target[0, 0, 0] = int(logits[0, :, 0, 0].argmin())
    loss = cross_entropy(logits, target)
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert grad.isfinite().all()
    assert grad[0, :, 0, 0].abs().sum().item() == pytest.approx(2)
    assert grad.abs().sum().item() == pytest.approx(2)


# The other losses of whole maps


def probabilities(values):
    return [math.exp(-nll(values, c)) for c in range(len(values))]


def share_weighted_by_hand(logits, label, confident):
    total, count = 0.0, 0
    for b in range(len(label)):
        labeled = int((label[b] != 255).sum())
        for y, x in np.ndindex(*label.shape[1:]):
            if label[b, y, x] != 255:
                loss = nll(logits[b, :, y, x].tolist(), int(label[b, y, x]))
                total += int(confident[b].sum()) / labeled * loss
                count += loss > 0
    return total / count


def consistency_by_hand(logits, teacher, valid):
    total = 0.0
    for b, y, x in np.ndindex(*valid.shape):
        if valid[b, y, x]:
            ours, theirs = (probabilities(m[b, :, y, x].tolist()) for m in (logits, teacher))
            total += sum((p - q) ** 2 for p, q in zip(ours, theirs, strict=True))
    return total / int(valid.sum())


def ohem_by_hand(logits, target, threshold, min_kept):
    losses = [
        nll(logits[b, :, y, x].tolist(), int(target[b, y, x]))
        for b, y, x in np.ndindex(*target.shape)
        if target[b, y, x] != 255
    ]
    hard = sorted(losses, reverse=True)
    count = max(min_kept, sum(math.exp(-v) <= threshold for v in losses))
    return sum(hard[:count]) / len(hard[:count])


@pytest.fixture(params=[2, 5, 181])
def maps(request):
    """Logits, the teacher's logits, labels, confident and valid pixels."""
    classes = request.param
    coin = torch.rand(2, 2, 4, 3, generator=seeded(7)) < 0.7
    logits, teacher = (normal(2, classes, 4, 3, scale=2, seed=s) for s in (0, 1))
    return logits, teacher, labels_of(2, 4, 3, classes=classes), *coin


def test_kept_pixels_alone_count_in_the_divisor(maps):
    logits, _, label, _, valid = maps
    total, count = cross_entropy_sum(logits, label.masked_fill(~valid, 255))
    ours = pseudo_label_loss(logits, label, valid, "kept")
    assert ours.item() == pytest.approx(total / count, rel=1e-12)
    assert count < valid.sum()


def test_share_weighted_loss_by_hand(maps):
    logits, _, label, confident, _ = maps
    expected = share_weighted_by_hand(logits, label, confident)
    assert share_weighted_loss(logits, label, confident).item() == pytest.approx(expected)


def test_the_means_of_the_unsupervised_loss(maps):
    logits, _, label, confident, valid = maps
    targets = label.masked_fill(~confident, 255)
    for mean in ("all", "kept"):
        ours = unsupervised_loss(logits, label, confident, valid, mean)
        assert torch.equal(ours, pseudo_label_loss(logits, targets, valid, mean))
    ours = unsupervised_loss(logits, label, confident, valid, "program")
    assert torch.equal(ours, share_weighted_loss(logits, label, confident))


def test_consistency_by_hand(maps):
    logits, teacher, _, _, valid = maps
    expected = consistency_by_hand(logits, teacher, valid)
    assert consistency_loss(logits, teacher, valid).item() == pytest.approx(expected, rel=1e-12)
    assert consistency_loss(logits, logits, valid) == 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("min_kept", [1, 5, 1000])
def test_ohem_by_hand(maps, threshold, min_kept):
    logits, _, target, _, _ = maps
    expected = ohem_by_hand(logits, target, threshold, min_kept)
    ours = ohem_cross_entropy(logits, target, threshold, min_kept)
    assert ours.item() == pytest.approx(expected, rel=1e-6)
    if threshold == 1 or min_kept == 1000:
        torch.testing.assert_close(ours, cross_entropy(logits, target))


def test_gradients_of_the_other_losses():
    logits, teacher = normal(2, 4, 3, 2).requires_grad_(), normal(2, 4, 3, 2, seed=4)
    label = labels_of(2, 3, 2, classes=4)
    coin = torch.rand(2, 3, 2, generator=seeded(7)) < 0.7
    check = torch.autograd.gradcheck
    assert check(lambda x: pseudo_label_loss(x, label, coin, "kept"), logits)
    assert check(lambda x: share_weighted_loss(x, label, coin), logits)
    assert check(lambda x: consistency_loss(x, teacher, coin), logits)
    assert check(lambda x: ohem_cross_entropy(x, label, 0.3, 4), logits)
    teacher.requires_grad_()
    consistency_loss(logits, teacher, coin).backward()
    assert teacher.grad is None


def test_the_other_losses_do_not_care_for_the_order_of_classes_or_images(maps):
    logits, teacher, label, confident, valid = maps
    classes = logits.shape[1]
    order = torch.randperm(classes, generator=seeded(2))
    rank = torch.cat([order.argsort(), torch.full((256 - classes,), 255)])
    for loss, inputs, reordered in (
        (share_weighted_loss, (label, confident), (rank[label].flip(0), confident.flip(0))),
        (consistency_loss, (teacher, valid), (teacher[:, order].flip(0), valid.flip(0))),
        (ohem_cross_entropy, (label, 0.3, 5), (rank[label].flip(0), 0.3, 5)),
    ):
        ours, theirs = loss(logits, *inputs), loss(logits[:, order].flip(0), *reordered)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mean", ["all", "kept", "program"])
def test_each_mean_without_a_labeled_pixel_is_an_exact_zero_with_a_graph(mean):
    """In the program, images without a label give inf or NaN."""
    label, nothing = labels_of(2, 4, 4, classes=3), torch.zeros(2, 4, 4, dtype=torch.bool)
    for masks in (
        (torch.full((2, 4, 4), 255), ~nothing, ~nothing),
        (label, nothing, ~nothing),
        (torch.full((2, 4, 4), 255), nothing, nothing),
    ):
        logits = normal(2, 3, 4, 4).requires_grad_()
        value = unsupervised_loss(logits, *masks, mean)
        (grad,) = torch.autograd.grad(value, logits)
        assert value == 0
        assert torch.equal(grad, torch.zeros_like(logits))


def test_an_image_without_labels_does_not_spoil_the_others():
    label = labels_of(2, 4, 4, classes=3)
    label[0] = 255
    confident = torch.ones(2, 4, 4, dtype=torch.bool)
    loss = share_weighted_loss(normal(2, 3, 4, 4), label, confident)
    assert loss.item() == pytest.approx(
        share_weighted_by_hand(normal(2, 3, 4, 4)[1:], label[1:], confident[1:])
    )


@pytest.mark.parametrize("pixels", [0, 1])
def test_ohem_and_consistency_of_nothing_and_of_one_pixel(pixels):
    logits, some = normal(1, 3, 2, 2).requires_grad_(), torch.zeros(1, 2, 2, dtype=torch.bool)
    some[0, 0, :pixels] = True
    target = torch.full((1, 2, 2), 255).masked_fill(some, 1)
    for loss in (
        ohem_cross_entropy(logits, target, 0.7, 100),
        consistency_loss(logits, normal(1, 3, 2, 2, seed=4), some),
    ):
        (grad,) = torch.autograd.grad(loss, logits)
        assert grad.isfinite().all()
        assert torch.equal((grad != 0).any(dim=1), some)
        assert (loss > 0) == bool(pixels)


# The contrastive loss, given a draw


def test_contrastive_loss_is_the_formula(scene):
    representation, labels, hard, prototypes = scene
    draw = draw_loss(labels, hard, prototypes)
    assert draw.classes.tolist() == [0, 1, 2, 3]
    assert draw.hard.tolist() == [True, True, True, False]
    expected = info_nce(representation, prototypes, draw, TAU)
    loss = contrastive_loss(representation, prototypes, draw, TAU)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_classes_without_hard_pixels_count_in_the_divisor_alone(scene):
    """What their row of anchors holds does not matter."""
    representation, labels, hard, prototypes = scene
    draw = draw_loss(labels, hard, prototypes)
    loss = contrastive_loss(representation, prototypes, draw, TAU)
    rest = Draw(draw.classes[:3], draw.hard[:3], draw.anchors[:3], draw.negatives[:3])
    of_three = contrastive_loss(representation, prototypes, rest, TAU)
    torch.testing.assert_close(loss, of_three * 3 / 4, rtol=1e-12, atol=0)
    anchors = draw.anchors.clone()
    anchors[3] = 0
    other = contrastive_loss(representation, prototypes, draw._replace(anchors=anchors), TAU)
    assert torch.equal(loss, other)


def test_gradient_of_the_contrastive_loss():
    """Anchors and negatives are different pixels here, as the latter have no gradient."""
    anchors, others, prototypes = normal(5, 4).requires_grad_(), normal(6, 4, seed=1), normal(3, 4)
    draw = Draw(
        classes=torch.tensor([0, 2]),
        hard=torch.tensor([True, True]),
        anchors=torch.tensor([[0, 1, 1], [2, 3, 4]]),
        negatives=torch.tensor([[5, 6, 7, 7], [8, 9, 10, 8]]),
    )

    def loss(x):
        return contrastive_loss(torch.cat([x, others]), prototypes, draw, TAU)

    assert torch.autograd.gradcheck(loss, anchors)


def test_a_gradient_flows_through_anchors_alone(scene):
    representation, labels, hard, prototypes = scene
    pixels, centers = representation.clone().requires_grad_(), prototypes.clone().requires_grad_()
    draw = draw_loss(labels, hard, prototypes)
    contrastive_loss(pixels, centers, draw, TAU).backward()
    is_anchor = torch.zeros(60, dtype=torch.bool)
    is_anchor[draw.anchors[draw.hard].flatten()] = True
    is_negative = torch.zeros(60, dtype=torch.bool)
    is_negative[draw.negatives[draw.hard].flatten()] = True
    assert (is_negative & ~is_anchor).any()
    assert centers.grad is None
    assert torch.equal(pixels.grad.abs().sum(dim=1) > 0, is_anchor)
    # Pixels that are both: as if the negatives were constants.
    assert (is_negative & is_anchor).any()
    anchors, constants = representation.clone().requires_grad_(), representation.clone()
    total = 0
    for i, c in enumerate(draw.classes.tolist()):
        if draw.hard[i]:
            others = torch.cat([prototypes[c : c + 1], constants[draw.negatives[i]]])
            for a in draw.anchors[i].tolist():
                scores = F.cosine_similarity(anchors[a].unsqueeze(0), others) / TAU
                total = total - scores.log_softmax(dim=0)[0] / draw.anchors.shape[1]
    (total / len(draw.classes)).backward()
    torch.testing.assert_close(pixels.grad, anchors.grad, rtol=1e-10, atol=1e-14)


def test_only_the_direction_of_representations_and_prototypes_matters(scene):
    representation, labels, hard, prototypes = scene
    draw = draw_loss(labels, hard, prototypes)
    scale = torch.rand(60, 1, generator=seeded(9), dtype=torch.float64) * 50 + 0.01
    pixels, scaled = representation.clone().requires_grad_(), (representation * scale)
    scaled.requires_grad_()
    loss = contrastive_loss(pixels, prototypes, draw, TAU)
    other = contrastive_loss(scaled, prototypes * 7, draw, TAU)
    torch.testing.assert_close(loss, other, rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(loss, pixels)
    (other_grad,) = torch.autograd.grad(other, scaled)
    torch.testing.assert_close(grad, other_grad * scale, rtol=1e-9, atol=1e-14)
    # An anchor's gradient is at right angles to it: along itself there is nothing to win.
    assert (grad * representation).sum(dim=1).abs().max() < 1e-14


def test_the_order_of_pixels_and_the_names_of_classes_do_not_matter(scene):
    representation, labels, hard, prototypes = scene
    draw = draw_loss(labels, hard, prototypes)
    loss = contrastive_loss(representation, prototypes, draw, TAU)
    pixels = torch.randperm(60, generator=seeded(2))
    classes = torch.randperm(5, generator=seeded(3))
    rows = torch.tensor([2, 0, 3, 1])
    reordered = Draw(
        classes=classes.argsort()[draw.classes][rows],
        hard=draw.hard[rows],
        anchors=pixels.argsort()[draw.anchors][rows],
        negatives=pixels.argsort()[draw.negatives][rows],
    )
    other = contrastive_loss(representation[pixels], prototypes[classes], reordered, TAU)
    torch.testing.assert_close(loss, other, rtol=1e-12, atol=0)


# Degenerate sets of pixels, draw and loss together


@pytest.mark.parametrize(
    ("labels", "hard"),
    [
        ([255] * 6, [True] * 6),
        ([1] * 6, [True] * 6),
        ([1, 1, 255, 255, 255, 1], [True] * 6),
        ([0, 1, 2, 0, 1, 2], [False] * 6),
        ([0, 1, 255, 255, 255, 255], [False, False, True, True, True, True]),
    ],
    ids=["all ignored", "one class", "one class and ignored", "no hard", "hard ones ignored"],
)
def test_where_nothing_is_to_be_learned_the_contrast_is_an_exact_zero(labels, hard):
    loss, grad = learn(
        normal(6, 4, dtype=torch.float32),
        torch.tensor(labels),
        torch.tensor(hard),
        normal(3, 4, dtype=torch.float32),
    )
    assert loss.item() == 0
    assert torch.equal(grad, torch.zeros(6, 4))


def test_no_pixels_at_all():
    loss, grad = learn(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0) > 0, normal(3, 4)
    )
    assert loss.item() == 0
    assert grad.shape == (0, 4)


@pytest.mark.parametrize("classes", [2, 181])
def test_one_pixel_a_class_suffices(classes):
    labels = torch.randperm(classes, generator=seeded(1))
    representation = normal(classes, 8, dtype=torch.float32)
    prototypes = normal(classes, 8, seed=2, dtype=torch.float32)
    loss, grad = learn(representation, labels, labels >= 0, prototypes)
    draw = draw_loss(labels, labels >= 0, prototypes)
    assert loss.item() == pytest.approx(info_nce(representation, prototypes, draw, TAU), rel=1e-4)
    assert grad.isfinite().all()
    assert (grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("classes", [2, 181])
def test_few_and_many_classes(classes):
    labels = labels_of(3000, classes=classes, ignored=0.5)
    labels[labels == 1] = 255  # an absent class
    labels[0] = 1  # or rather one with a single pixel
    hard = torch.rand(3000, generator=seeded(4)) < 0.3
    hard[0] = True
    loss, grad = learn(
        normal(3000, 8, dtype=torch.float32), labels, hard, normal(classes, 8, dtype=torch.float32)
    )
    assert 0 < loss < 10
    assert grad.isfinite().all()
    assert grad[0].abs().sum() > 0
    assert not grad[~hard | (labels == 255)].any()


@pytest.mark.parametrize("what", ["representation", "prototypes"])
def test_zero_vectors_give_finite_numbers(what):
    """A pixel behind a dead ReLU, or a class whose mean happens to be zero."""
    representation, prototypes = normal(40, 4, dtype=torch.float32), normal(3, 4).float()
    (representation if what == "representation" else prototypes)[1].zero_()
    labels = labels_of(40, classes=3, ignored=0)
    loss, grad = learn(representation, labels, labels >= 0, prototypes)
    assert loss.isfinite()
    assert grad.isfinite().all()


# The draws


def test_anchors_and_negatives_are_pixels_they_may_be():
    """Over many scenes: with absent classes, single pixels, and hard marks on ignored pixels."""
    for seed in range(60):
        classes = (2, 5, 181)[seed % 3]
        count = (12, 400)[seed % 2]
        labels = labels_of(count, classes=classes, ignored=0.4, seed=seed)
        hard = torch.rand(count, generator=seeded(seed)) < (0.05, 0.5, 1.0)[seed // 2 % 3]
        draw = draw_loss(labels, hard, normal(classes, 3, seed=seed), anchors=9, negatives=11)
        present = labels[labels != 255].unique()
        if len(present) < 2:
            continue
        assert torch.equal(draw.classes, present)
        assert draw.anchors.shape == (len(present), 9)
        assert draw.negatives.shape == (len(present), 11)
        own = present.unsqueeze(1)
        has_hard = ((labels == own) & hard).any(dim=1)
        assert torch.equal(draw.hard, has_hard)
        anchors = draw.anchors[has_hard]
        assert (labels[anchors] == own[has_hard]).all()
        assert hard[anchors].all()
        assert (labels[draw.negatives] != own).all()
        assert (labels[draw.negatives] != 255).all()


def chi_square(counts, expected):
    """How far counts are from what is expected, in standard deviations of that statistic."""
    keep = expected > 0
    assert not counts[~keep].any()
    counts, expected = counts[keep].double(), expected[keep].double()
    freedom = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return (statistic - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("tau", [0.1, 0.5, 100.0])
def test_negatives_come_from_classes_in_the_proportions_of_their_similarity(tau):
    """Whatever the number of their pixels is; here it differs by a factor of 50."""
    shares = torch.tensor([50.0, 1, 10, 20, 5, 0])
    labels = shares.multinomial(2000, replacement=True, generator=seeded(1))
    prototypes = normal(6, 4, seed=8) * torch.tensor([1.0, 9, 0.1, 3, 1, 1]).unsqueeze(1)
    draw = draw_loss(labels, labels >= 0, prototypes, tau=tau, anchors=1, negatives=20_000)
    assert draw.classes.tolist() == [0, 1, 2, 3, 4]
    for c in range(5):
        weights = [
            math.exp(cosine(prototypes[c].tolist(), prototypes[d].tolist()) / tau) if d != c else 0
            for d in range(5)
        ]
        expected = 20_000 * torch.tensor(weights) / sum(weights)
        counts = labels[draw.negatives[c]].bincount(minlength=5)
        assert chi_square(counts, expected) < 3.5


def test_a_low_temperature_never_draws_the_own_class_or_one_without_weight():
    """At tau 1e-4 all but the most similar class have weight 0 in single precision."""
    prototypes = torch.eye(4) + torch.tensor([[0.0, 0.3, 0.2, 0.1]])
    labels = torch.arange(4).repeat(10)
    draw = draw_loss(labels, labels >= 0, prototypes, tau=1e-4, negatives=5000)
    unit = F.normalize(prototypes, dim=1)
    nearest = (unit @ unit.t() - 9 * torch.eye(4)).argmax(dim=1)
    assert torch.equal(labels[draw.negatives], nearest.unsqueeze(1).expand(-1, 5000))


def test_pixels_are_drawn_evenly():
    """Anchors among the hard pixels of their class, negatives among all pixels of another."""
    labels = labels_of(60, classes=3, seed=11)
    hard = torch.rand(60, generator=seeded(12)) < 0.5
    prototypes = torch.eye(3)  # each class is as likely as the other
    draw = draw_loss(labels, hard, prototypes, anchors=30_000, negatives=30_000)
    for c in range(3):
        may = (labels == c) & hard
        counts = draw.anchors[c].bincount(minlength=60)
        assert chi_square(counts, may * (30_000 / may.sum())) < 3.5
        may = torch.stack([labels == d for d in range(3) if d != c]).double()
        expected = (may * 15_000 / may.sum(dim=1, keepdim=True)).sum(dim=0)
        counts = draw.negatives[c].bincount(minlength=60)
        assert chi_square(counts, expected) < 3.5


def test_the_ends_of_a_draw_are_not_the_own_class_either():
    """0 and the largest float below 1, which a generator gives once in 17 million draws."""
    for seed, count in enumerate((2, 5, 20, 50, 181) * 4):
        ends = torch.tensor([0.0, 1 - 2**-24]).expand(count, 2)
        prototypes = normal(count, 4, seed=seed, dtype=torch.float32)
        others = _other_class(cosines(prototypes) / (0.01, 0.5)[seed % 2], ends)
        assert (others != torch.arange(count).unsqueeze(1)).all()
        assert ((others >= 0) & (others < count)).all()


def test_draws_depend_on_their_generator_alone(scene):
    """Not on the number of threads, the global generator, or what was drawn before."""
    _, labels, hard, prototypes = scene
    reference = draw_loss(labels, hard, prototypes)
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        torch.rand(1)
        state = torch.get_rng_state()
        again = draw_loss(labels, hard, prototypes)
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, reference, again))
    assert torch.equal(state, torch.get_rng_state())
    other = draw_loss(labels, hard, prototypes, seed=1)
    assert not torch.equal(reference.anchors, other.anchors)
    assert not torch.equal(reference.negatives, other.negatives)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_draws_are_the_same_on_a_gpu(scene):
    _, labels, hard, prototypes = scene
    ours = draw_loss(labels, hard, prototypes)
    theirs = draw_loss(labels.cuda(), hard.cuda(), prototypes.cuda())
    assert all(torch.equal(a, b.cpu()) for a, b in zip(ours, theirs, strict=True))


# The authors' program


@pytest.fixture(scope="module")
def golden():
    path = Path(__file__).parents[2] / "shared" / "golden" / "css_program.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}


def flat(maps):
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def test_prototypes_move_as_in_the_authors_program(golden):
    """From the valid pixels of both images, hard or not."""
    labels = golden["con_label"].masked_fill(~golden["con_valid"], 255).flatten()
    means, counts = class_means(flat(golden["con_rep"]), labels, 5)
    prototypes, seen = update_prototypes(
        golden["con_proto_in"], torch.ones(5, dtype=torch.bool), means, counts, 0.99
    )
    assert seen.all()
    torch.testing.assert_close(prototypes, golden["con_proto_out"], rtol=0, atol=1e-5)
    assert (golden["con_proto_in"] - golden["con_proto_out"]).abs().max() > 1e-3


def test_contrastive_loss_is_that_of_the_authors_program(golden):
    """Loss and gradient agree in the mean over 300 draws, as far as either mean is known."""
    labels = golden["con_label"].masked_fill(~golden["con_valid"], 255)
    indicator = golden["con_indicator"].gather(1, golden["con_label"].unsqueeze(1)).squeeze(1)
    hard = ((indicator < 0.8) & (labels != 255)).flatten()
    prototypes, maps = golden["con_proto_out"], golden["con_rep"].clone().requires_grad_()
    losses, grads = [], []
    for seed in range(300):
        draw = draw_loss(labels.flatten(), hard, prototypes, anchors=64, negatives=64, seed=seed)
        loss = contrastive_loss(flat(maps), prototypes, draw, TAU)
        grads.append(torch.autograd.grad(loss, maps)[0].double())
        losses.append(loss.detach().double())

    def mean_and_error(values):
        values = torch.stack(values)
        return values.mean(dim=0), values.std(dim=0) / math.sqrt(len(values))

    mean, error = mean_and_error(losses)
    joint = math.hypot(error, golden["con_loss_se"])
    assert abs(mean - golden["con_loss_mean"]) < 3 * joint
    assert joint < 0.003 * mean  # else the comparison would say nothing

    mean, error = mean_and_error(grads)
    joint = torch.hypot(error, golden["con_grad_se"].double())
    learns = hard.view(2, 1, 10, 10).expand_as(joint)
    assert torch.equal(mean != 0, learns)
    assert torch.equal(golden["con_grad_mean"] != 0, learns)
    off = ((mean - golden["con_grad_mean"]) / joint)[learns]
    # 1536 numbers: of as many normal ones 4 lie beyond 3, and hardly one beyond 4.5.
    assert off.abs().max() < 4.5
    assert (off.abs() > 3).double().mean() < 0.01
    assert off.square().mean().sqrt() < 1.2
    assert joint[learns].mean() < 0.1 * mean[learns].abs().mean()


@pytest.mark.parametrize("min_kept", [100, 500, 900])
def test_ohem_is_that_of_the_authors_program(golden, min_kept):
    ours = ohem_cross_entropy(golden["ohem_logits"], golden["ohem_target"], 0.7, min_kept)
    assert ours.item() == pytest.approx(golden[f"ohem_loss_{min_kept}"].item(), rel=1e-5)


def test_share_weighted_loss_is_that_of_the_authors_program(golden):
    confident = golden["unsup_conf"] >= 0.9
    ours = share_weighted_loss(golden["unsup_logits"], golden["unsup_label"], confident)
    assert ours.item() == pytest.approx(golden["unsup_program_loss"].item(), rel=1e-5)


def test_schedules_are_those_of_the_authors_program(golden):
    """Its ramp is over 200 passes; its learning rate falls as ours, to 1e-4 at the lowest."""
    ours = [schedule_factor("ramp_down", passes / 200) for passes in range(220)]
    assert ours == pytest.approx(golden["ramp"].tolist(), abs=1e-5)
    settings = OptimizerConfig(lr_warmup=0.0)
    module = SimpleNamespace(steps=1000, steps_before=0, steps_after=0, settings=settings)
    rates = [max(1e-4, 6.4e-3 * TrainingModule.rate_factor(module, t)) for t in range(1000)]
    assert rates == pytest.approx(golden["poly_lr"].tolist(), rel=1e-4)


def test_schedules_by_hand():
    assert schedule_factor("constant", 0.3) == 1
    assert schedule_factor("ramp_up", 0.5) == schedule_factor("ramp_down", 0.5) == math.exp(-1.25)
    assert [schedule_factor("ramp_down", t) for t in (0, 1, 2)] == [1, 0, 0]
    assert [schedule_factor("ramp_up", t) for t in (0, 1, 2)] == [math.exp(-5), 1, 1]


def test_boxes_of_cut_mix_are_those_of_the_authors_program(golden):
    boxes = draw_boxes(4000, 64, 96, seeded())
    assert boxes.double().mean().item() == pytest.approx(golden["cut_area_mean"].item(), abs=2e-3)
    for dim, name in ((1, "cut_width_mean"), (2, "cut_height_mean")):
        side = boxes.any(dim=dim).sum(dim=1).double()
        error = 2 * side.std() / math.sqrt(len(side))  # theirs is a mean of draws as well
        assert abs(side.mean() - golden[name]) < 3 * error
