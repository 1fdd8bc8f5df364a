"""CPS by hand: its labels, its boxes and losses, and what it is without its parts."""

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import (
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
from torch import nn

from semiseg.augment.mixing import draw_several_boxes
from semiseg.core.types import Inputs
from semiseg.methods.mixed_views import cut_mix

TERMS = ("supervised", "supervised_second", "unsupervised", "unsupervised_second")


def cps(**settings):
    """Without dropout, which draws other neurons for each network."""
    method = build("cps", **settings)
    for module in method.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return method


def equal_networks(**settings):
    method = cps(**settings)
    method.second.load_state_dict(method.student.state_dict())
    return method


def swap(method):
    method.student, method.second = method.second, method.student
    return method


# The boxes


def test_several_boxes_cover_a_quarter_to_a_half_at_most():
    """Each pixel that an odd number of boxes holds; overlaps make the region smaller."""
    masks = draw_several_boxes(2000, 60, 40, torch.Generator().manual_seed(0))
    assert masks.shape == (2000, 60, 40)
    assert masks.dtype == torch.bool
    share = masks.float().mean(dim=(1, 2))
    assert share.max() < 0.52  # sides are whole pixels
    assert 0.25 < share.mean() < 0.375
    one = draw_several_boxes(2000, 60, 40, torch.Generator().manual_seed(0), boxes=1)
    share = one.float().mean(dim=(1, 2))
    assert share.min() > 0.23
    assert share.max() < 0.52
    assert share.mean() == pytest.approx(0.375, abs=0.01)
    # As a whole row or column, and everything between them.
    sides = one.any(dim=2).sum(dim=1) / 60
    assert sides.min() < 0.45
    assert sides.max() > 0.95


def test_several_boxes_are_the_xor_of_single_ones():
    """Drawn again from the same numbers, pixel by pixel."""
    masks = draw_several_boxes(3, 31, 23, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(2, 3, generator=generator)
    corner = torch.rand(2, 3, 3, generator=generator)
    for i in range(3):
        area = 0.25 + 0.25 * u[0, i].item()
        tall = area ** u[1, i].item()
        h, w = round(31 * tall / 3**0.5), round(23 * area / tall / 3**0.5)
        expected = [[False] * 23 for _ in range(31)]
        for box in range(3):
            top, left = int(corner[0, box, i] * (31 - h + 1)), int(corner[1, box, i] * (23 - w + 1))
            for y in range(top, top + h):
                for x in range(left, left + w):
                    expected[y][x] = not expected[y][x]
        assert masks[i].tolist() == expected


# The losses


@pytest.mark.parametrize("box", ["several", "half", "none"])
def test_the_losses_are_the_cross_entropies_against_the_other_s_labels(box):
    """In double precision, pixel by pixel, from what the networks said."""
    method = cps(box=box, confidence_threshold=0.5, unsupervised_weight=0.7)
    method.class_weights = torch.tensor([0.5, 1.0, 2.0])
    labeled, unlabeled = labeled_batch(), unlabeled_batch()
    spies = [Spy(network) for network in method.students()]
    losses = run(method, labeled, unlabeled, at())
    for spy in spies:
        assert torch.equal(spy.inputs[0], unlabeled.weak)
        assert not spy.outputs[0].logits.requires_grad
    for mine, other, suffix in ((0, 1, ""), (1, 0, "_second")):
        weak = F.interpolate(spies[other].outputs[0].logits, (64, 64), mode="bilinear").double()
        confidence, label = weak.softmax(dim=1).max(dim=1)
        label[~unlabeled.valid | (confidence < 0.5)] = 255
        view, valid = Inputs(unlabeled.strong), unlabeled.valid
        if box != "none":
            draw = {"several": {"draw": draw_several_boxes}, "half": {}}[box]
            view, (label, valid) = cut_mix(at(), view, label, valid, **draw)
        assert torch.equal(spies[mine].inputs[1][2:], view.image)
        strong = spies[mine].outputs[1].logits[2:]
        strong = F.interpolate(strong, (64, 64), mode="bilinear").double().log_softmax(dim=1)
        total = torch.zeros((), dtype=torch.double)
        weights = method.class_weights.double()
        for c in range(3):
            total -= weights[c] * (strong[:, c] * ((label == c) & valid)).sum()
        expected = 0.7 * total / valid.sum()
        torch.testing.assert_close(losses.terms[f"unsupervised{suffix}"].double(), expected)
    assert losses.terms.keys() == set(TERMS)
    assert 0 < losses.diagnostics["used"] < 1


def test_labels_of_mixed_logits_are_mixed_labels():
    """The paper mixes the answers before it takes their classes; for a pixel this is the same."""
    logits = torch.randn(4, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    image = torch.zeros(4, 3, 16, 16)
    _, (label, mixed) = cut_mix(at(), Inputs(image), logits.argmax(dim=1), logits)
    assert torch.equal(label, mixed.argmax(dim=1))


def test_equal_networks_have_equal_losses_without_mixing():
    method = equal_networks(box="none")
    losses = run(method, labeled_batch(), unlabeled_batch(), at())
    for name in ("supervised", "unsupervised"):
        assert losses.terms[name] > 0
        assert torch.equal(losses.terms[name], losses.terms[f"{name}_second"])
    assert losses.diagnostics["agree"] == 1


@pytest.mark.parametrize("box", ["several", "none"])
def test_swapped_networks_swap_their_losses(box):
    ours = values(run(cps(box=box), labeled_batch(), unlabeled_batch(), at()).terms)
    theirs = values(run(swap(cps(box=box)), labeled_batch(), unlabeled_batch(), at()).terms)
    assert ours["unsupervised"] != ours["unsupervised_second"]
    for name in ("supervised", "unsupervised"):
        assert ours[name] == theirs[f"{name}_second"]
        assert ours[f"{name}_second"] == theirs[name]


def test_the_networks_start_with_one_encoder_and_two_decoders():
    first, second = build("cps").students()
    assert same(first.encoder.state_dict(), second.encoder.state_dict())
    ours, theirs = (list(n.decoder.parameters()) for n in (first, second))
    assert any(not torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(first.logit_head.weight, second.logit_head.weight)


def test_each_network_learns_from_its_own_losses_alone():
    method = cps()
    losses = run(method, labeled_batch(), unlabeled_batch(), at())
    for name, other in (("unsupervised", method.second), ("unsupervised_second", method.student)):
        gradients = torch.autograd.grad(
            losses.terms[name], list(other.parameters()), allow_unused=True, retain_graph=True
        )
        assert all(g is None for g in gradients)


def test_labels_come_in_eval_mode_and_leave_the_mode_alone():
    method = cps()
    modes = {name: module.training for name, module in method.named_modules()}
    before = snapshot(method)
    method.pseudo_labels(unlabeled_batch().weak, unlabeled_batch().valid, at())
    run(method, labeled_batch(), unlabeled_batch(), at())
    assert {name: module.training for name, module in method.named_modules()} == modes
    counts = [k for k in before if k.endswith("num_batches_tracked")]
    assert all(method.state_dict()[k] == before[k] + 1 for k in counts)


def test_no_weight_is_two_supervised_trainings():
    """Bit by bit, over several steps."""
    ours = build("cps", unsupervised_weight=0.0, supervised_warmup=0.0)
    alone = build("supervised")
    alone.student.load_state_dict(ours.student.state_dict())
    optimizers = [torch.optim.AdamW(m.trained_parameters(), lr=1e-2) for m in (ours, alone)]
    for number in range(3):
        for method, optimizer in zip((ours, alone), optimizers, strict=True):
            optimizer.zero_grad()
            losses = learn(method, labeled_batch(32), unlabeled_batch(32), at(number))
            optimizer.step()
        assert losses.terms.keys() == {"supervised"}
    assert same(alone.student.state_dict(), ours.student.state_dict())


def test_the_warm_up_teaches_both_networks_labeled_images():
    spoiled = unlabeled_batch()
    spoiled.weak.fill_(torch.nan)
    method = cps(supervised_warmup=0.1)
    losses = learn(method, labeled_batch(), spoiled, at(9))
    assert losses.terms.keys() == set(TERMS[:2])
    assert all(p.grad is not None for p in method.trained_parameters())


def test_nothing_confident_teaches_nothing():
    method = cps(confidence_threshold=1.0)
    for network in method.students():
        network.logit_head.weight.data.mul_(0.01)
    losses = learn(method, labeled_batch(), unlabeled_batch(), at())
    assert losses.terms["unsupervised"] == losses.terms["unsupervised_second"] == 0
    assert losses.diagnostics["used"] == 0


def test_the_weak_view_is_learned_where_the_settings_say_so():
    method = build("cps-paper", box="none")
    spy = Spy(method.student)
    run(method, labeled_batch(), unlabeled_batch(), at())
    assert torch.equal(spy.inputs[1][2:], unlabeled_batch().weak)
