"""Photometric changes: keyed, of bytes to bytes, and never of geometry."""

import numpy as np
import pytest
import torch

from semiseg.augment.strong import LABELED, STRONG, Photometry, change
from semiseg.draws import Key

PHOTOMETRIES = pytest.mark.parametrize("photometry", [LABELED, STRONG], ids=["labeled", "strong"])


def picture(height=40, width=56, low=60, high=200, seed=0):
    """Smooth colours, far enough from black and white that no change clips them."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 4, 5, generator=generator)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    return (low + (high - low) * large).to(torch.uint8)


@PHOTOMETRIES
def test_bytes_become_bytes_of_the_same_size(photometry):
    for i in range(8):
        image = picture(33 + i, 47)
        before = image.clone()
        changed = change(image, photometry, Key.of(i))
        assert changed.dtype == torch.uint8
        assert changed.shape == image.shape
        assert torch.equal(image, before)


@PHOTOMETRIES
def test_the_key_decides_everything(photometry):
    image = picture()
    first = [change(image, photometry, Key.of(0, i)) for i in range(10)]
    np.random.seed(3)  # noqa: NPY002 - the point is that it does not matter
    torch.manual_seed(3)
    again = [change(image, photometry, Key.of(0, i)) for i in range(10)]
    assert all(map(torch.equal, first, again))
    assert len({x.numpy().tobytes() for x in first}) >= 6
    other = [change(image, photometry, Key.of(1, i)) for i in range(10)]
    assert not all(map(torch.equal, first, other))


def patches():
    """Colours from all around the circle, far enough from its centre and from clipping."""
    levels = torch.tensor([70, 115, 160], dtype=torch.uint8)
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    return levels[orders].t().reshape(3, 1, 6).repeat(1, 8, 1).repeat_interleave(8, dim=2)


def hue(image):
    """The angle on the colour circle, in radians."""
    r, g, b = image.double()
    return torch.atan2(3**0.5 * (g - b), 2 * r - g - b)


def turned(image, photometry, key):
    """By how much the hue of each pixel turned, at most half a circle either way."""
    angle = hue(change(image, photometry, key)) - hue(image)
    return torch.atan2(angle.sin(), angle.cos())


def test_labelled_images_keep_their_hues():
    """Brightness, contrast and saturation change; bytes are rounded, hence a few degrees."""
    image = patches()
    keys = [Key.of(i) for i in range(40)]
    assert sum(not torch.equal(image, change(image, LABELED, k)) for k in keys) >= 24
    assert max(turned(image, LABELED, k).abs().max().item() for k in keys) < 0.1


def test_strong_views_turn_all_hues_alike_and_by_a_quarter_circle_at_most():
    image = patches()
    jitter = STRONG._replace(p_jitter=1.0, p_blur=0.0)
    turns = torch.stack([turned(image, jitter, Key.of(i)).flatten() for i in range(40)])
    # The circle of atan2 and that of hue (in HSV) agree at multiples of 60 degrees alone.
    assert (turns.amax(dim=1) - turns.amin(dim=1)).max() < 0.15
    middle = turns.median(dim=1).values
    assert middle.abs().max() < np.pi / 2 + 0.15
    assert middle.max() > 1
    assert middle.min() < -1


@pytest.mark.parametrize("factor", [0.25, 0.1])
def test_factors_lie_within_the_jitter(factor):
    """On a flat grey image brightness alone shows, and contrast about the same mean does not."""
    only = Photometry(jitter=factor, hue=0.0, p_jitter=1.0, blur=(1.0, 1.0), p_blur=0.0)
    grey = torch.full((3, 8, 8), 120, dtype=torch.uint8)
    means = torch.tensor([change(grey, only, Key.of(i)).double().mean() for i in range(60)])
    assert means.min() >= 120 * (1 - factor) - 1
    assert means.max() <= 120 * (1 + factor) + 1
    assert means.std() > 120 * factor * 0.4


def test_probabilities_decide_how_often():
    image = picture()
    never = STRONG._replace(p_jitter=0.0, p_blur=0.0)
    assert all(torch.equal(image, change(image, never, Key.of(i))) for i in range(10))
    blur = STRONG._replace(p_jitter=0.0, p_blur=0.5, blur=(1.0, 1.15))
    noise = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(0))
    noise = noise.to(torch.uint8)
    blurred = [change(noise, blur, Key.of(i)) for i in range(100)]
    flatter = [x.double().std() < 0.8 * noise.double().std() for x in blurred]
    assert 30 < sum(flatter) < 70
    assert sum(torch.equal(noise, x) for x in blurred) == 100 - sum(flatter)
    jitter = STRONG._replace(p_blur=0.0)
    kept = sum(torch.equal(image, change(image, jitter, Key.of(i))) for i in range(100))
    assert 8 < kept < 34


@PHOTOMETRIES
def test_a_constant_image_stays_constant(photometry):
    """To its very borders: neither a shift nor a frame."""
    image = torch.tensor([150, 90, 60], dtype=torch.uint8).view(3, 1, 1).repeat(1, 24, 32)
    for i in range(20):
        changed = change(image, photometry, Key.of(i)).int()
        assert (changed - changed[:, :1, :1]).abs().max() <= 1


@PHOTOMETRIES
def test_pixels_stay_where_they_are(photometry):
    """A bright square on a dark ground is found where it was, whatever became of its colour."""
    image = torch.full((3, 48, 48), 60, dtype=torch.uint8)
    image[:, 8:24, 20:36] = 190
    square = image[0] > 100
    for i in range(20):
        values = change(image, photometry, Key.of(i)).double().mean(dim=0)
        found = values > (values.amin() + values.amax()) / 2
        # A blur rounds off the four corners.
        assert (found != square).sum() <= 4


@PHOTOMETRIES
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_images_do_not_break(photometry, value):
    image = torch.full((3, 32, 32), value, dtype=torch.uint8)
    for i in range(10):
        changed = change(image, photometry, Key.of(i)).double()
        assert (changed.mean() - value).abs() <= 0.25 * 255 + 1


def test_the_least_crop_can_be_blurred():
    image = picture(32, 32)
    widest = STRONG._replace(p_blur=1.0, blur=(1.15, 1.15))
    assert change(image, widest, Key.of(0)).shape == (3, 32, 32)
