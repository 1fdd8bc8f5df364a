"""Colors of random intensity: each operation by its definition, exact, and never of geometry."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from semiseg.augment.photometric import STRONG, change
from semiseg.augment.random_colors import OPERATIONS, change_randomly
from semiseg.augment.strong_views import strong_view
from semiseg.core.rng import Key

AMOUNTS = (0.0, 0.3, 0.7, 0.999)


def noise(seed=0, height=30, width=44):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(20, 220, (3, height, width), generator=generator).to(torch.uint8)


def pillow(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def apart(ours, theirs):
    """The largest difference from an image of Pillow, in levels."""
    return np.abs(ours.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs).astype(int)).max()


def test_there_are_eleven_of_them():
    assert len(OPERATIONS) == 11


@pytest.mark.parametrize("name", OPERATIONS)
def test_bytes_become_bytes_and_the_image_stays_as_it_was(name):
    for value in (noise(), torch.zeros(3, 8, 9, dtype=torch.uint8), noise(1, 7, 7)):
        before = value.clone()
        for amount in AMOUNTS:
            changed = OPERATIONS[name](value, amount)
            assert (changed.dtype, changed.shape) == (value.dtype, value.shape)
        assert torch.equal(value, before)


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"blur", "sharpness"}))
def test_two_constant_halves_keep_their_border(name):
    image = torch.empty(3, 16, 20, dtype=torch.uint8)
    for half, color in ((image[:, :, :7], (40, 90, 160)), (image[:, :, 7:], (150, 60, 30))):
        half[:] = torch.tensor(color, dtype=torch.uint8).view(3, 1, 1)
    for amount in AMOUNTS:
        changed = OPERATIONS[name](image, amount)
        assert (changed[:, :, :7] == changed[:, :1, :1]).all()
        assert (changed[:, :, 7:] == changed[:, :1, -1:]).all()


def test_the_two_that_average_neighbors_keep_the_place_of_the_border():
    image = torch.full((3, 20, 20), 30, dtype=torch.uint8)
    image[:, :, 9:] = 210
    for name in ("blur", "sharpness"):
        for amount in AMOUNTS:
            changed = OPERATIONS[name](image, amount).int()
            assert (changed[:, :, :9] < 120).all()
            assert (changed[:, :, 9:] > 120).all()


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_operations_are_pillow_s(amount):
    """To one level, where Pillow cuts off and semiseg rounds."""
    image = noise()
    theirs = pillow(image)
    factor = 0.05 + 0.9 * amount
    expected = {
        "identity": theirs,
        "autocontrast": ImageOps.autocontrast(theirs),
        "equalize": ImageOps.equalize(theirs),
        "brightness": ImageEnhance.Brightness(theirs).enhance(factor),
        "contrast": ImageEnhance.Contrast(theirs).enhance(factor),
        "color": ImageEnhance.Color(theirs).enhance(factor),
        "sharpness": ImageEnhance.Sharpness(theirs).enhance(factor),
        "posterize": ImageOps.posterize(theirs, 4 + int(4 * amount)),
        "solarize": ImageOps.solarize(theirs, 1 + int(255 * amount)),
    }
    exact = {"identity", "equalize", "posterize", "solarize"}
    for name, picture in expected.items():
        limit = 0 if name in exact else 1
        assert apart(OPERATIONS[name](image, amount), picture) <= limit, name


def test_factors_only_weaken():
    image = noise()
    gray = image.float().mean(0)
    for amount in AMOUNTS:
        assert (OPERATIONS["brightness"](image, amount) <= image).all()
        assert OPERATIONS["contrast"](image, amount).float().std() < image.float().std()
        weakened = OPERATIONS["color"](image, amount).float()
        assert (weakened - weakened.mean(0)).abs().sum() < (image - gray).abs().sum()


def test_the_hue_turns_both_ways_and_grays_stay():
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4).contiguous()
    green = OPERATIONS["hue"](red, 0.5 + 1 / 3)[:, 0, 0]
    blue = OPERATIONS["hue"](red, 0.5 - 1 / 3)[:, 0, 0]
    assert (green.tolist(), blue.tolist()) == ([0, 200, 0], [0, 0, 200])
    gray = torch.full((3, 4, 4), 77, dtype=torch.uint8)
    assert torch.equal(OPERATIONS["hue"](gray, 0.9), gray)


def test_one_to_three_of_them_are_drawn_and_always_applied(monkeypatch):
    drawn = []

    def note(name):
        return lambda image, amount: drawn.append((name, amount)) or image

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, note(name))
    counts = []
    for i in range(900):
        before = len(drawn)
        change_randomly(noise(), Key.of(i))
        counts.append(len(drawn) - before)
    assert set(counts) == {1, 2, 3}
    assert all(abs(counts.count(k) - 300) < 5 * 14.2 for k in (1, 2, 3))
    names = [name for name, _ in drawn]
    expected = len(names) / 11
    assert all(abs(names.count(n) - expected) < 5 * expected**0.5 for n in OPERATIONS)
    amounts = np.array([amount for _, amount in drawn])
    assert abs(amounts.mean() - 0.5) < 5 / np.sqrt(12 * len(amounts))


def test_the_number_of_threads_does_not_change_a_bit():
    image, before = noise(2, 64, 80), torch.get_num_threads()
    images = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            images.append([change_randomly(image, Key.of(i)) for i in range(20)])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *images))
    assert not all(torch.equal(images[0][0], other) for other in images[0])


def test_the_name_decides_and_the_other_kinds_keep_their_bits():
    image, key = noise(), Key.of(3)
    for name, photometry in STRONG.items():
        assert torch.equal(strong_view(image, name, key), change(image, photometry, key))
    assert torch.equal(strong_view(image, "random", key), change_randomly(image, key))
