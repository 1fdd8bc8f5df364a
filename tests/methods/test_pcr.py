"""PCR by hand: the prototypes' scores and moves, their start, the grid, the losses."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import CLASSES, at, build, labeled_batch, learn, run, unlabeled_batch

from semiseg.core.types import IGNORE_INDEX
from semiseg.losses.pseudo import masked_quantiles, pixel_entropy
from semiseg.methods import pcr as module
from semiseg.methods.mixed_views import cut_mix
from semiseg.methods.pcr import draw_grid
from semiseg.model.network import flatten, upsample
from semiseg.model.prototype_sets import (
    move_prototypes,
    prototype_cosines,
    set_scores,
    start_prototypes,
    store_pixels,
)
from semiseg.model.prototypes import class_means, shrink_labels, similarity

SIZE = 32
ALL = torch.ones(CLASSES, dtype=torch.bool)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


def some_labels(count, seed=1):
    labels = torch.randint(CLASSES, (count,), generator=seeded(seed))
    labels[::7] = IGNORE_INDEX
    return labels


# The rule of entropy


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_quantiles_of_the_valid_pixels(share):
    entropy = torch.rand(2, 9, 11, generator=seeded(0))
    valid = torch.rand(2, 9, 11, generator=seeded(1)) < 0.7
    expected = entropy[valid].double().quantile(share).item()
    assert masked_quantiles(entropy, valid, (share,)).item() == pytest.approx(expected)
    assert masked_quantiles(entropy, ~(valid | True), (share,)).isnan().all()
    assert masked_quantiles(entropy[:0], valid[:0], (share,)).isnan().all()


# The scores


def test_scores_by_hand():
    pixels, prototypes = draw(5, 4), draw(CLASSES, 2, 4, seed=1)
    scores = set_scores(prototype_cosines(pixels, prototypes), ALL, 0.1)
    for n, pixel in enumerate(pixels.double()):
        for c in range(CLASSES):
            each = [float(pixel @ p / pixel.norm() / p.norm()) for p in prototypes[c].double()]
            assert scores[n, c].item() == pytest.approx(max(each) / 0.1, abs=1e-4)


def test_one_prototype_a_class_is_the_representation_space_of_css():
    maps, labels = draw(2, 6, 3, 3), some_labels(18)
    means, counts = class_means(flatten(maps), labels, CLASSES)
    ours = set_scores(prototype_cosines(flatten(maps), means.unsqueeze(1)), counts > 0, 1.0)
    torch.testing.assert_close(ours, flatten(similarity(maps, means, counts > 0)))


def test_neither_length_nor_order_changes_a_score():
    pixels, prototypes = draw(20, 4), draw(CLASSES, 3, 4, seed=1)
    scores = set_scores(prototype_cosines(pixels, prototypes), ALL, 0.1)
    longer = prototypes * torch.rand(CLASSES, 3, 1, generator=seeded(2)).add(0.1)
    others = set_scores(prototype_cosines(7 * pixels, longer[:, [2, 0, 1]]), ALL, 0.1)
    torch.testing.assert_close(scores, others)


def test_only_the_winner_of_a_class_pulls_a_pixel_and_no_prototype_is_pulled():
    pixels, prototypes = draw(6, 4).requires_grad_(), draw(CLASSES, 3, 4, seed=1).requires_grad_()
    set_scores(prototype_cosines(pixels, prototypes), ALL, 0.1)[:, 1].sum().backward()
    assert prototypes.grad is None
    alone = pixels.detach().clone().requires_grad_()
    winner = prototype_cosines(alone, prototypes)[:, 1].argmax(dim=1)
    chosen = prototypes.detach()[1][winner]
    (F.cosine_similarity(alone, chosen, dim=1) / 0.1).sum().backward()
    torch.testing.assert_close(pixels.grad, alone.grad)


def test_a_class_without_prototypes_is_never_chosen():
    seen = torch.tensor([True, False, True])
    scores = set_scores(prototype_cosines(draw(9, 4), draw(CLASSES, 2, 4, seed=1)), seen, 0.1)
    assert (scores.softmax(1)[:, 1] == 0).all()


# Their moves


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_moves_by_hand(momentum):
    """Momentum 1 leaves the prototypes; momentum 0 gives the means."""
    prototypes, pixels, labels = draw(CLASSES, 3, 4), draw(40, 4, seed=1), some_labels(40)
    labels[labels == 2] = IGNORE_INDEX  # a class that is absent
    assigned = {}
    for pixel, label in zip(pixels, labels.tolist(), strict=True):
        if label != IGNORE_INDEX:
            near = [float(pixel @ p / pixel.norm() / p.norm()) for p in prototypes[label]]
            assigned.setdefault((label, near.index(max(near))), []).append(pixel.double())
    expected = prototypes.double().clone()
    for (label, k), own in assigned.items():
        mean = sum(own) / len(own)
        expected[label, k] = momentum * expected[label, k] + (1 - momentum) * mean
    moved, seen = move_prototypes(prototypes, ALL, pixels, labels, momentum)
    torch.testing.assert_close(moved.double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(moved[2], prototypes[2])
    assert seen.all()


def test_a_new_class_starts_at_its_mean_and_an_absent_one_waits():
    prototypes, pixels = torch.zeros(CLASSES, 2, 4), draw(10, 4)
    labels = torch.ones(10, dtype=torch.long)
    moved, seen = move_prototypes(prototypes, ~ALL, pixels, labels, 0.99)
    assert seen.tolist() == [False, True, False]
    torch.testing.assert_close(moved[1], pixels.mean(0).expand(2, 4))
    assert not moved[[0, 2]].any()


# Their start


def test_the_bank_holds_the_newest_pixels_of_each_class():
    bank, stored = torch.zeros(CLASSES, 5, 2), torch.zeros(CLASSES, dtype=torch.long)
    lists = [[] for _ in range(CLASSES)]
    for seed in range(4):
        pixels, labels = draw(6, 2, seed=seed), some_labels(6, seed)
        for pixel, label in zip(pixels.tolist(), labels.tolist(), strict=True):
            if label != IGNORE_INDEX:
                lists[label].append(pixel)
        bank, stored = store_pixels(bank, stored, pixels, labels)
        assert stored.tolist() == [len(own) for own in lists]
        for c, own in enumerate(lists):
            held = bank[c, : min(5, len(own))].tolist()
            assert sorted(held) == sorted(own[-5:])


def test_more_pixels_than_fit_are_no_accident():
    bank, stored = torch.zeros(CLASSES, 4, 1), torch.zeros(CLASSES, dtype=torch.long)
    pixels = torch.arange(11.0).view(-1, 1)
    bank, stored = store_pixels(bank, stored, pixels, torch.zeros(11, dtype=torch.long))
    assert bank[0].flatten().tolist() == [0, 1, 2, 3]
    assert stored.tolist() == [4, 0, 0]


def test_k_means_finds_the_groups_of_a_class():
    """Three directions with little noise, of unequal size and length."""
    directions = torch.eye(3)
    bank = torch.zeros(2, 30, 3)
    for i in range(24):
        group = 0 if i < 14 else 1 if i < 20 else 2
        bank[1, i] = (1 + i % 3) * directions[group] + 0.05 * draw(3, seed=i)
    start = start_prototypes(bank, torch.tensor([0, 24]), 3)[1]
    groups = [bank[1, :14], bank[1, 14:20], bank[1, 20:24]]
    for group in groups:
        apart = (start - group.mean(0)).norm(dim=1)
        assert apart.min() < 1e-5
    assert torch.equal(start, start_prototypes(bank, torch.tensor([0, 24]), 3)[1])


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_fewer_distinct_pixels_than_prototypes_give_no_nan(count):
    bank = torch.zeros(1, 8, 3)
    bank[0, :count] = torch.tensor([1.0, 2.0, 3.0])
    bank[0, :2] *= 2
    start = start_prototypes(bank, torch.tensor([count]), 4)
    assert start.isfinite().all()
    if count:
        torch.testing.assert_close(
            F.normalize(start, dim=2), F.normalize(bank[:, :1], dim=2).expand(1, 4, 3)
        )


def test_prototypes_start_at_the_end_of_the_warm_up():
    method = build("pcr", supervised_warmup=0.03)
    for number in range(4):
        assert method.seen.any() == (number == 3)
        before = method.bank.clone()
        losses = learn(method, labeled_batch(SIZE, seed=number), unlabeled_batch(SIZE), at(number))
        assert torch.equal(before, method.bank) == (number == 3)
        assert ("unsupervised" in losses.terms) == (number == 3)
        assert (losses.terms["prototypes"] > 0) == (number == 3)
    assert losses.terms["unsupervised_prototypes"] >= 0
    expected = start_prototypes(method.bank, method.stored, 3)
    pixels = method.prototypes[method.seen]
    assert F.cosine_similarity(pixels, expected[method.seen], dim=2).min() > 0.99


def test_a_lost_step_at_the_start_is_made_up_for():
    """The guard takes back what such a step has changed."""
    method = build("pcr", supervised_warmup=0.02)
    learn(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(0))
    learn(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(2))
    assert method.seen.any()


# The grid


@pytest.mark.parametrize(("height", "width", "cells"), [(16, 16, 4), (13, 9, 5), (3, 20, 8)])
def test_each_cell_of_the_grid_has_exactly_one_pixel(height, width, cells):
    rows, columns = min(cells, height), min(cells, width)
    seen = set()
    for seed in range(30):
        drawn = draw_grid(height, width, cells, seeded(seed))
        seen |= set(drawn.tolist())
        grid = torch.zeros(height * width).index_add_(0, drawn, torch.ones(len(drawn)))
        grid = grid.view(height, width)
        for i in range(rows):
            for j in range(columns):
                y = slice(i * height // rows, (i + 1) * height // rows)
                x = slice(j * width // columns, (j + 1) * width // columns)
                assert grid[y, x].sum() == 1
    assert len(seen) > 0.8 * height * width


# The whole step


def a_trained_method(**settings):
    method = build("pcr", confidence_threshold=0.4, grid=4, **settings)
    for number in (4, 5):
        learn(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(number))
    method.zero_grad(set_to_none=True)
    return method


def test_a_whole_step_by_hand():
    method, other, step = a_trained_method(), a_trained_method(), at(60)
    x, u = labeled_batch(SIZE), unlabeled_batch(SIZE)
    losses = run(method, x, u, step)
    logits = upsample(other.teacher(u.weak).logits, (SIZE, SIZE), (SIZE, SIZE)).double()
    confidence, label = logits.softmax(1).max(1)
    entropy = pixel_entropy(logits)
    limit = entropy[u.valid].quantile(1 - 0.2 * 0.4)
    by_entropy = label.masked_fill(~u.valid | (entropy >= limit), IGNORE_INDEX)
    sure = label.masked_fill(~u.valid | (confidence < 0.4), IGNORE_INDEX)
    number = torch.arange(2).view(2, 1, 1).expand_as(label)
    strong, (by_entropy, sure, source) = cut_mix(
        step, u.strong_inputs, by_entropy, sure, number, multiple=other.student.stride
    )
    sure = sure.masked_fill(source != number, IGNORE_INDEX)
    step.key.seed_globals()
    images = torch.cat([x.image, strong.image])
    maps = other.student.decode(other.student.encode(images), (SIZE, SIZE)).detach()
    logits = upsample(other.student.heads(maps).logits, (SIZE, SIZE), (SIZE, SIZE)).double()
    expected = F.cross_entropy(logits[2:], by_entropy, ignore_index=IGNORE_INDEX).item()
    assert losses.terms["unsupervised"].item() == pytest.approx(expected, rel=1e-5)
    drawn = draw_grid(8, 8, 4, step.key.child("grid").torch()).tolist()
    target = shrink_labels(torch.cat([x.mask, sure]), 8, 8)
    sums, counts = [0.0, 0.0], [0, 0]
    for b in range(4):
        for pixel in drawn:
            t = target[b, pixel // 8, pixel % 8].item()
            if t == IGNORE_INDEX or not other.seen[t]:
                continue
            r = maps[b, :, pixel // 8, pixel % 8].double()
            scores = []
            for c in range(CLASSES):
                each = [float(r @ p / r.norm() / p.norm()) for p in other.prototypes[c].double()]
                scores.append(max(each) / 0.1 if other.seen[c] else -1000)
            sums[b // 2] += math.log(sum(math.exp(s) for s in scores)) - scores[t]
            counts[b // 2] += 1
    assert min(counts) > 0
    for name, total, count in zip(
        ("prototypes", "unsupervised_prototypes"), sums, counts, strict=True
    ):
        assert losses.terms[name].item() == pytest.approx(total / count, rel=1e-4)


def test_boxes_that_are_pasted_do_not_teach_the_prototypes(monkeypatch):
    method, labels = a_trained_method(), []
    original = method._mixed_views
    method._mixed_views = lambda *a: labels.append(original(*a)) or labels[-1]
    everything = torch.ones(2, SIZE, SIZE, dtype=torch.bool)
    monkeypatch.setattr(
        module,
        "cut_mix",
        lambda *a, **k: cut_mix(*a, **k, draw=lambda *_: everything),
    )
    losses = run(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(60))
    ((_, mixed),) = labels
    assert (mixed.prototypes == IGNORE_INDEX).all()
    assert (mixed.classifier != IGNORE_INDEX).any()
    assert losses.terms["unsupervised_prototypes"] == 0


def test_without_weight_only_the_classifier_learns():
    """Mean teacher with CutMix and the rule of entropy, and the prototypes still move."""
    method = a_trained_method(prototype_weight=0.0)
    losses = run(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(60))
    assert losses.terms["prototypes"] == 0
    assert losses.terms["unsupervised_prototypes"] == 0
    (losses.terms["prototypes"] + losses.terms["unsupervised_prototypes"]).backward()
    assert not any(p.grad.any() for p in method.student.parameters() if p.grad is not None)
    assert not torch.equal(losses.state["prototypes"], method.prototypes)


def test_the_losses_of_the_prototypes_do_not_reach_the_classifier():
    method = a_trained_method()
    losses = run(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(60))
    (losses.terms["prototypes"] + losses.terms["unsupervised_prototypes"]).backward()
    assert method.student.logit_head.weight.grad is None
    assert any(p.grad is not None and p.grad.any() for p in method.student.decoder.parameters())


def test_the_share_of_pixels_with_a_label_rises_to_one():
    method, u = build("pcr"), unlabeled_batch(SIZE)
    shares = []
    for number in (0, 50, 99):
        final = method.pseudo_labels(u.weak, u.valid, at(number)).final
        shares.append(((final != IGNORE_INDEX).sum() / u.valid.sum()).item())
    assert shares == pytest.approx([0.8, 0.9, 0.998], abs=0.01)
