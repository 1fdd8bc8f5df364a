"""The drawn streets and steel plates: repeatable, complete, varied, with masks that fit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from semiseg.commands.check import check
from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.data.formats.masks import Classes
from semiseg.scenes import DRAWINGS, draw_scene, write_scenes
from semiseg.scenes.picture import ComparedScene, draw_chosen

SIZE = (48, 72)
SCENES = 12


@pytest.fixture(scope="module")
def drawn():
    """Images `(N, H, W, 3)` and masks `(N, H, W)` of each kind of scene but the crops."""
    stacks = {}
    for scene in ("street", "steel"):
        pairs = [draw_scene(Key.of(0, "test", i), SIZE, scene=scene) for i in range(SCENES)]
        stacks[scene] = tuple(np.stack(part) for part in zip(*pairs, strict=True))
    return stacks


def test_the_scenes_of_the_demo_keep_their_pixels():
    """Its figures were measured on them."""
    bits = hashlib.sha256()
    for i in range(3):
        image, mask = draw_scene(Key.of(0, "scene", "train", i), (64, 64), every_class=i == 0)
        bits.update(mask.tobytes())
        assert image.shape == (64, 64, 3)
    assert bits.hexdigest()[:16] == "c6fd6d540d70a04b"


@pytest.mark.parametrize("scene", ["street", "steel"])
@pytest.mark.parametrize("size", [(33, 47), (48, 160)])
def test_a_scene_is_a_function_of_its_key(scene, size):
    first, again, other = (draw_scene(Key.of(seed), size, scene=scene) for seed in (1, 1, 2))
    assert first[0].shape == (*size, 3)
    assert first[1].shape == size
    assert first[0].dtype == first[1].dtype == np.uint8
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("scene", ["street", "steel"])
def test_every_class_on_demand(scene):
    for seed in range(2):
        _, mask = draw_scene(Key.of(seed), (48, 64), every_class=True, scene=scene)
        assert set(np.unique(mask)) == set(range(len(DRAWINGS[scene].names)))


@pytest.mark.parametrize(
    ("scene", "shares"),
    [
        (
            "street",
            {
                **{"sky": (0.08, 0.3), "building": (0.15, 0.4), "road": (0.25, 0.5)},
                **{"sidewalk": (0.02, 0.15), "plant": (0.02, 0.2), "car": (0.03, 0.2)},
                **{"person": (0.001, 0.03), "pole": (0.002, 0.03)},
            },
        ),
        (
            "steel",
            {
                **{"steel": (0.88, 0.98), "rust": (0.01, 0.1), "scratch": (0.004, 0.03)},
                **{"crack": (0.0003, 0.005)},
            },
        ),
    ],
)
def test_the_classes_have_sane_shares(drawn, scene, shares):
    _, masks = drawn[scene]
    names = DRAWINGS[scene].names
    assert set(names) == set(shares)
    counts = np.bincount(masks.ravel(), minlength=len(names)) / masks.size
    for name, share in zip(names, counts, strict=True):
        low, high = shares[name]
        assert low < share < high, name


def test_a_crack_is_in_few_plates(drawn):
    _, masks = drawn["steel"]
    assert 0.05 < np.mean([(mask == 3).any() for mask in masks]) < 0.45


def test_the_masks_lie_on_the_things(drawn):
    """The sky is bright, plants are green, rust is red, and cracks are dark."""
    images, masks = (part.astype(float) for part in drawn["street"])
    brightness = images.mean(-1)
    assert brightness[masks == 0].mean() > brightness[masks == 2].mean() + 30
    green = images[..., 1] - images[..., [0, 2]].mean(-1)
    assert green[masks == 4].mean() > green[masks == 1].mean() + 5
    images, masks = (part.astype(float) for part in drawn["steel"])
    red = images[..., 0] - images[..., 2]
    assert red[masks == 1].mean() > red[masks == 0].mean() + 30
    brightness = images.mean(-1)
    assert brightness[masks == 3].mean() < brightness[masks == 0].mean() - 30
    assert brightness[masks == 2].mean() > brightness[masks == 0].mean()


def test_light_and_things_vary(drawn):
    for images, masks in drawn.values():
        assert images.mean((1, 2, 3)).std() > 10
        assert len({len(np.unique(mask)) for mask in masks}) > 1


@pytest.mark.parametrize("scene", ["street", "steel"])
def test_a_written_folder_passes_the_check(scene, tmp_path):
    data = write_scenes(
        tmp_path / "data", labeled=3, unlabeled=2, val=3, size=(48, 64), scene=scene
    )
    with Image.open(data / "train" / "masks" / "0000.png") as mask:
        assert mask.getcolors()[0][0] > 0
        palette = np.reshape(mask.getpalette(), (-1, 3))[: len(DRAWINGS[scene].colors)]
    assert palette.tolist() == [list(color) for color in DRAWINGS[scene].colors]
    report = check(data)
    assert list(report.classes) == list(DRAWINGS[scene].names)
    assert not [f for f in report.findings if f.severity == "error"]


def test_an_unknown_kind_of_scene_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no scenes called 'streets'. Did you mean 'street'"):
        write_scenes(tmp_path / "data", scene="streets")
    assert not (tmp_path / "data").exists()


def test_the_picture_of_the_demo_shows_the_largest_gains_and_the_median():
    """Each scene is as gray as its number, so the picture tells which ones it shows."""
    truth = np.zeros((160, 160), np.uint8)
    scenes = []
    for i, (first, second) in enumerate([(40, 30), (30, 30), (70, 10), (20, 90), (60, 20)]):
        masks = [(np.arange(160)[:, None] < 1.6 * n) + truth for n in (first, second)]
        gray = Image.new("RGB", (160, 160), (i, i, i))
        scenes.append(ComparedScene(gray, truth, masks, [100 * m.mean() for m in masks]))
    classes = Classes(("soil", "crop"), ((0, 0, 0), (0, 158, 115)), "ids", (0, 1))
    picture = np.array(draw_chosen(scenes, classes, ["supervised", "css"]))
    columns = [[picture[y, 250 * x + 120].tolist() for y in range(54, 870)] for x in range(4)]
    assert [[i, i, i] in columns[0] for i in range(5)] == [True, False, True, False, True]
    red, pale = ([c.count(color) for c in columns] for color in ([214, 0, 60], [243, 178, 190]))
    assert red[:2] == pale[:2] == [0, 0]
    assert red[2] == pytest.approx(240 * (0.6 + 0.4 + 0.1), abs=30)  # the edges are soft
    assert red[3] == 0
    assert pale[2] == pytest.approx(240 * (0.1 + 0.2 + 0.3), abs=30)
    assert pale[3] == pytest.approx(pale[2], abs=30)
