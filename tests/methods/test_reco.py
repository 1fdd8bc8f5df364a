"""ReCo by hand: image weights, class means, hard anchors, ClassMix; and css with its settings."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import (
    CLASSES,
    Spy,
    at,
    build,
    labeled_batch,
    learn,
    run,
    same,
    unlabeled_batch,
    values,
)

from semiseg.augment.mixing import draw_class_regions
from semiseg.core.types import Inputs, Labeled
from semiseg.losses.contrastive import contrastive_loss, draw_pixels
from semiseg.losses.pseudo import share_weighted_loss
from semiseg.losses.supervised import cross_entropy
from semiseg.methods.mixed_views import class_mix
from semiseg.methods.reco import RecoTargets
from semiseg.model.prototypes import class_means, shrink_labels

SIZE = 32
# So low that a network without training has sure and hard pixels.
EASY = {
    **{"confidence_threshold": 0.4, "valid_threshold": 0.36, "hard_threshold": 0.4},
    **{"representation_dim": 8, "anchors": 16, "negatives": 16},
}


def reco(**settings):
    return build("reco", **{**EASY, **settings})


def batches():
    return labeled_batch(SIZE), unlabeled_batch(SIZE)


def test_the_terms_are_those_of_the_student_s_one_forward():
    method = reco(contrast_weight=0.5)
    labeled, unlabeled = batches()
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled, unlabeled, at())
    (inputs,), (output,), (told,) = student.inputs, student.outputs, teacher.outputs

    logits = F.interpolate(told.logits, size=(SIZE, SIZE), mode="bilinear")
    confidence, label = logits.softmax(dim=1).max(dim=1)
    label = label.masked_fill(~unlabeled.valid, 255)
    coarse_confidence, coarse = told.logits.softmax(dim=1).max(dim=1)
    valid = (coarse_confidence >= 0.36) & shrink_labels(unlabeled.valid, 8, 8)
    maps = RecoTargets(
        label,
        (confidence >= 0.4) & unlabeled.valid,
        unlabeled.valid,
        coarse.masked_fill(~valid, 255),
    )
    strong, mixed = class_mix(at(), Inputs(unlabeled.strong), label, CLASSES, *maps)
    mixed = RecoTargets(*mixed)
    assert torch.equal(inputs, torch.cat([labeled.image, strong.image]))

    fine = F.interpolate(output.logits, size=(SIZE, SIZE), mode="bilinear")
    torch.testing.assert_close(
        losses.terms["supervised"], F.cross_entropy(fine[:2], labeled.mask, ignore_index=255)
    )
    expected = share_weighted_loss(fine[2:], mixed.label, mixed.confident)
    torch.testing.assert_close(losses.terms["unsupervised"], expected)
    assert losses.diagnostics["used"] == mixed.confident.sum() / mixed.valid.sum()
    assert 0 < losses.diagnostics["used"] < 1

    labels = torch.cat([shrink_labels(labeled.mask, 8, 8), mixed.contrasted]).flatten()
    probability = output.logits.softmax(dim=1).movedim(1, -1).flatten(0, 2)
    own = probability.gather(1, labels.clamp(max=2).unsqueeze(1)).squeeze(1)
    hard = (own < 0.4) & (labels != 255)
    assert 0.1 < losses.diagnostics["hard"] < 0.9
    torch.testing.assert_close(losses.diagnostics["hard"], hard.sum() / (labels != 255).sum())
    pixels = output.representation.movedim(1, -1).flatten(0, 2)
    means = torch.stack([pixels[labels == c].mean(dim=0) for c in range(CLASSES)])
    draw = draw_pixels(labels, hard, means, 0.5, 16, 16, at().key.child("contrast").torch())
    contrast = contrastive_loss(pixels, means, draw, 0.5)
    torch.testing.assert_close(losses.terms["contrastive"], 0.5 * contrast)


def test_reco_is_css_with_one_space_and_the_means_of_the_batch():
    """Bit by bit where all pixels are hard: css asks the teacher, and ReCo the student."""
    shared = {"confidence_threshold": 0.35, "valid_threshold": 0.34, "hard_threshold": 1.0}
    shared = {**EASY, **shared, "contrast_weight": 1.0, "supervised_warmup": 0.0}
    ours = reco(**shared, mixing="cutmix")
    theirs = build(
        "css",
        **shared,
        collaboration="logit",
        indicator="confidence",
        prototypes_from="student",
        prototype_momentum=0.0,
        unsupervised_mean="program",
        class_balance="none",
        class_prior="uniform",
    )
    for method in (ours, theirs):  # so that no probability is rounded to 1, which is not hard
        for network in method.networks().values():
            network.logit_head.weight.data.mul_(0.1)
    assert same(ours.student.state_dict(), theirs.student.state_dict())
    for number in (0, 50):
        labeled, unlabeled = labeled_batch(SIZE, seed=number), unlabeled_batch(SIZE, seed=number)
        first, second = (learn(m, labeled, unlabeled, at(number)) for m in (ours, theirs))
        assert same(first.terms, second.terms)
        assert first.diagnostics["used"] == second.diagnostics["used"]
        assert 0 < first.diagnostics["used"] < 1
        assert first.terms["contrastive"] > 0
        assert first.terms["unsupervised"] > 0
    for mine, other in zip(ours.student.parameters(), theirs.student.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)


def test_a_gradient_flows_through_anchors_alone():
    method = reco()
    labels = torch.randint(CLASSES, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    maps = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
    hard = torch.zeros(2, 8, 8, dtype=torch.bool)
    hard[0, :4] = True
    loss, _ = method._contrast(maps, labels, hard, at())
    loss.backward()
    reached = maps.grad.abs().sum(dim=1) > 0
    assert reached.any()
    assert not (reached & ~hard).any()


def test_one_class_is_an_exact_zero_that_can_be_learned_from():
    method = reco(valid_threshold=1.0)
    labeled, unlabeled = batches()
    labeled.mask[labeled.mask != 255] = 1
    losses = learn(method, labeled, unlabeled, at())
    assert losses.terms["contrastive"] == 0
    assert not method.student.representation_head[-1].weight.grad.any()
    assert method.student.logit_head.weight.grad.any()


def test_easy_pixels_give_no_anchors_and_their_class_still_divides():
    labels = torch.arange(3).repeat(20).view(1, 6, 10)
    maps = torch.randn(1, 8, 6, 10, generator=torch.Generator().manual_seed(2))
    method = reco()
    nothing, _ = method._contrast(maps.requires_grad_(), labels, labels < 0, at())
    assert nothing == 0
    all_hard, _ = method._contrast(maps, labels, labels >= 0, at())
    parts = [method._contrast(maps, labels, labels == c, at())[0] for c in range(3)]
    torch.testing.assert_close(sum(parts), all_hard)


@pytest.mark.parametrize("kind", ["all equal", "orthogonal"])
def test_the_floors_of_the_loss(kind):
    """`ln(1 + n)` where no class differs, `ln(1 + n e^-2)` where classes are orthogonal."""
    labels = torch.arange(3).repeat(20).view(1, 6, 10)
    maps = torch.ones(1, 8, 6, 10)
    if kind == "orthogonal":
        maps = F.one_hot(labels, 8).movedim(-1, 1).float()
    loss, _ = reco(negatives=50)._contrast(maps, labels, labels >= 0, at())
    expected = math.log(1 + 50 * math.exp(-2 if kind == "orthogonal" else 0))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_with_weights_of_one_the_loss_is_plain_cross_entropy():
    method = reco(confidence_threshold=0.0, mixing="cutmix")
    labeled, unlabeled = batches()
    unlabeled.valid.fill_(True)
    student = Spy(method.student)
    losses = run(method, labeled, unlabeled, at())
    logits = F.interpolate(student.outputs[0].logits, size=(SIZE, SIZE), mode="bilinear")[2:]
    label = method._targets(unlabeled)
    _, mixed = method._mix(unlabeled, label, at())
    torch.testing.assert_close(losses.terms["unsupervised"], cross_entropy(logits, mixed.label))


def test_the_warm_up_and_no_unlabeled_images_are_the_same():
    spoiled = unlabeled_batch(SIZE)
    spoiled.weak.fill_(torch.nan)
    spoiled.strong.fill_(torch.nan)
    ours = run(reco(supervised_warmup=0.1), labeled_batch(SIZE), spoiled, at(9))
    alone = run(reco(supervised_warmup=0.1), labeled_batch(SIZE), None, at(9))
    assert ours.terms.keys() == {"supervised", "contrastive"}
    assert values(ours.terms) == values(alone.terms)


def test_class_weights_count_for_pseudo_labels():
    def term(weights):
        method = reco()
        method.class_weights = weights
        return run(method, *batches(), at()).terms["unsupervised"].item()

    assert term(torch.ones(CLASSES)) == pytest.approx(term(None))
    assert term(torch.full((CLASSES,), 2.0)) == pytest.approx(2 * term(None))


def test_padding_is_taught_to_nobody():
    method = reco(confidence_threshold=0.0, valid_threshold=0.0)
    unlabeled = unlabeled_batch(SIZE)
    targets = method._targets(unlabeled)
    assert torch.equal(targets.label == 255, ~unlabeled.valid)
    assert torch.equal(targets.confident, unlabeled.valid)
    assert torch.equal(targets.contrasted == 255, ~shrink_labels(unlabeled.valid, 8, 8))
    _, mixed = method._mix(unlabeled, targets, at())
    assert torch.equal(mixed.label == 255, ~mixed.valid)


# ClassMix


def test_half_the_classes_of_an_image_are_drawn():
    labels = torch.randint(5, (300, 6, 7), generator=torch.Generator().manual_seed(0))
    labels[:100][labels[:100] > 2] = 255  # three classes
    labels[100:200] = torch.where(labels[100:200] > 2, 4, 1)  # two
    labels[299] = 3  # one
    regions = draw_class_regions(labels, 5, torch.Generator().manual_seed(1))
    drawn = torch.zeros(5)
    for label, region in zip(labels, regions, strict=True):
        classes = [c for c in label.unique().tolist() if c != 255]
        chosen = [c for c in classes if region[label == c].any()]
        assert len(chosen) == len(classes) // 2
        for c in classes:
            assert region[label == c].all() == (c in chosen)
        assert not region[label == 255].any()
        drawn[chosen] += 1
    assert (drawn > 20).all()  # each class is drawn at times


def test_class_mix_pastes_the_partner_s_classes_and_nothing_else():
    labels = torch.tensor([[[0, 0, 1, 255]], [[2, 2, 1, 1]]])
    image = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 1, 4)
    mixed, (label,) = class_mix(at(), Inputs(image), labels, CLASSES, labels)
    for i in range(2):
        from_partner = mixed.image[i, 0] == 1 - i
        classes = labels[1 - i][from_partner].unique()
        assert len(classes) == 1
        assert torch.equal(from_partner, labels[1 - i] == classes)
        assert torch.equal(label[i], torch.where(from_partner, labels[1 - i], labels[i]))


def test_class_means_are_those_of_labeled_and_unlabeled_pixels():
    """Representations of both kinds of images change the loss."""
    pixels = torch.randn(40, 8, generator=torch.Generator().manual_seed(3))
    labels = torch.randint(CLASSES, (40,), generator=torch.Generator().manual_seed(4))
    means, _ = class_means(pixels, labels, CLASSES)
    for c in range(CLASSES):
        torch.testing.assert_close(means[c], pixels[labels == c].mean(dim=0))


def test_no_unlabeled_images_and_no_labels_are_zero():
    method = reco()
    labeled = labeled_batch(SIZE)
    empty = Labeled(labeled.image, torch.full_like(labeled.mask, 255))
    losses = learn(method, empty, None, at())
    assert values(losses.terms) == {"supervised": 0, "contrastive": 0}
