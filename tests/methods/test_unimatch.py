"""`unimatch`: its views and its dropped features by hand; without them it is `fixmatch`."""

import dataclasses

import pytest
import torch
from tiny_methods import Spy, at, build, labeled_batch, run, unlabeled_batch
from tiny_vit import TINY_VIT
from view_loss import draws, view_loss

from semiseg.config.methods import METHODS
from semiseg.config.train import TrainConfig
from semiseg.core.errors import SettingError
from semiseg.core.types import Inputs
from semiseg.methods.mixed_views import join
from semiseg.model.feature_dropout import decoder_levels, drop_channels
from semiseg.model.network import Network

SIZE = 32


def batch():
    return labeled_batch(SIZE), unlabeled_batch(SIZE), at()


def by_hand(method, step, weak):
    """The student's logits of weak views without the channels that the step's key drops."""
    maps = method.student.encode(weak)
    generator = step.key.child("feature dropout").torch()
    for level in (2, len(maps) - 1):  # stride 4, and the deepest map
        kept = torch.randint(2, maps[level].shape[:2], generator=generator)
        assert 0 < kept.sum() < kept.numel()
        maps[level] = maps[level] * (2 * kept)[:, :, None, None]
    return method.student.heads(method.student.decode(maps, weak.shape[-2:])).logits


@pytest.mark.parametrize("box", ["half", "small"])
@pytest.mark.parametrize("source", ["student", "teacher"])
def test_one_view_without_feature_dropout_is_fixmatch(source, box):
    """Bit by bit: the losses, the share of taught pixels and the gradients."""
    settings = {"labels_from": source, "box": box, "confidence_threshold": 0.5}
    settings["unsupervised_weight"] = 1.0
    results = []
    for name, own in (("fixmatch", {}), ("unimatch", {"strong_views": 1, "feature_weight": 0.0})):
        method = build(name, **settings, **own)
        losses = run(method, *batch())
        torch.stack(list(losses.terms.values())).sum().backward()
        results.append((losses.terms, losses.diagnostics, [*method.student.parameters()]))
    (terms, diagnostics, ours), (others, other_diagnostics, theirs) = results
    assert terms["unsupervised"] > 0
    assert dict(terms) == dict(others)
    assert dict(diagnostics) == dict(other_diagnostics)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("source", ["student", "teacher"])
def test_views_and_dropped_features_by_hand(source):
    """Each view has its own box and partners; dropped features learn the labels before mixing."""
    method = build(
        "unimatch",
        labels_from=source,
        confidence_threshold=0.5,
        unsupervised_weight=1.0,
        feature_weight=1.0,
    )
    method.student.eval()  # no dropout in the decoder, and each image by itself
    student = Spy(method.student)
    labeled, unlabeled, step = batch()
    losses = run(method, labeled, unlabeled, step)
    weak = method.student(unlabeled.weak).logits  # the teacher is its copy
    views = student.outputs[0].logits.chunk(2)
    expected, used, pixels = [], 0, 0
    for purpose, view in zip(("mix", "mix 1"), views, strict=True):
        partners, boxes = draws(step, 2, SIZE, purpose)
        loss, taught, valid = view_loss(weak, view, unlabeled.valid, 0.5, partners, boxes)
        expected.append(loss)
        used, pixels = used + taught, pixels + valid
    assert expected[0] != expected[1]
    assert losses.terms["unsupervised"].item() == pytest.approx(sum(expected) / 2, rel=1e-4)
    assert losses.diagnostics["used"].item() == pytest.approx(used / pixels, abs=2e-3)
    dropped = by_hand(method, step, unlabeled.weak)
    loss, _, _ = view_loss(weak, dropped, unlabeled.valid, 0.5)
    assert losses.terms["feature_dropout"].item() == pytest.approx(loss, rel=1e-3)
    alone = method.student(labeled.image).logits
    supervised = method._supervised(alone, labeled.mask)
    torch.testing.assert_close(losses.terms["supervised"], supervised)


def test_the_second_view_is_another_picture_in_another_box():
    method = build("unimatch")
    student = Spy(method.student)
    _, unlabeled, step = batch()
    run(method, *batch())
    first, second = student.inputs[0].chunk(2)
    boxes = [draws(step, 2, SIZE, purpose)[1] for purpose in ("mix", "mix 1")]
    assert not torch.equal(*boxes)
    for image, view, box in zip((first, second), unlabeled.strong_views, boxes, strict=True):
        outside = ~box.unsqueeze(1).expand_as(image)
        assert torch.equal(image[outside], view.image[outside])


def test_three_views_are_possible():
    method = build("unimatch", strong_views=3)
    labeled, unlabeled, step = batch()
    unlabeled = unlabeled._replace(more_strong=(*unlabeled.more_strong, Inputs(unlabeled.weak)))
    student = Spy(method.student)
    run(method, labeled, unlabeled, step)
    assert len(student.inputs[0]) == 3 * 2
    with pytest.raises(SettingError, match="strong-views 0"):
        dataclasses.replace(METHODS["unimatch"], strong_views=0)


def test_dropped_features_teach_encoder_and_decoder_and_not_the_labels():
    method = build("unimatch", confidence_threshold=0.0)
    term = run(method, *batch()).terms["feature_dropout"]
    term.backward()
    assert next(method.student.encoder.parameters()).grad.any()
    assert method.student.logit_head.weight.grad.any()
    assert all(p.grad is None for p in method.teacher.parameters())


def test_dropping_by_hand():
    """Whole channels of single images are gone, the others are doubled: the mean stays."""
    maps = [torch.rand(4, 3, 16, 16), torch.rand(4, 50, 4, 4) + 1, torch.rand(4, 60, 2, 2) + 1]
    dropped = drop_channels(maps, (1, 2), torch.Generator().manual_seed(0))
    assert dropped[0] is maps[0]
    for ours, theirs in zip(dropped[1:], maps[1:], strict=True):
        factors = ours / theirs
        assert torch.equal(factors.amin(dim=(2, 3)), factors.amax(dim=(2, 3)))
        assert set(factors.unique().tolist()) == {0.0, 2.0}
        assert factors.mean().item() == pytest.approx(1, abs=0.15)
        assert len({tuple(image[:, 0, 0].tolist()) for image in factors}) == 4
    again = drop_channels(maps, (1, 2), torch.Generator().manual_seed(0))
    assert all(map(torch.equal, dropped, again))


@pytest.mark.parametrize(
    ("encoder", "decoder", "strides"),
    [
        ("lcnet_035", "deeplabv3plus", [4, 16]),
        ("lcnet_035", "fpn", [4, 8, 16, 32]),
        (TINY_VIT, "detail", [14] * 4),
    ],
)
def test_the_maps_that_the_decoder_reads_lose_channels(encoder, decoder, strides):
    network = Network(3, encoder, decoder, weights="none").eval()
    maps = network.encode(torch.rand(1, 3, 56, 56))
    side = maps[0].shape[-1]
    assert [side // maps[i].shape[-1] for i in decoder_levels(network, maps)] == strides


def test_frozen_features_are_dropped_as_computed_ones_are():
    """A frozen encoder's maps may come from a cache."""
    method = build("unimatch", confidence_threshold=0.5)
    for parameter in method.student.encoder.parameters():
        parameter.requires_grad_(False)
    method.student.resting = ("encoder",)
    method.student.train()
    labeled, unlabeled, step = batch()
    views = (labeled.inputs, unlabeled.weak_inputs, *unlabeled.strong_views)
    own, weak, strong, more = (method.student.frozen_features(view.image) for view in views)
    cached = unlabeled._replace(
        weak_features=weak,
        strong_features=strong,
        more_strong=(Inputs(unlabeled.more_strong[0].image, more),),
    )
    ours = run(method, labeled._replace(features=own), cached, step).terms
    theirs = run(method, labeled, unlabeled, step).terms
    # Mixing features and mixing images are not the same; the other terms are.
    for term in ("supervised", "feature_dropout"):
        torch.testing.assert_close(ours[term], theirs[term])
    assert len(join(*views).image) == 8


@pytest.mark.parametrize("name", ["fixmatch", "unimatch", "unimatch-v2"])
def test_the_presets_prefer_the_colors_of_their_papers(name):
    assert METHODS[name].preferred_photometry == "mild"
    assert METHODS[f"{name}-paper"].preferred_photometry == "strong"
    assert METHODS[f"{name}-paper"].box == "small"
    again = TrainConfig.from_values({"data": "DATA", "method": f"{name}-paper"})
    assert again.settings == METHODS[f"{name}-paper"]
