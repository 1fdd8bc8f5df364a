"""What is done about classes of unequal size, against the formulas written out by hand."""

import math

import numpy as np
import pytest
import torch
from tiny_methods import one_of_each

import semiseg
from semiseg.augment.focus import Focus
from semiseg.augment.geometric import draw_view, view_mask
from semiseg.config.groups import BalanceConfig
from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.losses.class_balance import (
    dice_loss,
    effective_weights,
    inverse_weights,
    root_weights,
    weighted_cross_entropy,
)
from semiseg.losses.supervised import cross_entropy, ohem_cross_entropy
from semiseg.training import class_balance as imbalance
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.data import count_pixels

TINY = {
    "weights": "none",
    "encoder": "lcnet_035",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 2,
    "validations": 1,
    "workers": 0,
    "accelerator": "cpu",
}


@pytest.fixture
def batch():
    """Logits and masks of four classes, the last of which occurs nowhere; some is ignored."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(2, 4, 3, 5))).requires_grad_()
    target = rng.integers(0, 3, size=(2, 3, 5))
    target[0, 0] = 255
    return logits, torch.from_numpy(target)


def probabilities(logits, b, y, x):
    powers = [math.exp(v) for v in logits[b, :, y, x].tolist()]
    return [p / sum(powers) for p in powers]


def pixels(target):
    return [
        (b, y, x, int(target[b, y, x]))
        for b, y, x in np.ndindex(*target.shape)
        if target[b, y, x] != 255
    ]


def test_inverse_weights_by_hand():
    # 1/6, 1/3 and 1/1, scaled so that 10 pixels weigh 10 in all: each class 10/3
    weights = inverse_weights([6, 3, 0, 1])
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])


def test_root_weights_by_hand():
    # 1/3, 1/2 and 1/1, scaled so that 14 pixels weigh 14 in all
    mean = (3 + 2 + 1) / 14
    expected = [1 / 3 / mean, 1 / 2 / mean, 0, 1 / mean]
    assert root_weights([9, 4, 0, 1]).tolist() == pytest.approx(expected)


def test_a_few_stray_pixels_do_not_rule_the_loss():
    one, hundred = root_weights([10**6 - 1, 1]), root_weights([10**6 - 100, 100])
    ratios = [(w[1] / w[0]).item() for w in (one, hundred)]
    assert ratios == pytest.approx([100, 100], rel=1e-3)


def test_effective_weights_by_hand():
    # three classes occur, so that 1 / (1 - b) = 12 / 3 = 4 and b = 3/4
    raw = [0.25 / (1 - 0.75**n) for n in (9, 2, 1)]
    mean = (9 * raw[0] + 2 * raw[1] + raw[2]) / 12
    weights = effective_weights([9, 2, 0, 1])
    assert weights.tolist() == pytest.approx([raw[0] / mean, raw[1] / mean, 0, raw[2] / mean])


def test_effective_weights_do_not_depend_on_the_resolution_and_are_gentler_than_inverse_ones():
    counts = [900_000, 90_000, 10_000]
    small = effective_weights([n // 4 for n in counts])
    large = effective_weights(counts)
    assert torch.allclose(small, large, rtol=1e-3)
    spread = large.max() / large.min()
    assert 20 < spread < inverse_weights(counts).max() / inverse_weights(counts).min()


def test_weighted_cross_entropy_by_hand(batch):
    logits, target = batch
    weights = torch.tensor([0.5, 2.0, 7.0, 0.0], dtype=torch.float64)
    positions = pixels(target)
    total = sum(
        -weights[c] * math.log(probabilities(logits, b, y, x)[c]) for b, y, x, c in positions
    )
    expected = total / sum(weights[c] for *_, c in positions)
    found_loss = weighted_cross_entropy(logits.detach(), target, weights)
    assert float(found_loss) == pytest.approx(float(expected))
    same = weighted_cross_entropy(logits, target, torch.full((4,), 3.0))
    assert float(same) == pytest.approx(float(cross_entropy(logits, target)))


def test_dice_by_hand(batch):
    logits, target = batch
    positions = pixels(target)
    losses = []
    for c in range(3):  # the fourth class is not shown
        both = sum(probabilities(logits, b, y, x)[c] for b, y, x, true in positions if true == c)
        overlap = sum(probabilities(logits, b, y, x)[c] for b, y, x, _ in positions)
        losses.append(1 - 2 * both / (overlap + sum(true == c for *_, true in positions)))
    assert float(dice_loss(logits, target)) == pytest.approx(sum(losses) / 3)
    perfect = torch.nn.functional.one_hot(target.clamp(max=3), 4).movedim(-1, 1) * 200.0
    assert float(dice_loss(perfect.double(), target)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("min_kept", [1, 6, 1000])
def test_ohem_by_hand(batch, min_kept):
    logits, target = batch
    own = sorted(probabilities(logits, b, y, x)[c] for b, y, x, c in pixels(target))
    limit = max(0.3, own[min_kept - 1]) if min_kept <= len(own) else 1.0
    hard = [p for p in own if p <= limit]
    expected = sum(-math.log(p) for p in hard) / len(hard)
    assert float(ohem_cross_entropy(logits, target, 0.3, min_kept)) == pytest.approx(expected)


LOSSES = {
    "dice": dice_loss,
    "weights": lambda logits, target: weighted_cross_entropy(
        logits, target, torch.tensor([1.0, 2.0, 3.0, 0.5])
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_where_all_is_ignored_the_loss_is_an_exact_zero_with_a_gradient(loss, batch):
    logits, target = batch
    value = loss(logits, torch.full_like(target, 255))
    assert value.item() == 0
    value.backward()
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients(loss, batch):
    logits, target = batch
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)


def test_focus_draws_rare_classes_and_their_pixels():
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[10, 20:24] = 1
    mask[30:, :] = 255
    focus = Focus(1.0, (1 / 1796, 1 / 4, 1.0))  # the third class is not shown
    places = [focus.draw(Key.of(0, i), mask) for i in range(400)]
    rare = [p for p in places if mask[int(p[1] * 40), int(p[0] * 60)] == 1]
    assert len(rare) == pytest.approx(400 * 1796 / 1800, abs=8)
    assert {int(x * 60) for x, _ in rare} == {20, 21, 22, 23}
    assert focus.draw(Key.of(0, 7), mask) == places[7]
    assert focus.draw(Key.of(0), np.full((4, 4), 255, dtype=np.uint8)) is None
    some = [Focus(0.25, (1.0, 1.0)).draw(Key.of(1, i), mask) for i in range(400)]
    assert sum(p is not None for p in some) == pytest.approx(100, abs=30)


@pytest.mark.parametrize("place", [(0.5, 0.5), (0.01, 0.99), (0.7, 0.2)])
def test_a_focused_view_shows_its_place_in_the_middle_as_far_as_the_image_reaches(place):
    source = (400, 300)
    mask = np.zeros((300, 400), dtype=np.uint8)
    x, y = int(place[0] * 400), int(place[1] * 300)
    mask[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 1
    plain = draw_view(Key.of(3), source, 300, 100, (1.0, 1.0))
    view = draw_view(Key.of(3), source, 300, 100, (1.0, 1.0), place)
    assert (view.extent, view.flip) == (plain.extent, plain.flip)
    rows, columns = np.nonzero(view_mask(mask, view) == 1)
    assert len(rows) > 0
    if place == (0.5, 0.5):
        assert abs(rows.mean() - 50) <= 2
        assert abs(columns.mean() - 50) <= 2


def test_focused_crops_show_more_of_rare_classes_and_none_change_without(tiny_folder):
    folder = load_dataset(tiny_folder)
    split = make_split(folder, "all", 0)
    count = len(folder.classes)
    counts = count_pixels(split.labeled, folder.pixels, count)
    rarest = min((n, c) for c, n in enumerate(counts) if n)[1]
    weights = tuple(1 / n if n else 0.0 for n in counts)

    def masks(focus):
        images = TrainingImages(split.labeled, (), folder.classes)
        batches = TrainingBatches(images, Views(48, 32, focus=focus), 4, Key.of(0))
        return torch.cat([batches[i].labeled.mask for i in range(8)])

    plain, focused = masks(None), masks(Focus(1.0, weights))
    assert torch.equal(plain, masks(Focus(0.0, weights)))
    assert (focused == rarest).any(dim=(1, 2)).sum() > (plain == rarest).any(dim=(1, 2)).sum()


def test_each_setting_takes_the_place_of_the_supervised_loss(batch, tiny_method):
    logits, target = batch
    method = tiny_method("supervised", classes=4)
    counts = [5, 3, 2, 0]

    def loss(**on):
        method.supervised_loss = cross_entropy
        imbalance.set_loss(method, BalanceConfig(**{"class_weights": "none", **on}), counts)
        return method.supervised_loss(logits, target)

    weighted = weighted_cross_entropy(logits, target, inverse_weights(counts))
    assert torch.equal(loss(), cross_entropy(logits, target))
    assert method.supervised_loss is cross_entropy
    assert torch.equal(loss(class_weights="inverse"), weighted)
    assert torch.equal(loss(ohem=0.2), ohem_cross_entropy(logits, target, 0.7, 6))
    both = weighted + 0.5 * dice_loss(logits, target)
    assert torch.allclose(loss(class_weights="inverse", dice=0.5), both)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        # One of each kind: labels alone, two spaces, two networks, and stages.
        m
        if m in {"supervised", "css", "cps", "st"}
        else pytest.param(m, marks=pytest.mark.variants)
        for m in one_of_each()
    ],
)
def test_every_method_trains_with_them(method, tiny_folder, tmp_path, needed_settings):
    """And with SGD; the other tests train with the default, AdamW."""
    settings = {"class_weights": "effective", "dice": 1.0, "rare_crops": 0.5, "labels": "2"}
    settings["steps"] = 3  # one for each stage of a method that has three
    settings |= {"encoder": "lcnet_035", "optimizer": "sgd"} | needed_settings(method)
    run = semiseg.train(tiny_folder, method=method, out=tmp_path / "run", **{**TINY, **settings})
    assert run.scores.miou.released is not None
    text = (run.folder / "config.yaml").read_text()
    assert "class_weights: effective" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": "invers"}, "Did you mean 'inverse'"),
        ({"ohem": 2.0}, "--ohem 2.0 is not allowed. Allowed: a number from 0 to 1"),
        ({"rare_crops": -0.1}, "--rare-crops -0.1 is not allowed. Allowed: a number from 0 to 1"),
        ({"dice": -1.0}, "--dice -1.0 is not allowed. Allowed: a number of at least 0"),
        ({"ohem": 0.1}, "Add --class-weights none"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(tiny_folder, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        semiseg.train(tiny_folder, out=tmp_path / "run", **TINY, **settings)
    assert not (tmp_path / "run").exists()
