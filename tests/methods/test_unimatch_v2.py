"""`unimatch-v2`: complementary channels, its loss by hand, and a run with the real DINOv2-S."""

import pytest
import torch
from tiny_methods import Spy, at, build, labeled_batch, run, unlabeled_batch
from tiny_vit import TINY_VIT
from view_loss import draws, view_loss

from semiseg.config.encoder_choice import encoder_for
from semiseg.config.network import LIGHT_ENCODER, SMALL_VIT
from semiseg.config.train import TrainConfig
from semiseg.methods.mixed_views import cut_mix
from semiseg.model.feature_dropout import complementary_masks, drop_complementary
from semiseg.model.network import Network

SIZE = 32


def batch():
    return labeled_batch(SIZE), unlabeled_batch(SIZE), at()


@pytest.mark.parametrize("count", range(1, 6))
def test_the_masks_are_complementary_and_half_of_the_images_stay_whole(count):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        for mask, width in zip(
            complementary_masks(count, [40, 60], generator), [40, 60], strict=True
        ):
            first, second = mask.chunk(2)
            assert first.shape == (count, width)
            assert (first + second == 2).all()
            whole = (first == 1).all(dim=1)
            assert whole.sum() == count // 2
            assert set(first[~whole].unique().tolist()) == {0.0, 2.0}


def test_the_masks_keep_the_mean_and_choose_the_whole_images_at_random():
    generator = torch.Generator().manual_seed(0)
    masks = [complementary_masks(2, [100], generator)[0] for _ in range(40)]
    assert torch.stack(masks).mean().item() == 1
    first = torch.stack([mask[:2] for mask in masks])
    assert first.mean().item() == pytest.approx(1, abs=0.05)
    assert {int((mask == 1).all(dim=1).float().argmax()) for mask in first} == {0, 1}


@pytest.mark.parametrize(("encoder", "shared"), [(TINY_VIT, True), ("lcnet_035", False)])
def test_the_levels_of_a_transformer_share_a_mask(encoder, shared):
    network = Network(3, encoder, weights="none").eval()
    ones = [torch.ones_like(m) for m in network.encode(torch.rand(6, 3, 56, 56))]
    maps = drop_complementary(network, ones, torch.Generator().manual_seed(0))
    assert torch.equal(maps[0], ones[0])  # the images
    changed = [m[:, :, 0, 0] for m in maps if (m != 1).any()]
    assert len(changed) == (4 if shared else 2)
    assert all((mask[:3] + mask[3:] == 2).all() for mask in changed)
    width = min(mask.shape[1] for mask in changed)
    equal = all(torch.equal(changed[0][:, :width], mask[:, :width]) for mask in changed)
    assert equal == shared
    whole = [tuple((mask == 1).all(dim=1).tolist()) for mask in changed]
    assert len(set(whole)) == 1
    assert sum(whole[0]) == 2


def test_the_loss_by_hand():
    """The teacher labels; each view has its own box, partner and channels."""
    method = build("unimatch-v2", confidence_threshold=0.5)
    method.student.eval()  # no dropout in the decoder, and each image by itself
    labeled, unlabeled, step = batch()
    teacher = Spy(method.teacher.network)
    losses = run(method, labeled, unlabeled, step)
    assert torch.equal(teacher.inputs[0], unlabeled.weak)
    weak = teacher.outputs[0].logits
    generator = step.key.child("feature dropout").torch()
    whole = torch.randperm(2, generator=generator)[0]
    expected, masks = [], {}
    for purpose, view in zip(("mix", "mix 1"), unlabeled.strong_views, strict=True):
        mixed, _ = cut_mix(step, view, purpose=purpose)
        maps = method.student.encode(mixed.image)
        for level in (2, len(maps) - 1):
            if purpose == "mix":
                masks[level] = 2 * torch.randint(2, maps[level].shape[:2], generator=generator)
                masks[level][whole] = 1
            mask = masks[level] if purpose == "mix" else 2 - masks[level]
            maps[level] = maps[level] * mask[:, :, None, None]
        logits = method.student.heads(method.student.decode(maps, (SIZE, SIZE))).logits
        partners, boxes = draws(step, 2, SIZE, purpose)
        loss, taught, pixels = view_loss(weak, logits, unlabeled.valid, 0.5, partners, boxes)
        assert 0 < taught < pixels
        expected.append(loss)
    assert losses.terms["unsupervised"].item() == pytest.approx(sum(expected) / 2, rel=1e-3)


def test_at_the_threshold_one_it_is_supervised():
    """Bit by bit, since labeled images are predicted by themselves."""
    results = []
    for name, settings in (("unimatch-v2", {"confidence_threshold": 1.0}), ("supervised", {})):
        method = build(name, **settings)
        terms = run(method, *batch()).terms
        torch.stack(list(terms.values())).sum().backward()
        results.append((terms["supervised"], [p.grad for p in method.student.parameters()]))
    (ours, gradients), (theirs, others) = results
    assert torch.equal(ours, theirs)
    assert all(map(torch.equal, gradients, others))


def test_the_teacher_s_labels_do_not_depend_on_batch_mates():
    method = build("unimatch-v2")
    unlabeled = unlabeled_batch(SIZE)
    both = method.teacher(unlabeled.weak).logits
    torch.testing.assert_close(method.teacher(unlabeled.weak[:1]).logits, both[:1])


def test_the_preset_asks_for_dinov2():
    def choice(method, **settings):
        values = {"data": "data", "method": method, **settings}
        return encoder_for(TrainConfig.from_values(values), "cpu", None, False)[0]

    assert choice("unimatch-v2-paper") == SMALL_VIT
    assert choice("unimatch-v2") == LIGHT_ENCODER
