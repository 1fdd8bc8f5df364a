"""Views of images with any number of channels; those of RGB have the bits that they always had."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from semiseg.augment.geometric import draw_view, view_image
from semiseg.augment.photometric import LABELED, STRONG, Photometry, change
from semiseg.augment.random_colors import change_randomly
from semiseg.augment.strong_views import strong_view
from semiseg.core.rng import Key
from semiseg.core.types import ColorChannels

STRONGEST = STRONG["strong"]._replace(p_jitter=1.0, p_blur=0.0)
ALWAYS_JITTER = Photometry(jitter=0.4, hue=0.2, p_jitter=1.0, blur=(1.0, 1.0), p_blur=0.0)


def noise(channels: int, height: int = 30, width: int = 44, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(40, 200, (channels, height, width), generator=generator).to(torch.uint8)


def digest(images: list[Tensor]) -> str:
    whole = hashlib.sha256()
    for image in images:
        whole.update(image.numpy().tobytes())
    return whole.hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("labeled", "d991ed2701b6e7a1"),
        ("mild", "c6449d82f45c033c"),
        ("paper", "357b6f87e763a45f"),
        ("strong", "35366cd01308ba57"),
        ("random", "bd550a7f4fccc227"),
    ],
)
def test_an_rgb_image_gets_the_bits_of_before_other_channels_were_read(
    name: str, expected: str
) -> None:
    """The hashes are those of the code for three channels only."""
    image, keys = noise(3), [Key.of("golden", i) for i in range(40)]
    if name == "labeled":
        assert digest([change(image, LABELED, key) for key in keys]) == expected
    else:
        assert digest([strong_view(image, name, key) for key in keys]) == expected


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 6, 13])
@pytest.mark.parametrize(("size", "crop"), [(60, 48), (30, 48), (97, 48)])
def test_each_channel_of_a_view_is_that_of_a_gray_image(
    channels: int, size: int, crop: int
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90, channels), dtype=np.uint8)
    for i in range(6):
        view = draw_view(Key.of(i), (90, 70), size, crop, (0.75, 1.5))
        result = view_image(image, view)
        assert result.is_contiguous()
        assert result.shape == (channels, crop, crop)
        for channel in range(channels):
            gray = view_image(image[..., channel : channel + 1].copy(), view)[0]
            inside = gray != gray.new_tensor(115)  # the padding of RGB is another one
            assert torch.equal(result[channel][inside], gray[inside])


def test_padding_is_the_mean_color_in_every_channel() -> None:
    view = draw_view(Key.of(0), (16, 16), 16, 32, (1.0, 1.0))
    corners = [view_image(np.zeros((16, 16, n), np.uint8), view).amax((1, 2)) for n in (3, 5)]
    assert [corner.tolist() for corner in corners] == [[124, 116, 104], [115] * 5]


@pytest.mark.parametrize("colors", [(0, 1, 2), (3, 0, 4)])
def test_color_channels_change_as_an_rgb_image_and_the_others_for_themselves(
    colors: tuple[int, int, int],
) -> None:
    image = noise(6)
    others = [channel for channel in range(6) if channel not in colors]
    for i in range(10):
        key = Key.of(i)
        changed = change(image, STRONGEST, key, colors)
        rgb = change(image[list(colors)], STRONGEST, key)
        assert torch.equal(changed[list(colors)], rgb)
        _assert_gain_and_offset(image[others], changed[others], (0.5, 1.5))


def test_without_colors_each_channel_has_a_gain_and_an_offset_of_its_own() -> None:
    """A twofold channel shows it: the gains of all channels differ."""
    image = noise(1).repeat(5, 1, 1)
    changed = change(image, ALWAYS_JITTER, Key.of(0), None)
    gains = _assert_gain_and_offset(image, changed, (0.6, 1.4))
    assert all(abs(a - b) > 0.01 for a, b in pairwise(sorted(gains)))


def _assert_gain_and_offset(
    before: Tensor, after: Tensor, factors: tuple[float, float]
) -> list[float]:
    """Each channel is a line of its values, as far as it is not clipped; the slopes."""
    gains = []
    for x, y in zip(before.double(), after.double(), strict=True):
        inside = (y > 0) & (y < 255)
        gain, offset = np.polyfit(x[inside].numpy(), y[inside].numpy(), 1)
        assert (y - (gain * x + offset))[inside].abs().max() < 1
        assert factors[0] ** 2 - 0.02 < gain < factors[1] ** 2 + 0.02
        gains.append(float(gain))
    return gains


def test_a_contrast_of_a_channel_keeps_its_own_mean() -> None:
    image = torch.stack([noise(1, seed=i)[0] // (i + 1) for i in range(4)])
    kept = 0
    for i in range(40):
        changed = change_randomly(image, Key.of(i), None)
        means = [x.double().mean((1, 2)) for x in (image, changed)]
        narrower = changed.double().std((1, 2)) < 0.95 * image.double().std((1, 2))
        kept += bool(((means[0] - means[1]).abs() < 1).all() and narrower.all())
    assert kept  # the draws of contrast alone


@pytest.mark.parametrize("colors", [None, (0, 1, 2), (4, 2, 1)])
@pytest.mark.parametrize("name", [*STRONG, "random"])
def test_views_of_five_channels_are_keyed_bytes(name: str, colors: ColorChannels) -> None:
    image = noise(5)
    before = image.clone()
    views = [strong_view(image, name, Key.of(i), colors) for i in range(20)]
    again = [strong_view(image, name, Key.of(i), colors) for i in range(20)]
    assert all(map(torch.equal, views, again))
    assert len({digest([view]) for view in views}) > 10
    assert all((v.shape, v.dtype) == (image.shape, torch.uint8) for v in views)
    assert torch.equal(image, before)


def test_a_gray_view_and_a_turned_hue_leave_other_channels_alone() -> None:
    image = noise(4)
    gray_only = STRONGEST._replace(p_jitter=0.0, p_gray=1.0)
    changed = change(image, gray_only, Key.of(0), (0, 1, 2))
    assert torch.equal(changed[0], changed[2])
    assert torch.equal(changed[3], image[3])
    assert torch.equal(change(image, gray_only, Key.of(0), None), image)
