"""CCT by hand: its perturbations, its loss, and which loss reaches which part."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from tiny_methods import at, build, labeled_batch, learn, run, same, unlabeled_batch, values
from torch import nn

from semiseg.augment.feature_noise import (
    add_noise,
    cut_objects,
    drop_random_channels,
    drop_strongest,
    object_boxes,
)
from semiseg.config.methods import METHODS, CctSettings, default_settings
from semiseg.core.rng import Key
from semiseg.methods.cct import decoder_kinds, shuffle_decoder
from semiseg.model.prototypes import shrink_labels


def cct(**settings):
    return build("cct", **{"background": "first", **settings})


def features(batch=3, seed=0):
    return torch.rand(batch, 6, 9, 7, generator=torch.Generator().manual_seed(seed))


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


# The perturbations


def test_noise_is_one_factor_for_all_images():
    maps = features()
    factor = add_noise(maps, draws()) / maps
    torch.testing.assert_close(factor, factor[:1].expand_as(factor))
    assert 0.7 <= factor.min() < 0.75
    assert 1.25 < factor.max() <= 1.3


def test_the_strongest_positions_are_dropped_and_no_other_is_changed():
    maps = features()
    changed = drop_strongest(maps, draws())
    factor = 0.7 + 0.2 * torch.rand((), generator=draws()).item()
    for image, kept in zip(maps, changed, strict=True):
        attention = image.mean(dim=0)
        for y in range(9):
            for x in range(7):
                near = attention[y, x] >= factor * attention.max()
                expected = torch.zeros(6) if near else image[:, y, x]
                assert torch.equal(kept[:, y, x], expected)
        assert not kept[:, attention == attention.max()].any()
        assert kept.any()


def test_an_even_image_is_dropped_as_a_whole():
    assert not drop_strongest(torch.full((2, 6, 9, 7), 0.3), draws()).any()


def test_half_of_the_channels_are_dropped_and_the_others_doubled():
    maps = torch.rand(40, 50, 2, 2) + 0.1
    factor = drop_random_channels(maps, draws()) / maps
    assert torch.equal(factor, factor[:, :, :1, :1].expand_as(factor))
    assert set(factor.unique().tolist()) == {0.0, 2.0}
    assert factor.mean() == pytest.approx(1, abs=0.06)
    assert not torch.equal(factor[0], factor[1])


def serpent(side):
    """A path one cell wide that turns at each border: the longest way through a region."""
    path = torch.zeros(side, side, dtype=torch.bool)
    path[::2] = True
    path[1::4, -1] = True
    path[3::4, 0] = True
    return path


@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_objects_are_the_connected_regions(share):
    """As SciPy finds them."""
    foreground = torch.rand(3, 30, 21, generator=draws()) < share
    foreground[2] = serpent(31)[:30, :21]
    boxes = object_boxes(foreground)
    for i in range(3):
        labels, _ = ndimage.label(foreground[i].numpy(), np.ones((3, 3)))
        expected = {
            (y.start, x.start, y.stop - 1, x.stop - 1)
            for y, x in ndimage.find_objects(labels)
            if y.stop - y.start + x.stop - x.start > 6
        }
        sides = torch.stack([boxes.top[i], boxes.left[i], boxes.bottom[i], boxes.right[i]])
        ours = {tuple(column) for column in sides[:, boxes.kept[i]].T.long().tolist()}
        assert ours == expected
        assert ours


def test_a_window_of_each_object_is_cut():
    foreground = torch.zeros(2, 24, 24, dtype=torch.bool)
    foreground[0, 2:12, 1:21] = True
    foreground[0, 20:22, 20:22] = True  # too small
    boxes = object_boxes(foreground)
    seen = set()
    for seed in range(40):
        maps = torch.rand(2, 5, 24, 24) + 0.1
        changed = cut_objects(maps, boxes, draws(seed))
        assert torch.equal(changed[1], maps[1])  # background alone
        cut = (changed[0] == 0).all(dim=0)
        rows, columns = cut.any(dim=1).nonzero().flatten(), cut.any(dim=0).nonzero().flatten()
        assert (len(rows), len(columns)) == (4, 8)  # 40 % of 10 and of 20
        assert cut.sum() == 32
        assert (changed[0][:, ~cut] == maps[0][:, ~cut]).all()
        seen.add((rows[0].item(), columns[0].item()))
    assert {y for y, _ in seen} == set(range(2, 9))
    assert min(x for _, x in seen) <= 2
    assert max(x for _, x in seen) >= 12
    assert all(1 <= x <= 13 for _, x in seen)


def test_context_and_object_features_add_up():
    method = cct()
    maps, foreground = features(), torch.rand(3, 9, 7) < 0.5
    context, others = (
        method._perturbed(kind, maps, foreground, None, None, draws())
        for kind in ("context", "object")
    )
    assert torch.equal(context + others, maps)
    assert not context[0][:, ~foreground[0]].any()
    assert not others[0][:, foreground[0]].any()
    nothing = torch.zeros_like(foreground)
    assert not method._perturbed("context", maps, nothing, None, None, draws()).any()
    assert torch.equal(method._perturbed("object", maps, nothing, None, None, draws()), maps)
    boxes = object_boxes(nothing)
    assert torch.equal(method._perturbed("cutout", maps, nothing, boxes, None, draws()), maps)


def test_adversarial_noise_has_its_length_and_leaves_no_gradient():
    """And it changes the prediction more than random noise does."""
    method = cct(adversarial_length=3.0)
    maps = torch.rand(3, method.student.width, 9, 7, generator=draws())
    decode = method.decoders[-1]
    assert method.kinds[-1] == "adversarial"
    changed = method._perturbed("adversarial", maps, None, None, decode, draws())
    noise = changed - maps
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), torch.full((3,), 3.0))
    other = torch.randn(maps.shape, generator=draws(1))
    other = 3 * other / other.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    def divergence(inputs):
        p, q = (decode(m).softmax(dim=1) for m in (maps, inputs))
        return (p * (p / q).log()).sum(dim=(1, 2, 3))

    assert (divergence(changed) > divergence(maps + other)).all()
    assert all(p.grad is None for p in method.parameters())


# The decoders


def test_kinds_of_objects_are_left_out_without_a_background():
    assert len(decoder_kinds(CctSettings(background="first"))) == 7
    for background in ("none", "auto"):
        kinds = decoder_kinds(CctSettings(background=background))
        assert kinds == ("noise", "drop", "dropout", "adversarial")
    kinds = decoder_kinds(METHODS["cct-paper"])
    assert len(kinds) == 30
    assert [kinds.count(k) for k in dict.fromkeys(kinds)] == [6, 6, 6, 6, 2, 2, 2]


def test_a_shuffle_decoder_predicts_at_the_size_of_the_image():
    decoder = shuffle_decoder(6, 5)
    logits = decoder(features())
    assert logits.shape == (3, 5, 36, 28)
    assert logits.min() == 0
    assert decoder(features(0)).shape == (0, 5, 36, 28)


# The loss


@pytest.mark.parametrize("decoder", ["linear", "shuffle"])
def test_the_loss_is_the_mean_squared_difference(decoder, monkeypatch):
    """In double precision, without perturbations, at stride 4 or at the size of the image."""
    method = cct(auxiliary_decoder=decoder, noise_decoders=2, ramp_up=0.0)
    monkeypatch.setattr(method, "_perturbed", lambda kind, maps, *_: maps)
    seen = []
    for part in (method.student.logit_head, *method.decoders):
        part.register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    unlabeled = unlabeled_batch()
    losses = run(method, labeled_batch(), unlabeled, at())
    clean, *predicted = seen
    clean = clean[2:]
    assert len(predicted) == 8
    valid = shrink_labels(unlabeled.valid, 16, 16)
    if decoder == "shuffle":
        clean = F.interpolate(clean, (64, 64), mode="bilinear")
        valid = unlabeled.valid
    p = clean.double().softmax(dim=1)
    total = 0.0
    for logits in predicted:
        difference = (logits.double().softmax(dim=1) - p).square().mean(dim=1)
        total += difference[valid].mean().item()
    assert losses.diagnostics["distance"].item() == pytest.approx(total / 8)
    assert losses.terms["consistency"].item() == pytest.approx(30 * total / 8)


def test_equal_decoders_without_perturbations_have_no_loss(monkeypatch):
    method = cct()
    monkeypatch.setattr(method, "_perturbed", lambda kind, maps, *_: maps)
    for decoder in method.decoders:
        decoder.load_state_dict(method.student.logit_head.state_dict())
    assert run(method, labeled_batch(), unlabeled_batch(), at()).terms["consistency"] == 0


def test_each_decoder_sees_features_of_its_kind():
    method = cct()
    seen = []
    for decoder in method.decoders:
        decoder.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].detach()))
    maps = torch.rand(2, method.student.width, 16, 16, generator=draws())
    logits = torch.zeros(2, 3, 16, 16)
    logits[:, 1, 4:12, 4:12] = 1  # a square object
    outside = logits[0, 1] == 0
    method._consistency(maps, logits, torch.ones(2, 64, 64, dtype=torch.bool), at())
    *kinds, clean, probe, adversarial = seen  # I-VAT asks for two answers before its own
    noise, drop, dropout, cutout, context, others = kinds
    assert torch.equal(clean, maps)
    for changed in (*kinds, probe, adversarial):
        assert not torch.equal(changed, maps)
    torch.testing.assert_close(noise / maps, (noise / maps)[:1].expand_as(maps))
    assert torch.equal(drop, torch.where(drop.any(dim=1, keepdim=True), maps, 0.0))
    assert torch.equal(dropout, torch.where(dropout > 0, 2 * maps, 0.0))
    assert torch.equal(cutout[..., outside], maps[..., outside])
    assert torch.equal(context, maps * ~outside)
    assert torch.equal(others, maps * outside)
    assert (probe - maps).flatten(1).norm(dim=1) == pytest.approx([1e-2, 1e-2], rel=1e-3)
    assert (adversarial - maps).flatten(1).norm(dim=1) == pytest.approx([2, 2], rel=1e-3)


def test_each_loss_reaches_its_parts_and_no_other():
    method = cct()
    losses = run(method, labeled_batch(), unlabeled_batch(), at())
    head, auxiliary = (
        list(method.student.logit_head.parameters()),
        list(method.decoders.parameters()),
    )
    shared = [*method.student.encoder.parameters(), *method.student.decoder.parameters()]

    def reached(name, parameters):
        gradients = torch.autograd.grad(
            losses.terms[name], parameters, allow_unused=True, retain_graph=True
        )
        return [g is not None and bool(g.any()) for g in gradients]

    assert not any(reached("consistency", head))
    assert not any(reached("supervised", auxiliary))
    assert all(reached("consistency", auxiliary))
    assert all(reached("supervised", head))
    assert any(reached("consistency", shared))
    assert any(reached("supervised", shared))


def test_the_weight_rises_over_a_tenth_of_the_steps():
    method = cct(supervised_warmup=0.0)
    for number, expected in ((0, 30 * math.exp(-5)), (5, 30 * math.exp(-1.25)), (10, 30), (99, 30)):
        losses = run(method, labeled_batch(32), unlabeled_batch(32), at(number))
        ratio = losses.terms["consistency"] / losses.diagnostics["distance"]
        assert ratio.item() == pytest.approx(expected)


def test_no_weight_is_supervised():
    """Bit by bit, over several steps."""
    ours, alone = cct(consistency_weight=0.0, supervised_warmup=0.0), build("supervised")
    alone.student.load_state_dict(ours.student.state_dict())
    optimizers = [torch.optim.AdamW(m.trained_parameters(), lr=1e-2) for m in (ours, alone)]
    for number in range(3):
        terms = []
        for method, optimizer in zip((ours, alone), optimizers, strict=True):
            optimizer.zero_grad()
            losses = learn(method, labeled_batch(32), unlabeled_batch(32), at(number))
            optimizer.step()
            terms.append(values(losses.terms))
        assert terms[0] == terms[1] | {"consistency": 0.0}
    assert same(alone.student.state_dict(), ours.student.state_dict())


@pytest.mark.parametrize("decoder", ["linear", "shuffle"])
def test_auxiliary_decoders_have_zero_gradients_in_the_warm_up(decoder):
    method = cct(supervised_warmup=0.1, auxiliary_decoder=decoder)
    losses = learn(method, labeled_batch(), unlabeled_batch(), at(9))
    assert losses.terms["consistency"] == 0
    for parameter in method.decoders.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_without_any_auxiliary_decoder_there_is_nothing_to_compare():
    none = {f"{kind}_decoders": 0 for kind in decoder_kinds(CctSettings(background="first"))}
    losses = learn(cct(**none), labeled_batch(), unlabeled_batch(), at())
    assert losses.terms["consistency"] == 0


def test_each_decoder_has_draws_of_its_own():
    """Two decoders with the same weights and the same kind say different things."""
    settings = default_settings("cct")
    none = {f"{k}_decoders": 0 for k in decoder_kinds(CctSettings(background="first"))}
    assert settings.noise_decoders == 1
    method = cct(**{**none, "dropout_decoders": 2})
    method.decoders[1].load_state_dict(method.decoders[0].state_dict())
    seen = []
    for decoder in method.decoders:
        decoder.register_forward_hook(lambda _m, _i, output: seen.append(output))
    step = at()._replace(key=Key.of(3))
    run(method, labeled_batch(), unlabeled_batch(), step)
    assert not torch.equal(*seen)
    assert isinstance(method.decoders[0], nn.Conv2d)
