"""CutMix: who is mixed with whom, where, and that all that belongs together moves together."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from semiseg.augment.mixing import draw_boxes, draw_partners, draw_small_boxes, paste


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch", range(2, 9))
def test_nobody_is_mixed_with_themselves(batch):
    """And everybody gives a part to exactly one other."""
    everyone = torch.arange(batch)
    for seed in range(50):
        partners = draw_partners(batch, seeded(seed))
        assert (partners != everyone).all()
        assert torch.equal(partners.sort().values, everyone)


def test_every_other_image_can_be_the_partner():
    pairs = {(i, p) for s in range(200) for i, p in enumerate(draw_partners(4, seeded(s)).tolist())}
    assert len(pairs) == 4 * 3


def test_a_single_image_is_its_own_partner():
    assert draw_partners(1, seeded(0)).tolist() == [0]


def measure(boxes):
    """Width, height, left and top of each box; every box is a full rectangle."""
    columns, rows = boxes.any(dim=1), boxes.any(dim=2)
    width, height = columns.sum(dim=1), rows.sum(dim=1)
    assert torch.equal(boxes.sum(dim=(1, 2)), width * height)
    left, top = columns.int().argmax(dim=1), rows.int().argmax(dim=1)
    assert (columns.int().diff(dim=1) == 1).sum(dim=1).max() <= 1
    return width, height, left, top


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 47), (240, 240), (8, 200)])
def test_boxes_have_half_the_area(height, width):
    w, h, _, _ = measure(draw_boxes(500, height, width, seeded(0)))
    assert (2 * w >= width).all()
    assert (w <= width).all()
    # A height is rounded to whole pixels: half a row more or less.
    assert ((w * h - height * width / 2).abs() <= w / 2).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)])
def test_tiny_images_have_boxes_too(height, width):
    boxes = draw_boxes(20, height, width, seeded(0))
    assert boxes.shape == (20, height, width)
    assert boxes.any(dim=(1, 2)).all()


def test_widths_are_even_between_half_and_whole_and_places_reach_every_border():
    w, h, left, top = measure(draw_boxes(8000, 24, 96, seeded(1)))
    counts = w.bincount(minlength=97)[50:96].double()
    expected = counts.mean()
    freedom = len(counts) - 1
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 3.5 * math.sqrt(2 * freedom)
    for place, room in ((left, 96 - w), (top, 24 - h)):
        free = room > 0
        assert (place[free] == 0).any()
        assert (place[free] == room[free]).any()
        share = place[free] / room[free]
        assert share.mean().item() == pytest.approx(0.5, abs=0.02)


def test_boxes_are_like_those_of_the_authors_program():
    """Their mean area, width and height, within three standard errors of 2000 boxes."""
    path = Path(__file__).parents[2] / "shared" / "golden" / "css_program.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as arrays:
        golden = {name: float(arrays[f"cut_{name}_mean"]) for name in ("area", "width", "height")}
    w, h, _, _ = measure(draw_boxes(2000, 64, 96, seeded(0)))
    for name, values in (("area", w * h / (64 * 96)), ("width", w), ("height", h)):
        values = values.double()
        assert abs(values.mean() - golden[name]) < 3 * values.std() / math.sqrt(len(values)), name


def test_half_of_the_images_have_a_small_box():
    boxes = draw_small_boxes(2000, 100, 100, seeded(0))
    present = boxes.any(dim=(1, 2))
    assert present.double().mean().item() == pytest.approx(0.5, abs=0.04)
    w, h, left, top = (values.double() for values in measure(boxes[present]))
    # Whole pixels are cut off, one of each side at most.
    area, ratio = (w + 0.5) * (h + 0.5) / 100**2, (h + 0.5) / (w + 0.5)
    assert area.min() > 0.019
    assert area.max() < 0.41
    assert ratio.min() > 0.27
    assert ratio.max() < 3.7
    # Areas are even, whatever is drawn again; large boxes have less room.
    assert area.mean().item() == pytest.approx(0.21, abs=0.012)
    assert area.std().item() == pytest.approx(0.38 / 12**0.5, abs=0.008)
    assert ((left + w) <= 100).all()
    assert ((top + h) <= 100).all()
    assert left.mean().item() == pytest.approx(((100 - w) / 2).mean().item(), abs=1.5)
    assert ratio[area < 0.05].mean().item() == pytest.approx(1.6, abs=0.25)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (24, 96)])
def test_small_boxes_follow_the_shape_of_the_image(height, width):
    boxes = draw_small_boxes(400, height, width, seeded(0))
    assert boxes.shape == (400, height, width)
    large = boxes.sum(dim=(1, 2)) > 0.05 * height * width
    if large.any():
        w, h, _, _ = (values.double() for values in measure(boxes[large]))
        assert (w / h).mean() > 0.5 * width / height


def test_draws_depend_on_their_generator_alone():
    state = torch.get_rng_state()
    assert torch.equal(draw_boxes(4, 20, 30, seeded(3)), draw_boxes(4, 20, 30, seeded(3)))
    small = [draw_small_boxes(9, 20, 30, seeded(seed)) for seed in (3, 3, 4)]
    assert torch.equal(small[0], small[1])
    assert not torch.equal(small[0], small[2])
    assert torch.equal(draw_partners(8, seeded(3)), draw_partners(8, seeded(3)))
    assert not torch.equal(draw_boxes(4, 20, 30, seeded(3)), draw_boxes(4, 20, 30, seeded(4)))
    assert not torch.equal(draw_partners(8, seeded(3)), draw_partners(8, seeded(4)))
    assert torch.equal(state, torch.get_rng_state())


def test_paste_by_hand():
    own = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    boxes = torch.tensor([[[True, False], [False, False]], [[False, False], [True, True]]])
    mixed = paste(own, torch.tensor([1, 0]), boxes)
    assert mixed.tolist() == [[[5, 2], [3, 4]], [[5, 6], [3, 4]]]


def test_image_label_and_valid_move_together():
    """Each picture is filled with its own number, so the parts must show the same numbers."""
    batch, height, width = 5, 24, 32
    number = torch.arange(batch).view(-1, 1, 1).expand(batch, height, width)
    image = (number.unsqueeze(1) + torch.tensor([0.0, 0.25, 0.5]).view(1, 3, 1, 1)).contiguous()
    valid = number % 2 == 0
    generator = seeded(5)
    partners = draw_partners(batch, generator)
    boxes = draw_boxes(batch, height, width, generator)
    original = image.clone()
    label = paste(number, partners, boxes)
    assert torch.equal(label, torch.where(boxes, partners.view(-1, 1, 1), number))
    mixed = paste(image, partners, boxes)
    for channel, offset in enumerate((0.0, 0.25, 0.5)):
        assert torch.equal(mixed[:, channel], label + offset)
    assert torch.equal(paste(valid, partners, boxes), label % 2 == 0)
    assert mixed.dtype == image.dtype
    assert label.dtype == number.dtype
    assert torch.equal(image, original)
