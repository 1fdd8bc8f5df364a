"""AugSeg by hand: the confidence of an image, the two pastes, the loss and the teacher."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import CLASSES, at, build, labeled_batch, run, snapshot, unlabeled_batch

from semiseg.augment.mixing import draw_beta_boxes
from semiseg.config.methods import METHODS
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods import augseg as module
from semiseg.methods import semi_supervised
from semiseg.methods.augseg import draw_labeled_boxes, image_confidence, paste_from
from semiseg.model.network import upsample

SIZE = 32


def seeded(seed):
    return torch.Generator().manual_seed(seed)


labeled, unlabeled = partial(labeled_batch, SIZE), partial(unlabeled_batch, SIZE)


# The confidence of an image


def test_confidence_by_hand():
    logits = torch.randn(2, 3, 2, 2, generator=seeded(0))
    valid = torch.ones(2, 8, 8, dtype=torch.bool)
    valid[1, :, :4] = False  # the left cells
    expected = []
    for image, columns in ((0, (0, 1)), (1, (1,))):
        values = []
        for y in (0, 1):
            for x in columns:
                powers = [math.exp(v) for v in logits[image, :, y, x].tolist()]
                p = [v / sum(powers) for v in powers]
                entropy = -sum(v * math.log(v + 1e-10) for v in p)
                values.append((1 - entropy / math.log(3)) * max(p))
        expected.append(sum(values) / len(values))
    assert image_confidence(logits, valid).tolist() == pytest.approx(expected, abs=1e-6)


def test_certain_images_have_1_and_undecided_ones_0():
    logits = torch.zeros(3, CLASSES, 4, 4)
    logits[0, 1] = 1e4
    valid = torch.ones(3, 16, 16, dtype=torch.bool)
    valid[2] = False  # and an image of padding has 0 too
    assert image_confidence(logits, valid).tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(("confidence", "injected"), [(1.0, 0.0), (0.0, 1.0)])
def test_certain_images_never_get_a_labeled_box_and_undecided_ones_always(
    monkeypatch, confidence, injected
):
    method = build("augseg")
    monkeypatch.setattr(module, "image_confidence", lambda x, _: x.new_full((len(x),), confidence))
    for number in range(50, 60):
        losses = run(method, labeled(), unlabeled(), at(number))
        assert losses.diagnostics["injected"] == injected


# The two pastes


def views(method, confidence, step, known=None, batch=3, pseudo=None):
    """The result of both pastes, with the draws in their order."""
    x, u = known or labeled(batch), unlabeled(batch)
    pseudo = torch.full((batch, SIZE, SIZE), IGNORE_INDEX) if pseudo is None else pseudo
    result = method._inject_and_mix(x, u, pseudo, torch.full((batch,), confidence), step)
    generator = step.key.child("mix").torch()
    partners = torch.randperm(batch, generator=generator)
    first = draw_labeled_boxes(batch, SIZE, SIZE, generator)
    second = draw_beta_boxes(batch, SIZE, SIZE, generator)
    return x, u, pseudo, partners, first, second, result


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_both_pastes_by_hand(number, confidence):
    method = build("augseg")
    pseudo = torch.randint(CLASSES, (3, SIZE, SIZE), generator=seeded(number))
    x, u, pseudo, partners, first, second, (mixed, (label, valid), _) = views(
        method, confidence, at(number), pseudo=pseudo
    )
    source = [u.strong.clone(), pseudo.clone(), u.valid.clone()]
    for i, s in enumerate(partners.tolist()):
        if confidence == 0.0:
            source[0][i][:, first[i]] = x.image[s][:, first[i]]
            source[1][i][first[i]] = x.mask[s][first[i]]
            source[2][i][first[i]] = x.mask[s][first[i]] != IGNORE_INDEX
    expected = [u.strong.clone(), pseudo.clone(), u.valid.clone()]
    for i, s in enumerate(partners.tolist()):
        expected[0][i][:, second[i]] = source[0][s][:, second[i]]
        expected[1][i][second[i]] = source[1][s][second[i]]
        expected[2][i][second[i]] = source[2][s][second[i]]
    for ours, theirs in zip((mixed.image, label, valid), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_labeled_boxes_bring_their_masks_however_unsure_the_teacher_is():
    """No pixel has a pseudo-label, so all labels are those of masks; 255 stays 255."""
    method = build("augseg")
    total = 0
    for number in range(6):
        x, _, _, partners, first, second, (_, (label, valid), _) = views(method, 0.0, at(number))
        for i, s in enumerate(partners.tolist()):
            pasted = second[i] & first[s]
            assert torch.equal(label[i][pasted], x.mask[partners[s]][pasted])
            assert (label[i][~pasted] == IGNORE_INDEX).all()
            assert torch.equal(valid[i][pasted], label[i][pasted] != IGNORE_INDEX)
            total += (label[i] != IGNORE_INDEX).sum()
    assert total > 0


def test_an_image_gets_labeled_pixels_through_its_partner_alone():
    method = build("augseg")
    *_, second, (mixed, _, _) = views(
        method, 0.0, at(2), Labeled(torch.full((3, 3, SIZE, SIZE), 5.0), labeled(3).mask)
    )
    assert (mixed.image == 5).any()
    assert not (mixed.image == 5).all(dim=1)[~second].any()


def test_fewer_labeled_images_are_used_again():
    method = build("augseg")
    images = Labeled(torch.full((1, 3, SIZE, SIZE), 5.0), labeled(1).mask)
    strong = unlabeled(3)
    pseudo = torch.zeros(3, SIZE, SIZE, dtype=torch.long)
    mixed, _, _ = method._inject_and_mix(images, strong, pseudo, torch.zeros(3), at(2))
    assert (mixed.image == 5).any()


def test_regions_of_another_batch_take_their_features_along():
    own = Inputs(torch.zeros(2, 3, 8, 8), (torch.zeros(2, 4, 2, 2), torch.zeros(2, 1, 4)))
    other = Inputs(torch.ones(3, 3, 8, 8), (torch.ones(3, 4, 2, 2), torch.ones(3, 1, 4)))
    regions = torch.zeros(2, 8, 8, dtype=torch.bool)
    regions[1, :4] = True
    maps = (torch.zeros(2, 8, 8), torch.ones(3, 8, 8))
    partners = torch.tensor([0, 2])
    mixed, (one,) = paste_from((own, maps[:1]), (other, maps[1:]), partners, regions, 4)
    assert torch.equal(mixed.image[:, 0].bool(), regions)
    assert torch.equal(one.bool(), regions)
    assert mixed.features[0][1, 0].tolist() == [[1, 1], [0, 0]]
    assert not mixed.features[0][0].any()
    assert not mixed.features[1].any()  # tokens describe a whole image


# The boxes


def test_boxes_have_the_areas_of_their_distributions():
    """Before they are cut at the border, 1 - lambda of the image: a half, and a fifth."""
    for draw, mean in ((draw_beta_boxes, 0.5), (partial(draw_beta_boxes, a=8, b=2), 0.2)):
        areas, cut = [], []
        for seed in range(400):
            boxes = draw(8, 64, 96, seeded(seed))
            heights, widths = boxes.any(dim=2).sum(dim=1), boxes.any(dim=1).sum(dim=1)
            assert torch.equal(boxes.sum(dim=(1, 2)), heights * widths)
            areas.append((heights.max() * widths.max()).item() / (64 * 96))
            cut.append(boxes.float().mean().item())
        assert sum(areas) / 400 == pytest.approx(mean, rel=0.12)
        assert sum(cut) / 400 < mean


def test_box_centers_spare_the_first_eighth_and_boxes_end_at_the_border():
    boxes = draw_beta_boxes(4000, 64, 64, seeded(0), 40, 1)
    heights = boxes.any(dim=2).sum(dim=1)
    first, reach = boxes.any(dim=2).int().argmax(dim=1), heights.max() // 2
    assert reach > 1
    assert (first.min() + reach, first.max() + reach) == (8, 63)
    assert heights.min() == reach + 1


# The loss


def test_without_a_threshold_the_loss_is_plain_cross_entropy(monkeypatch):
    """And a threshold takes from it exactly the sum of what it drops, over all pixels."""
    outputs = []
    monkeypatch.setattr(
        semi_supervised,
        "pseudo_label_loss",
        lambda *a, **k: outputs.append(a) or pseudo_label_loss(*a, **k),
    )
    labels, images = labeled(), unlabeled()
    images = images._replace(valid=torch.ones_like(images.valid))
    labels = labels._replace(mask=labels.mask.clamp(max=CLASSES - 1))
    values = {}
    for threshold in (0.0, 0.6):
        method = build("augseg", confidence_threshold=threshold)
        values[threshold] = run(method, labels, images, at()).terms["unsupervised"].item()
    all_logits, all_labels, valid = outputs[0]
    _, kept, _ = outputs[1]
    assert valid.all()
    assert (all_labels != IGNORE_INDEX).all()
    each = F.cross_entropy(all_logits, all_labels, reduction="none")
    assert values[0.0] == pytest.approx(each.mean().item(), rel=1e-5)
    dropped = kept == IGNORE_INDEX
    assert dropped.any()
    assert not dropped.all()
    expected = values[0.0] - each[dropped].sum().item() / each.numel()
    assert values[0.6] == pytest.approx(expected, rel=1e-4)


def test_a_whole_step_by_hand(monkeypatch):
    """Sure of all images: CutMix with an EMA teacher and a threshold."""
    monkeypatch.setattr(module, "image_confidence", lambda x, _: x.new_ones(len(x)))
    x, u, step = labeled(), unlabeled(), at()
    method, other = build("augseg", confidence_threshold=0.5), build("augseg")
    losses = run(method, x, u, step)
    generator = step.key.child("mix").torch()
    partners = torch.randperm(2, generator=generator)
    draw_labeled_boxes(2, SIZE, SIZE, generator)
    boxes = draw_beta_boxes(2, SIZE, SIZE, generator)
    p = upsample(other.teacher(u.weak).logits, (SIZE, SIZE), (SIZE, SIZE)).double().softmax(1)
    confidence, label = p.max(dim=1)
    image = torch.where(boxes[:, None], u.strong[partners], u.strong)
    label = torch.where(boxes, label[partners], label)
    confidence = torch.where(boxes, confidence[partners], confidence)
    valid = torch.where(boxes, u.valid[partners], u.valid)
    step.key.seed_globals()
    logits = other.student(torch.cat([x.image, image])).logits
    logits = upsample(logits, (SIZE, SIZE), (SIZE, SIZE)).double()
    total, count = 0.0, 0
    for i in range(2):
        log_p = logits[2 + i].log_softmax(0)
        keep = (confidence[i] >= 0.5) & valid[i]
        total -= log_p.gather(0, label[i][None])[0][keep].sum().item()
        count += valid[i].sum().item()
    assert losses.terms["unsupervised"].item() == pytest.approx(total / count, rel=1e-5)
    supervised = F.cross_entropy(logits[:2], x.mask, ignore_index=IGNORE_INDEX).item()
    assert losses.terms["supervised"].item() == pytest.approx(supervised, rel=1e-5)


# The teacher


def test_the_teacher_is_a_copy_at_first_and_an_average_later():
    method = build("augseg", average_after=0.03, teacher_memory=0.05)
    images = labeled(), unlabeled()
    optimizer = torch.optim.SGD(method.student.parameters(), lr=0.1)
    for number in range(6):
        before = snapshot(method.teacher.network)
        optimizer.zero_grad()
        sum(run(method, *images, at(number)).terms.values()).backward()
        optimizer.step()
        method.after_step(number, 100)
        student, teacher = method.student.state_dict(), method.teacher.network.state_dict()
        decay = 0.0 if number < 3 else min(1 - 1 / (number + 1), 1 - 1 / 5)
        averaged = {name for name, _ in method.student.named_parameters()}
        for name, value in teacher.items():
            ours = student[name]
            if number >= 3 and name in averaged:
                ours = decay * before[name] + (1 - decay) * ours
            torch.testing.assert_close(value, ours, rtol=1e-4, atol=1e-6)


def test_its_views_have_random_colors_unless_the_user_says_otherwise():
    assert METHODS["augseg"].preferred_photometry == "random"
    assert METHODS["augseg-paper"].preferred_photometry == "random"
