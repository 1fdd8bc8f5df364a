"""The demo's scenes: repeatable, complete, of the documented layout, neither empty nor trivial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.scenes.draw import COLORS, NAMES, draw_scene, write_scenes

SMALL = (48, 64)
SCENES = 60
Scene = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Enough scenes for statistics, at half the demo's size to save time."""
    return [draw_scene(Key.of(0, "scene", "unlabeled", i), (80, 80)) for i in range(SCENES)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder with all four splits."""
    folder = tmp_path_factory.mktemp("scenes") / "new" / "data"
    return write_scenes(folder, labeled=3, unlabeled=4, val=2, test=1, size=SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    """Each file below `folder` by its relative path."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_names_and_colors_belong_together() -> None:
    """One distinct color a class, the background near black."""
    assert len(NAMES) == len(COLORS) == len(set(NAMES)) == len(set(COLORS)) == 6
    assert NAMES[0] == "soil"
    assert max(COLORS[0]) < 32
    assert all(0 <= channel <= 255 for color in COLORS for channel in color)


@pytest.mark.parametrize("size", [(160, 160), SMALL, (64, 48), (33, 47), (32, 200)])
def test_scene_has_the_size_and_types_asked_for(size: tuple[int, int]) -> None:
    """Odd and oblong sizes work too."""
    image, mask = draw_scene(Key.of(0), size)
    assert image.shape == (*size, 3)
    assert mask.shape == size
    assert image.dtype == mask.dtype == np.uint8
    assert image.std() > 5


def test_too_small_a_scene_is_refused() -> None:
    """The message names the size found and the one needed."""
    with pytest.raises(ConfigError, match=r"160 x 31 pixels.*32 pixels or more"):
        draw_scene(Key.of(0), (160, 31))


def test_same_key_same_bits_other_key_other_scene() -> None:
    """A scene is a function of its key; global generators play no part."""
    first = draw_scene(Key.of(0, "a"), SMALL)
    np.random.seed(5)  # noqa: NPY002 - the point is that it does not matter
    again = draw_scene(Key.of(0, "a"), SMALL)
    other = draw_scene(Key.of(0, "b"), SMALL)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("size", [(160, 160), SMALL, (32, 32)])
def test_every_class_on_demand(size: tuple[int, int]) -> None:
    """Also at the smallest size, where things easily hide each other."""
    for seed in range(6):
        _, mask = draw_scene(Key.of(seed), size, every_class=True)
        assert set(np.unique(mask)) == set(range(len(NAMES)))


def test_class_shares_are_sane(scenes: list[Scene]) -> None:
    """Soil leads, the beetle is rare, the others are neither lost nor everywhere."""
    masks = np.stack([mask for _, mask in scenes])
    share = np.bincount(masks.ravel(), minlength=len(NAMES)) / masks.size
    assert len(share) == len(NAMES)
    soil, crop, weed, stone, straw, beetle = share
    assert 0.55 < soil < 0.85
    assert 0.05 < crop < 0.2
    assert 0.04 < weed < 0.2
    assert 0.02 < stone < 0.1
    assert 0.01 < straw < 0.08
    assert 0.001 < beetle < 0.012


def test_scenes_differ_in_what_they_show(scenes: list[Scene]) -> None:
    """The beetle is in about a third of the scenes; soil and crop are in nearly all."""
    shares = np.array([[c in mask for c in range(len(NAMES))] for _, mask in scenes]).mean(0)
    assert shares[0] == 1
    assert shares[1] > 0.9
    assert all(0.5 < part < 1 for part in shares[2:5])
    assert 0.15 < shares[5] < 0.55


def test_mask_lies_on_the_things(scenes: list[Scene]) -> None:
    """Plants are greener than soil, and beetles darker, just where the mask says so."""
    ranks: dict[int, list[bool]] = {1: [], 2: [], 5: []}
    for image, mask in scenes:
        values = image.astype(float)
        green = values[..., 1] - values[..., [0, 2]].mean(-1)
        for kind, quantity in ((1, green), (2, green), (5, -values.sum(-1))):
            if (mask == kind).sum() > 20:
                ranks[kind].append(quantity[mask == kind].mean() > quantity[mask == 0].mean())
    assert np.mean(ranks[1]) > 0.9
    assert np.mean(ranks[2]) > 0.9
    assert np.mean(ranks[5]) > 0.6


def test_color_does_not_tell_crop_from_weed(scenes: list[Scene]) -> None:
    """Their colors differ far less within a scene than they do between scenes."""
    means = np.array(
        [
            [image[mask == kind].mean(0) for kind in (1, 2)]
            for image, mask in scenes
            if min((mask == 1).sum(), (mask == 2).sum()) > 50
        ]
    )
    assert len(means) > SCENES / 3
    between_classes = np.abs((means[:, 0] - means[:, 1]).mean(0))
    assert np.all(between_classes < 0.5 * means[:, 0].std(0))


def test_light_and_soil_vary_between_scenes(scenes: list[Scene]) -> None:
    """Dark humus to bright sand."""
    soil = np.array([image[mask == 0].mean() for image, mask in scenes])
    assert soil.min() < 60
    assert soil.max() > 140


def test_layout(root: Path) -> None:
    """The documented folders, numbered names, and nothing else."""
    expected = {"classes.yaml"}
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        expected |= {f"{split}/images/{i:04d}.jpg" for i in range(count)}
        expected |= {f"{split}/masks/{i:04d}.png" for i in range(count)}
    expected |= {f"unlabeled/{i:04d}.jpg" for i in range(4)}
    assert set(contents(root)) == expected


def test_written_images_and_masks_can_be_read(root: Path) -> None:
    """RGB photographs; palette masks whose indices are class ids and whose colors are ours."""
    height, width = SMALL
    for path in root.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (width, height))
    ids: set[int] = set()
    for path in (root / "train" / "masks").iterdir():
        with Image.open(path) as mask:
            assert (mask.mode, mask.size) == ("P", (width, height))
            palette = np.reshape(mask.getpalette() or [], (-1, 3))[: len(COLORS)]
            ids |= set(np.unique(np.asarray(mask)).tolist())
        assert palette.tolist() == [list(color) for color in COLORS]
    assert ids == set(range(len(NAMES)))


def test_written_mask_is_the_scene_of_its_key(root: Path) -> None:
    """So `draw_scene` can draw again what a folder holds."""
    _, expected = draw_scene(Key.of(0, "scene", "val", 1), SMALL)
    with Image.open(root / "val" / "masks" / "0001.png") as mask:
        assert np.array_equal(np.asarray(mask), expected)


def test_classes_file(root: Path) -> None:
    """Three lines a class, in the order of the ids."""
    lines = (root / "classes.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[:4] == ["classes:", "  - name: soil", "    id: 0", "    color: [0, 0, 0]"]
    assert [line.split(": ")[1] for line in lines if "name" in line] == list(NAMES)
    assert len(lines) == 1 + 3 * len(NAMES)


def test_scene_does_not_depend_on_the_count(root: Path, tmp_path: Path) -> None:
    """Scene `i` has the same bits however many there are; another seed gives another."""
    few = contents(write_scenes(tmp_path / "a", labeled=1, unlabeled=2, val=1, size=SMALL))
    many = contents(root)
    assert "test" not in {name.split("/")[0] for name in few}
    assert all(many[name] == data for name, data in few.items())
    other = contents(
        write_scenes(tmp_path / "b", seed=1, labeled=1, unlabeled=0, val=0, size=SMALL)
    )
    assert other["train/images/0000.jpg"] != few["train/images/0000.jpg"]


def test_no_labels_are_refused(tmp_path: Path) -> None:
    """Nothing is written then."""
    with pytest.raises(ConfigError, match="labeled scenes, but their number is 0"):
        write_scenes(tmp_path / "none", labeled=0)
    assert not (tmp_path / "none").exists()
