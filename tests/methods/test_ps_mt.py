"""PS-MT by hand: the ensemble, the noise, the weighted loss, the ramp, and whose turn it is."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import at, build, labeled_batch, learn, run, same, unlabeled_batch

from semiseg.augment.mixing import draw_beta_boxes, draw_partners, paste
from semiseg.core.types import IGNORE_INDEX
from semiseg.losses.pseudo import confidence_weighted_loss
from semiseg.methods.ps_mt import cosine_ramp, ensemble
from semiseg.model.network import upsample
from semiseg.training.guard import Guard

SIZE = 32


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


def trained(**settings):
    """Two teachers that differ."""
    method = build("ps-mt", **settings)
    with torch.no_grad():
        for i, parameter in enumerate(method.second_teacher.network.logit_head.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(i)))
    return method


# The ensemble


def test_the_ensemble_by_hand():
    active, resting = draw(2, 5, 2, 2), draw(2, 5, 2, 2, seed=1)
    for top in (1, 3):
        result = ensemble(active, resting, top)
        for b in range(2):
            for y in range(2):
                for x in range(2):
                    own, other = active[b, :, y, x].tolist(), resting[b, :, y, x].tolist()
                    likely = sorted(range(5), key=lambda c: -other[c])[:top]
                    expected = [
                        (o + (other[c] if c in likely else o)) / 2 for c, o in enumerate(own)
                    ]
                    assert result[b, :, y, x].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("top", [5, 7])
def test_all_classes_give_the_plain_mean(top):
    active, resting = draw(2, 5, 3, 3), draw(2, 5, 3, 3, seed=1)
    assert torch.equal(ensemble(active, resting, top), (active + resting) / 2)


@pytest.mark.parametrize("top", [1, 2, 5])
def test_equal_teachers_say_what_each_of_them_says(top):
    logits = draw(2, 5, 3, 3)
    assert torch.equal(ensemble(logits, logits.clone(), top), logits)


def test_mixing_logits_is_mixing_their_labels_and_confidences():
    logits = draw(4, 5, 16, 16)
    generator = seeded(3)
    partners = draw_partners(4, generator)
    boxes = draw_beta_boxes(4, 16, 16, generator)
    confidence, label = logits.softmax(1).max(1)
    mixed_confidence, mixed_label = paste(logits, partners, boxes).softmax(1).max(1)
    assert torch.equal(mixed_label, paste(label, partners, boxes))
    assert torch.equal(mixed_confidence, paste(confidence, partners, boxes))


# The loss


def test_the_weighted_loss_by_hand():
    logits, confidence = draw(2, 3, 4, 4), torch.rand(2, 4, 4, generator=seeded(1))
    label = torch.randint(3, (2, 4, 4), generator=seeded(2)).masked_fill(
        confidence < 0.6, IGNORE_INDEX
    )
    weights = torch.tensor([0.5, 1.0, 2.0])
    for own in (None, weights):
        total, count = 0.0, 0
        for b in range(2):
            for y in range(4):
                for x in range(4):
                    c = label[b, y, x].item()
                    if c == IGNORE_INDEX:
                        continue
                    p = logits[b, :, y, x].double().softmax(0)[c].item()
                    factor = 1.0 if own is None else own[c].item()
                    total -= factor * confidence[b, y, x].item() * math.log(p)
                    count += 1
        assert confidence_weighted_loss(logits, label, confidence, own).item() == pytest.approx(
            total / count, rel=1e-5
        )


def test_nothing_confident_gives_exactly_zero():
    method = trained(confidence_threshold=1.0)
    losses = run(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at())
    assert losses.terms["unsupervised"] == 0
    assert losses.diagnostics["used"] == 0
    losses.terms["unsupervised"].backward()
    for parameter in method.student.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_the_weight_rises_along_half_a_cosine():
    assert [cosine_ramp(s, 0.15) for s in (0.0, 0.075, 0.15, 0.9)] == pytest.approx([0, 0.5, 1, 1])
    assert cosine_ramp(0.05, 0.15) == pytest.approx((1 - math.cos(math.pi / 3)) / 2)
    assert cosine_ramp(0.0, 0.0) == 1


def test_a_whole_step_by_hand():
    """Without noise, and with weights of the ramp: two teachers, CutMix, weighted labels."""
    settings = {"noise_length": 0.0, "confidence_threshold": 0.45, "ramp_up": 1.0}
    method, other = trained(**settings), trained(**settings)
    x, u, step = labeled_batch(SIZE), unlabeled_batch(SIZE), at(60)
    losses = run(method, x, u, step)
    size = (SIZE, SIZE)
    both = [t(u.weak).logits for t in (other.teacher, other.second_teacher)]
    logits = upsample(sum(both) / 2, size, size).double()
    confidence, label = logits.softmax(1).max(1)
    label = label.masked_fill(~u.valid | (confidence < 0.45), IGNORE_INDEX)
    generator = step.key.child("mix").torch()
    partners = draw_partners(2, generator)
    boxes = draw_beta_boxes(2, SIZE, SIZE, generator)
    strong, label, confidence = (paste(m, partners, boxes) for m in (u.strong, label, confidence))
    step.key.seed_globals()
    logits = upsample(other.student(torch.cat([x.image, strong])).logits, size, size).double()
    expected = confidence_weighted_loss(logits[2:], label, confidence)
    expected = expected * (1 - math.cos(math.pi * 0.6)) / 2
    assert losses.terms["unsupervised"].item() == pytest.approx(expected.item(), rel=1e-5)
    supervised = F.cross_entropy(logits[:2], x.mask, ignore_index=IGNORE_INDEX).item()
    assert losses.terms["supervised"].item() == pytest.approx(supervised, rel=1e-5)
    assert 0 < losses.diagnostics["used"] < 1


def test_tied_teachers_without_noise_and_weights_are_cutmix_with_plain_cross_entropy():
    method = build("ps-mt", noise_length=0.0, confidence_threshold=0.0, ramp_up=0.0)
    method.second_teacher.load_state_dict(method.teacher.state_dict())
    other = build("ps-mt")
    x, u, step = labeled_batch(SIZE), unlabeled_batch(SIZE), at(60)
    u = u._replace(valid=torch.ones_like(u.valid))
    certain = method._read
    method._read = lambda *a: (p := certain(*a))._replace(confidence=torch.ones_like(p.confidence))
    losses = run(method, x, u, step)
    size = (SIZE, SIZE)
    label = upsample(other.teacher(u.weak).logits, size, size).argmax(1)
    generator = step.key.child("mix").torch()
    partners = draw_partners(2, generator)
    boxes = draw_beta_boxes(2, SIZE, SIZE, generator)
    strong, label = paste(u.strong, partners, boxes), paste(label, partners, boxes)
    step.key.seed_globals()
    logits = upsample(other.student(torch.cat([x.image, strong])).logits, size, size)
    torch.testing.assert_close(losses.terms["unsupervised"], F.cross_entropy(logits[2:], label))


# The noise


def test_the_noise_has_its_length_for_each_image_and_leaves_the_teachers_alone():
    method = trained()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    features = draw(3, method.student.width, 8, 8).requires_grad_()
    noise = method._noise(features, at())
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), torch.full((3,), 2.0))
    assert not noise.requires_grad
    assert features.grad is None
    assert all(p.grad is None for p in method.parameters())
    assert same(before, method.state_dict())


def test_the_noise_changes_the_teachers_answer_more_than_random_noise_does():
    method = trained()

    def divergence(noise):
        with torch.no_grad():
            answers = [
                sum(t.network.heads(m).logits for t in (method.teacher, method.second_teacher)) / 2
                for m in (features, features + noise)
            ]
        p, q = (a.log_softmax(1) for a in answers)
        return (p.exp() * (p - q)).sum((1, 2, 3))

    features = draw(3, method.student.width, 8, 8)
    other = draw(*features.shape, seed=2)
    other = 2 * other / other.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert (divergence(method._noise(features, at())) > 2 * divergence(other)).all()


def test_the_noise_is_on_labeled_images_too_and_gradients_reach_the_encoder():
    x, u = labeled_batch(SIZE), unlabeled_batch(SIZE)
    noisy, quiet = trained(), trained(noise_length=0.0)
    losses = [run(m, x, u, at()).terms["supervised"] for m in (noisy, quiet)]
    assert losses[0] != losses[1]
    losses[0].backward()
    assert next(noisy.student.encoder.parameters()).grad.any()


# Whose turn it is


def test_only_the_active_teacher_follows_after_the_warm_up():
    """Blocks of 3 steps after a warm-up of 4, in which both follow."""
    method = build("ps-mt", supervised_warmup=0.2, switch_every=0.15, teacher_memory=0.3)
    teachers = (method.teacher, method.second_teacher)
    updates = [0, 0]
    for number in range(20):
        before = [{k: v.clone() for k, v in t.network.state_dict().items()} for t in teachers]
        with torch.no_grad():
            for i, parameter in enumerate(method.student.parameters()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(i + number)))
        method.after_step(number, 20)
        student = method.student.state_dict()
        averaged = {name for name, _ in method.student.named_parameters()}
        active = (0, 1) if number < 4 else ((number - 4) // 3 % 2,)
        for index, teacher in enumerate(teachers):
            now = teacher.network.state_dict()
            if index not in active:
                assert same(now, before[index])
                continue
            decay = min(1 - 1 / (updates[index] + 1), 1 - 1 / 6)
            for name, value in now.items():
                expected = student[name]
                if name in averaged:
                    expected = decay * before[index][name] + (1 - decay) * expected
                torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
            updates[index] += 1
    assert min(updates) > 8


def test_the_decay_is_the_program_s_with_its_memory():
    method = build("ps-mt-paper")
    method.teacher.update(method.student, 20_000, round(250 / 0.0095))
    assert method.teacher.average.decay == pytest.approx(0.996, abs=1e-5)


def test_the_teacher_at_work_labels_together_with_the_one_that_rests():
    """With few top classes it matters which of them rests."""
    method = trained(top_classes=1, supervised_warmup=0.0, switch_every=0.1)
    u = unlabeled_batch(SIZE)
    answers = [method._read(u.weak_inputs, u.valid, at(n)).confidence for n in (0, 9, 10, 20)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])
    assert torch.equal(answers[0], answers[3])


def test_both_teachers_are_validated_saved_and_left_alone_by_the_guard():
    method = build("ps-mt")
    assert list(method.networks()) == ["student", "teacher", "second_teacher"]
    names = {name.split(".")[0] for name in method.state_dict()}
    assert {"student", "teacher", "second_teacher"} <= names
    guard = Guard(method)
    guard.begin()
    learn(method, labeled_batch(SIZE), unlabeled_batch(SIZE), at(0))
    for teacher in (method.teacher, method.second_teacher):
        held = {id(b) for b in teacher.buffers()}
        assert not held & {id(b) for b in guard._buffers}
        assert same(teacher.network.state_dict(), method.student.state_dict())


def test_one_class_is_no_accident():
    logits = draw(1, 1, 4, 4)
    assert ensemble(logits, logits, 7).shape == (1, 1, 4, 4)
