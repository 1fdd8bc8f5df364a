"""Photometric changes: keyed, of bytes to bytes, and never of geometry."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from semiseg.augment.photometric import (
    LABELED,
    STRONG,
    Photometry,
    change,
    color_map,
    gaussian_blur,
    recolor,
)
from semiseg.core.rng import Key

PAPER = STRONG["paper"]
PHOTOMETRIES = pytest.mark.parametrize(
    "photometry", [LABELED, *STRONG.values()], ids=["labeled", *STRONG]
)


def picture(height=40, width=56, low=60, high=200, seed=0):
    """Smooth colors, far enough from black and white that no change clips them."""
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
    """Colors from all around the circle, far enough from its center and from clipping."""
    levels = torch.tensor([70, 115, 160], dtype=torch.uint8)
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    return levels[orders].t().reshape(3, 1, 6).repeat(1, 8, 1).repeat_interleave(8, dim=2)


def hue(image):
    """The angle on the color circle, in radians."""
    r, g, b = image.double()
    return torch.atan2(3**0.5 * (g - b), 2 * r - g - b)


def turned(image, photometry, key):
    """By how much the hue of each pixel turned, at most half a circle either way."""
    angle = hue(change(image, photometry, key)) - hue(image)
    return torch.atan2(angle.sin(), angle.cos())


def test_labeled_images_keep_their_hues():
    """Brightness, contrast and saturation change; bytes are rounded, hence a few degrees."""
    image = patches()
    keys = [Key.of(i) for i in range(40)]
    assert sum(not torch.equal(image, change(image, LABELED, k)) for k in keys) >= 24
    assert max(turned(image, LABELED, k).abs().max().item() for k in keys) < 0.1


def test_strong_views_turn_all_hues_alike_and_by_a_quarter_circle_at_most():
    image = patches()
    jitter = PAPER._replace(p_jitter=1.0, p_blur=0.0)
    turns = torch.stack([turned(image, jitter, Key.of(i)).flatten() for i in range(40)])
    # The circle of atan2 and that of hue (in HSV) agree at multiples of 60 degrees alone.
    assert (turns.amax(dim=1) - turns.amin(dim=1)).max() < 0.15
    middle = turns.median(dim=1).values
    assert middle.abs().max() < np.pi / 2 + 0.15
    assert middle.max() > 1
    assert middle.min() < -1


@pytest.mark.parametrize("factor", [0.25, 0.1])
def test_factors_lie_within_the_jitter(factor):
    """On a flat gray image brightness alone shows, and contrast about the same mean does not."""
    only = Photometry(jitter=factor, hue=0.0, p_jitter=1.0, blur=(1.0, 1.0), p_blur=0.0)
    gray = torch.full((3, 8, 8), 120, dtype=torch.uint8)
    means = torch.tensor([change(gray, only, Key.of(i)).double().mean() for i in range(60)])
    assert means.min() >= 120 * (1 - factor) - 1
    assert means.max() <= 120 * (1 + factor) + 1
    assert means.std() > 120 * factor * 0.4


def test_probabilities_decide_how_often():
    image = picture()
    never = PAPER._replace(p_jitter=0.0, p_blur=0.0)
    assert all(torch.equal(image, change(image, never, Key.of(i))) for i in range(10))
    blur = PAPER._replace(p_jitter=0.0, p_blur=0.5, blur=(1.0, 1.15))
    noise = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(0))
    noise = noise.to(torch.uint8)
    blurred = [change(noise, blur, Key.of(i)) for i in range(100)]
    flatter = [x.double().std() < 0.8 * noise.double().std() for x in blurred]
    assert 30 < sum(flatter) < 70
    assert sum(torch.equal(noise, x) for x in blurred) == 100 - sum(flatter)
    jitter = PAPER._replace(p_blur=0.0)
    unchanged = sum(torch.equal(image, change(image, jitter, Key.of(i))) for i in range(100))
    assert 8 < unchanged < 34


def test_gray_images_have_the_luma_of_their_color():
    """In a fifth of the strong views; the draw comes last, so that it changes no other one."""
    image = picture()
    gray_only = STRONG["strong"]._replace(p_jitter=0.0, p_blur=0.0)
    expected = gray(image.double())
    count = 0
    for i in range(200):
        changed = change(image, gray_only, Key.of(i))
        if torch.equal(changed, image):
            continue
        count += 1
        assert torch.equal(changed[0], changed[1])
        assert torch.equal(changed[0], changed[2])
        assert (changed[0] - expected).abs().max() <= 0.51
    assert 25 < count < 57
    without = STRONG["strong"]._replace(p_gray=0.0)
    for i in range(20):
        ours, theirs = (change(image, p, Key.of(i)) for p in (STRONG["strong"], without))
        assert torch.equal(ours, theirs) or torch.equal(ours[0], ours[1])


@PHOTOMETRIES
def test_a_constant_image_stays_constant(photometry):
    """To its very borders: neither a shift nor a frame."""
    image = torch.tensor([150, 90, 60], dtype=torch.uint8).view(3, 1, 1).repeat(1, 24, 32)
    for i in range(20):
        changed = change(image, photometry, Key.of(i)).int()
        assert (changed - changed[:, :1, :1]).abs().max() <= 1


@PHOTOMETRIES
def test_pixels_stay_where_they_are(photometry):
    """A bright square on a dark ground is found where it was, whatever became of its color."""
    image = torch.full((3, 48, 48), 60, dtype=torch.uint8)
    image[:, 8:24, 20:36] = 190
    square = image[0] > 100
    for i in range(20):
        values = change(image, photometry, Key.of(i)).double().mean(dim=0)
        bright = values > (values.amin() + values.amax()) / 2
        # A blur rounds off the four corners.
        assert (bright != square).sum() <= (4 if photometry.blur[1] < 2 else 12)


@PHOTOMETRIES
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_images_do_not_break(photometry, value):
    image = torch.full((3, 32, 32), value, dtype=torch.uint8)
    for i in range(10):
        changed = change(image, photometry, Key.of(i)).double()
        assert (changed.mean() - value).abs() <= photometry.jitter * 255 + 1


def test_the_least_crop_can_be_blurred():
    image = picture(32, 32)
    widest = PAPER._replace(p_blur=1.0, blur=(1.15, 1.15))
    assert change(image, widest, Key.of(0)).shape == (3, 32, 32)


# --- the formulas


def gray(image):
    return (torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None] * image).sum(0)


def one_by_one(image, order, amounts):
    """The changes after one another in double precision, by their definitions."""
    x = image.double()
    for change_ in order:
        amount = amounts[change_]
        if change_ == 0:
            x = x * amount
        elif change_ == 1:
            x = amount * x + (1 - amount) * gray(x).mean()
        elif change_ == 2:
            x = amount * x + (1 - amount) * gray(x)
        else:  # Rodrigues' formula about the axis of grays
            angle = torch.tensor(2 * np.pi * amount).double()
            axis = torch.full((3, 1, 1), 3**-0.5).double().expand_as(x)
            across = torch.linalg.cross(axis, x, dim=0)
            along = axis * (axis * x).sum(0)
            x = x * angle.cos() + across * angle.sin() + along * (1 - angle.cos())
    return x.clamp(0, 255)


@pytest.mark.parametrize("seed", range(8))
def test_one_matrix_is_the_changes_after_one_another(seed):
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.integers(0, 256, (3, 40, 56), dtype=np.uint8))
    order, amounts = (
        rng.permutation(4).tolist(),
        [*rng.uniform(0.5, 1.5, 3), rng.uniform(-0.5, 0.5)],
    )
    expected = one_by_one(image, order, amounts)
    assert (recolor(image, order, amounts).double() - expected).abs().max() <= 0.6


def test_red_turns_towards_green():
    matrix, offset = color_map([3], [1, 1, 1, 1 / 3], np.zeros(3))
    np.testing.assert_allclose(matrix @ [1, 0, 0] + offset, [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("factor", [0.75, 1.25])
@pytest.mark.parametrize(
    ("number", "theirs"),
    list(enumerate([tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation])),
)
def test_each_factor_is_torchvision_s(number, theirs, factor):
    """To their cutting off where we round, and their whole mean."""
    image = picture(low=0, high=255)
    amounts = [1.0, 1.0, 1.0, 0.0]
    amounts[number] = factor
    ours = recolor(image, [number], amounts).int()
    assert (ours - theirs(image, factor).int()).abs().max() <= 1


@pytest.mark.parametrize("sigma", [0.1, 0.15, 0.3, 0.5, 0.8, 1.15, 2.0])
def test_the_blur_is_torchvision_s_to_a_level_or_two(sigma):
    """Its weights are multiples of 1/256; noise from black to white shows most of it."""
    image = torch.randint(256, (3, 40, 56), generator=torch.Generator().manual_seed(0))
    side = 2 * max(1, round(3 * sigma)) + 1
    exact = tv.gaussian_blur(image.double(), [side, side], [sigma, sigma])
    difference = (gaussian_blur(image.to(torch.uint8), sigma).double() - exact).abs()
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


def test_the_number_of_threads_does_not_change_a_bit():
    image = torch.randint(256, (3, 224, 224), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    before = torch.get_num_threads()
    images = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            images.append([change(image, PAPER, Key.of(i)) for i in range(6)])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *images))
