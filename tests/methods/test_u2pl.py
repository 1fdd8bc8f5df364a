"""U2PL by hand: percentiles of the entropy, negatives by rank, and the banks."""

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
    snapshot,
    unlabeled_batch,
    values,
)

from semiseg.losses.contrastive import Draw, contrastive_loss, draw_from_banks
from semiseg.losses.pseudo import masked_quantiles, pixel_entropy
from semiseg.methods.u2pl import HIGH_RANK, U2plTargets, negative_classes
from semiseg.model.banks import push_vectors

SIZE = 32
SMALL = {"representation_dim": 8, "bank_size": 40, "anchors": 16, "negatives": 16}


def u2pl(**settings):
    return build("u2pl", **{**SMALL, **settings})


def batches():
    return labeled_batch(SIZE), unlabeled_batch(SIZE)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def percentile(values, q):
    """As numpy's, by hand."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


# Reliability


@pytest.mark.parametrize(("number", "alpha"), [(0, 0.2), (50, 0.1), (100, 0.0)])
@pytest.mark.parametrize("anchor_pixels", ["program", "complement"])
def test_percentiles_of_the_entropy(number, alpha, anchor_pixels):
    """At the end the program has one anchor, and the pixel of highest entropy is still dropped."""
    method = u2pl(anchor_pixels=anchor_pixels)
    entropy = torch.rand(2, 5, 6, generator=seeded(0))
    valid = torch.rand(2, 5, 6, generator=seeded(1)) < 0.8
    kept, low, high = method._reliability(entropy, valid, at(number))
    limit = percentile(entropy[valid].tolist(), 1 - alpha)
    assert torch.equal(kept, valid & (entropy < limit - 1e-7))
    assert torch.equal(high, valid & ~kept)
    if anchor_pixels == "complement":
        assert torch.equal(low, kept)
    else:
        limit = percentile(entropy[valid].tolist(), alpha)
        assert torch.equal(low, valid & (entropy <= limit + 1e-7))
    assert high.sum() == (1 if number == 100 else math.ceil(alpha * (int(valid.sum()) - 1) - 1e-9))


def test_without_a_valid_pixel_nothing_is_reliable_or_not():
    entropy, valid = torch.rand(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)
    assert not torch.stack(u2pl()._reliability(entropy, valid, at())).any()
    assert all(q.isnan() for q in masked_quantiles(entropy[:0], valid[:0], (0.1, 0.9)))


def test_entropy_by_hand():
    logits = torch.randn(1, 4, 2, 2, generator=seeded(0)).double()
    for y, x in ((0, 1), (1, 0)):
        p = logits[0, :, y, x].softmax(dim=0).tolist()
        expected = -sum(v * math.log(v) for v in p)
        assert pixel_entropy(logits)[0, y, x].item() == pytest.approx(expected, rel=1e-6)
    assert pixel_entropy(torch.zeros(1, 4, 1, 1)).item() == pytest.approx(math.log(4))


# Negatives


@pytest.mark.parametrize("classes", [2, 3, 25])
def test_negatives_by_hand(classes):
    logits = torch.randn(30, classes, generator=seeded(0))
    truth = torch.randint(classes, (1, 2, 5), generator=seeded(1))
    truth[0, 0, :2] = 255
    high = torch.rand(1, 4, 5, generator=seeded(2)) < 0.5
    negatives = negative_classes(logits, truth, high, 3)
    low_rank = min(3, classes - 1)
    counts = [0, 0]
    for i in range(30):
        order = sorted(range(classes), key=lambda c: -logits[i, c])
        for c in range(classes):
            rank = order.index(c)
            if i < 10:
                own = int(truth.flatten()[i])
                expected = own not in (255, c) and rank < low_rank
            else:
                expected = bool(high.flatten()[i - 10]) and low_rank <= rank < HIGH_RANK
            assert bool(negatives[i, c]) == expected
            counts[i >= 10] += expected
    assert min(counts) > 0  # the program's labeled negatives are always empty


def test_no_negative_of_a_class_has_this_label():
    logits = torch.randn(40, 5, generator=seeded(0))
    truth = torch.randint(5, (1, 4, 5), generator=seeded(1))
    negatives = negative_classes(logits, truth, torch.ones(1, 4, 5, dtype=torch.bool), 3)
    labels = torch.cat([truth.flatten(), logits[20:].argmax(dim=1)])
    assert not negatives.gather(1, labels.unsqueeze(1)).any()


# Banks


def test_banks_are_first_in_first_out():
    """Against a list for each class; the third class never gets a vector."""
    banks, pushed, lists = torch.zeros(3, 5, 2), torch.zeros(3, dtype=torch.long), [[], [], []]
    for step, count in enumerate((2, 1, 0, 4, 12, 3)):
        vectors = torch.randn(count, 2, generator=seeded(step))
        belongs = torch.rand(count, 3, generator=seeded(10 + step)) < torch.tensor([0.9, 0.5, 0.0])
        before = banks.clone(), pushed.clone()
        banks, pushed = push_vectors(banks, pushed, vectors, belongs)
        for c in range(3):
            lists[c] = (lists[c] + vectors[belongs[:, c]].tolist())[-5:]
            used = int(pushed[c].clamp(max=5))
            assert used == len(lists[c])
            oldest = int(pushed[c]) - used
            rows = [banks[c, n % 5].tolist() for n in range(oldest, int(pushed[c]))]
            assert rows == lists[c]
            if not belongs[:, c].any():
                assert torch.equal(banks[c], before[0][c])
                assert pushed[c] == before[1][c]
    assert pushed.tolist()[2] == 0
    assert pushed[0] > 5


def test_anchors_and_negatives_are_drawn_from_the_right_places():
    labels = torch.tensor([0, 0, 1, 1, 2, 255, 0])
    hard = torch.tensor([True, True, True, False, True, True, False])
    draw = draw_from_banks(labels, hard, torch.tensor([4, 3, 0, 2]), 4, 200, 200, seeded(0))
    assert draw.classes.tolist() == [0, 1]  # the bank of 2 is empty, 3 has no pixel
    assert draw.anchors[0].unique().tolist() == [0, 1]
    assert draw.anchors[1].unique().tolist() == [2]
    assert draw.negatives[0].unique().tolist() == [0, 1, 2, 3]
    assert draw.negatives[1].unique().tolist() == [4, 5, 6]
    none = draw_from_banks(labels, hard, torch.zeros(4, dtype=torch.long), 4, 5, 5, seeded(0))
    pixels = torch.randn(7, 3, requires_grad=True)
    loss = contrastive_loss(pixels, torch.randn(4, 3), none, 0.5, torch.zeros(16, 3))
    loss.backward()
    assert loss == 0
    assert not pixels.grad.any()


def test_a_perfect_contrast_costs_the_known_amount():
    """Cosines of 1 and -1 everywhere: `ln(1 + 50 e^-4)`; one class with a bank is enough."""
    pixels = torch.ones(6, 3)
    labels, hard = torch.tensor([0, 0, 0, 1, 1, 1]), torch.ones(6, dtype=torch.bool)
    draw = draw_from_banks(labels, hard, torch.tensor([4, 0]), 4, 8, 50, seeded(0))
    loss = contrastive_loss(pixels, torch.ones(2, 3), draw, 0.5, -torch.ones(8, 3))
    assert loss.item() == pytest.approx(math.log(1 + 50 * math.exp(-4)), rel=1e-6)


# The contrastive loss


def scene():
    """Maps of a labeled and an unlabeled image: student, teacher, logits, masks, entropy, valid."""
    generator = seeded(0)
    student, teacher = torch.randn(2, 2, 8, 6, 6, generator=generator)
    logits = 2 * torch.randn(2, CLASSES, 6, 6, generator=generator)
    entropy = torch.rand(1, 6, 6, generator=generator)
    return student, teacher, logits, logits[:1].argmax(dim=1), entropy, entropy < 2


def contrast(method, maps, step=None):
    student, teacher, logits, truth, entropy, valid = maps
    step = step or at()
    reliability = method._reliability(entropy, valid, step)
    return method._contrast(student, teacher, logits, truth, reliability, step), reliability


def test_the_contrastive_loss_by_hand():
    method = u2pl(negatives=50)
    maps = scene()
    (loss, _, state), reliability = contrast(method, maps)
    student, teacher, logits, truth, _, _ = maps
    pixels, vectors = (m.movedim(1, -1).flatten(0, 2).double() for m in (student, teacher))
    labels = torch.cat([truth, logits[1:].argmax(dim=1)]).flatten()
    probability = logits.softmax(dim=1).movedim(1, -1).flatten(0, 2)
    reliable = torch.cat([torch.ones(36, dtype=torch.bool), reliability.low.flatten()])
    anchors = reliable & (probability.gather(1, labels.unsqueeze(1)).squeeze(1) > 0.3)
    counts = state["pushed"].clamp(max=40)
    assert (counts > 0).all()
    generator = at().key.child("contrast").torch()
    draw = draw_from_banks(labels, anchors, counts, 40, 16, 50, generator)
    total = 0.0
    for c in range(CLASSES):
        mean = vectors[anchors & (labels == c)].mean(dim=0)
        negatives = state["banks"].flatten(0, 1)[draw.negatives[c]].double()
        for a in draw.anchors[c].tolist():
            assert anchors[a]
            assert labels[a] == c
            keys = torch.cat([mean.unsqueeze(0), negatives])
            scores = F.cosine_similarity(pixels[a].unsqueeze(0), keys) / 0.5
            total += (scores.exp().sum().log() - scores[0]).item() / 16
    assert loss.item() == pytest.approx(total / CLASSES, rel=1e-5)


def test_a_gradient_flows_through_anchors_alone():
    student, teacher, *rest = scene()
    student.requires_grad_()
    teacher.requires_grad_()
    (loss, _, state), reliability = contrast(u2pl(), (student, teacher, *rest))
    loss.backward()
    assert teacher.grad is None
    assert not state["banks"].requires_grad
    reached = student.grad.abs().sum(dim=1) > 0
    assert reached.any()
    assert not (reached[1:] & ~reliability.low).any()


def test_the_terms_of_the_other_classes_do_not_change_without_a_class():
    """The program indexes its banks by the place in a shorter list, and mixes up the classes."""
    labels = torch.randint(4, (60,), generator=seeded(0))
    hard = torch.rand(60, generator=seeded(1)) < 0.7
    pixels = torch.randn(60, 8, generator=seeded(2))
    banks, positives = torch.randn(4 * 10, 8, generator=seeded(3)), torch.randn(4, 8)
    counts = torch.tensor([10, 10, 4, 10])

    def term(labels, classes):
        draw = draw_from_banks(labels, hard, counts, 10, 16, 16, seeded(4))
        rows = torch.isin(draw.classes, torch.tensor(classes))
        part = Draw(*(values[rows] for values in draw))
        assert part.classes.tolist() == classes
        return contrastive_loss(pixels, positives, part, 0.5, banks)

    without = labels.masked_fill(labels == 1, 255)
    for classes in ([0], [2], [3], [0, 2, 3]):
        assert torch.equal(term(labels, classes), term(without, classes))
    parts = [term(labels, [c]) for c in range(4)]
    torch.testing.assert_close(term(labels, [0, 1, 2, 3]), sum(parts) / 4)


# The whole step


def mixed_targets(method, told, unlabeled):
    logits = F.interpolate(told.logits[2:], size=(SIZE, SIZE), mode="bilinear")
    label = logits.argmax(dim=1).masked_fill(~unlabeled.valid, 255)
    return U2plTargets(label, pixel_entropy(logits), unlabeled.valid, told.logits[2:], None)


@pytest.mark.parametrize("mean", ["kept", "program"])
def test_the_loss_on_unlabeled_images(mean):
    """Without mixing: the mean of the kept pixels, times `V / kept` in the program."""
    method = u2pl(unsupervised_mean=mean, mix_probability=0.0)
    labeled, unlabeled = batches()
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled, unlabeled, at())
    assert torch.equal(student.inputs[0], torch.cat([labeled.image, unlabeled.strong]))
    assert torch.equal(teacher.inputs[0], torch.cat([labeled.image, unlabeled.weak]))
    targets = mixed_targets(method, teacher.outputs[0], unlabeled)
    kept = method._reliability(targets.entropy, targets.valid, at()).kept
    logits = F.interpolate(student.outputs[0].logits, size=(SIZE, SIZE), mode="bilinear")[2:]
    total, count = 0.0, 0
    for b, y, x in kept.nonzero().tolist():
        total -= logits[b, :, y, x].log_softmax(dim=0)[targets.label[b, y, x]].item()
        count += 1
    expected = total / count
    if mean == "program":
        expected = int(unlabeled.valid.sum()) * total / count**2
    assert losses.terms["unsupervised"].item() == pytest.approx(expected, rel=1e-4)
    share = count / int(unlabeled.valid.sum())
    assert losses.diagnostics["used"].item() == pytest.approx(share)
    assert 0.85 < share < 0.95


def test_without_contrast_and_unreliable_pixels_it_is_mean_teacher_with_hard_labels():
    """But for the one pixel of the highest entropy."""
    method = u2pl(contrast_weight=0.0, unreliable_share=0.0, mix_probability=0.0)
    labeled, unlabeled = batches()
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled, unlabeled, at())
    targets = mixed_targets(method, teacher.outputs[0], unlabeled)
    logits = F.interpolate(student.outputs[0].logits, size=(SIZE, SIZE), mode="bilinear")[2:]
    entropy = targets.entropy.masked_fill(~targets.valid, -1)
    label = targets.label.masked_fill(entropy == entropy.max(), 255)
    expected = F.cross_entropy(logits, label, ignore_index=255)
    torch.testing.assert_close(losses.terms["unsupervised"], expected)
    assert losses.terms["contrastive"] == 0


def test_a_box_is_pasted_in_a_part_of_the_steps():
    method = u2pl(mix_probability=0.5)
    boxes = [method._draw_boxes(2, 8, 8, seeded(i)).any().item() for i in range(200)]
    assert 70 < sum(boxes) < 130


def test_banks_fill_and_the_loss_is_there():
    method = u2pl()
    for number in (0, 50, 51):
        losses = learn(method, labeled_batch(SIZE, seed=number), unlabeled_batch(SIZE), at(number))
        assert losses.terms["contrastive"] > 0
        assert 0 < losses.diagnostics["anchors"] < 1
    assert losses.diagnostics["bank"] == 1
    assert torch.equal(method.banks, losses.state["banks"])


def test_the_warm_up_and_no_unlabeled_images_are_the_same():
    spoiled = unlabeled_batch(SIZE)
    spoiled.weak.fill_(torch.nan)
    spoiled.strong.fill_(torch.nan)
    ours = run(u2pl(supervised_warmup=0.1), labeled_batch(SIZE), spoiled, at(9))
    alone = run(u2pl(supervised_warmup=0.1), labeled_batch(SIZE), None, at(9))
    assert ours.terms.keys() == {"supervised", "contrastive"}
    assert values(ours.terms) == values(alone.terms)
    assert same(ours.state, alone.state)


def test_the_banks_are_in_the_checkpoint():
    method = u2pl()
    learn(method, *batches(), at())
    state = snapshot(method)
    other = u2pl()
    other.load_state_dict(state)
    first, second = (run(m, *batches(), at(51)) for m in (method, other))
    assert values(first.terms) == values(second.terms)
    assert state["banks"].any()
