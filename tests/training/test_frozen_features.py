"""Frozen features travel through the methods with their images."""

import torch

from semiseg.core.rng import Key
from semiseg.core.types import Inputs, Labeled, Step, Unlabeled
from semiseg.methods.mixed_views import cut_mix, join

STEP = Step(50, 100, Key.of(0))


def inputs(batch=4, side=32, first=0):
    """Images whose pixels, cells and tokens hold the number of their image."""
    numbers = torch.arange(first, first + batch).float()
    image = numbers.view(-1, 1, 1, 1).expand(-1, 3, side, side)
    maps = numbers.view(-1, 1, 1, 1).expand(-1, 5, side // 8, side // 8)
    tokens = numbers.view(-1, 1, 1).expand(-1, 2, 5)
    return Inputs(image, (maps, tokens))


def test_cut_mix_pastes_frozen_maps_where_it_pastes_pixels():
    plain = inputs()
    mixed, (label,) = cut_mix(STEP, plain, plain.image[:, 0])
    centers = slice(4, None, 8)
    maps, tokens = mixed.features
    assert torch.equal(maps[:, 0], label[:, centers, centers])
    assert torch.equal(mixed.image[:, 0], label)
    assert all(len(own.unique()) == 2 for own in maps)
    assert torch.equal(tokens, plain.features[1])


def test_frozen_maps_cover_the_padding_too():
    """A network with patches of 14 pixels pads 30 to 42: three cells, not cells of 10 pixels."""
    plain = inputs(side=30)
    padded = plain.image[:, :1, [7, 21, 29]][..., [7, 21, 29]]
    mixed, (label,) = cut_mix(STEP, Inputs(plain.image, (padded,)), plain.image[:, 0], multiple=14)
    centers = torch.tensor([7, 21, 29])
    assert torch.equal(mixed.features[0][:, 0], label[:, centers][..., centers])


def test_features_change_no_draw_of_cut_mix():
    plain = inputs()
    with_features, _ = cut_mix(STEP, plain)
    without, _ = cut_mix(STEP, Inputs(plain.image))
    assert torch.equal(with_features.image, without.image)
    assert without.features == ()


def test_joined_batches_keep_images_and_features_together():
    both = join(inputs(2), inputs(3, first=2))
    assert torch.equal(both.image, inputs(5).image)
    assert all(map(torch.equal, both.features, inputs(5).features))
    assert join(Inputs(both.image), Inputs(both.image)).features == ()


def test_batches_give_their_images_with_the_features():
    weak, strong = inputs(), inputs(first=4)
    valid = torch.ones(4, 32, 32, dtype=torch.bool)
    unlabeled = Unlabeled(weak.image, strong.image, valid, weak.features, strong.features)
    assert (unlabeled.weak_inputs, unlabeled.strong_inputs) == (weak, strong)
    assert Labeled(weak.image, valid.long(), weak.features).inputs == weak
    assert Labeled(weak.image, valid.long()).inputs.features == ()
