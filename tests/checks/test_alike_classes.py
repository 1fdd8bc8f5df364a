"""Classes that are probably one are named, and the advice makes them one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_masks import Pixels, draw_indices, png, write_folder

from semiseg.commands.check import check
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import load_dataset

BLACK, GREEN, RED = (0, 0, 0), (0, 255, 0), (255, 0, 0)


def write(root: Path, *greens: tuple[int, int, int]) -> dict[str, Pixels]:
    """Photographs and masks of three colors; each mask has the next green."""

    def save(number: int, ids: Pixels, path: Path) -> None:
        png(np.array([BLACK, greens[number % len(greens)], RED], np.uint8)[ids], path)

    return write_folder(root, save, draw=lambda seed: draw_indices(seed, 3))


def warnings(root: Path) -> list[str]:
    return [f.text for f in check(root).findings if f.kind == "class-names"]


def test_two_greens_that_differ_by_a_level_become_one_by_the_advice(tmp_path: Path) -> None:
    truth = write(tmp_path, GREEN, (0, 254, 0))
    (text,) = warnings(tmp_path)
    assert "#00fe00 and #00ff00" in text
    assert '- {name: NAME, color: "#00fe00"}' in text
    lines = [("soil", "#000000"), ("crop", "#00fe00"), ("crop", "#00ff00"), ("weed", "#ff0000")]
    text = "".join(f'- {{name: {name}, color: "{color}"}}\n' for name, color in lines)
    (tmp_path / "classes.yaml").write_text("classes:\n" + text)
    assert warnings(tmp_path) == []
    data = load_dataset(tmp_path)
    assert data.classes.names == ("soil", "crop", "weed")
    for sample in data.train:
        assert sample.mask is not None
        assert np.array_equal(read_mask(sample.mask, data.classes), truth[sample.image.stem])


@pytest.mark.parametrize(("levels", "pairs"), [((127, 128), 1), ((127,), 0), ((120, 140), 0)])
def test_gray_levels_that_differ_by_a_level(
    tmp_path: Path, levels: tuple[int, ...], pairs: int
) -> None:
    def save(number: int, ids: Pixels, path: Path) -> None:
        png(np.array([0, levels[number % len(levels)], 255], np.uint8)[ids], path)

    truth = write_folder(tmp_path, save, draw=lambda seed: draw_indices(seed, 3))
    texts = warnings(tmp_path)
    assert len(texts) == pairs
    if texts:
        assert "127 and 128" in texts[0]
        assert "- {name: NAME, id: 127}" in texts[0]
        entries = [("soil", 0), ("crop", 127), ("crop", 128), ("weed", 255)]
        lines = "".join(f"- {{name: {name}, id: {code}}}\n" for name, code in entries)
        (tmp_path / "classes.yaml").write_text("classes:\n" + lines)
        data = load_dataset(tmp_path)
        for sample in data.train:
            assert sample.mask is not None
            assert np.array_equal(read_mask(sample.mask, data.classes), truth[sample.image.stem])


@pytest.mark.parametrize("greens", [(GREEN,), (GREEN, (0, 200, 0))])
def test_colors_far_apart_are_classes(tmp_path: Path, greens: tuple[tuple[int, int, int]]) -> None:
    write(tmp_path, *greens)
    assert warnings(tmp_path) == []


def test_near_colors_in_one_mask_are_classes(tmp_path: Path) -> None:
    write(tmp_path, (1, 0, 0))
    assert warnings(tmp_path) == []


@pytest.mark.parametrize(
    ("names", "pairs"),
    [(("crop", "Crop"), "'crop' and 'Crop'"), (("sea-weed", "sea weed"), "'sea-weed' and")],
)
def test_names_that_differ_in_their_spelling(
    tmp_path: Path, names: tuple[str, str], pairs: str
) -> None:
    write(tmp_path, GREEN)
    for number in range(4):
        png(draw_indices(number, 3), tmp_path / "masks" / str(number))
    (tmp_path / "classes.txt").write_text("\n".join(("soil", *names)))
    (text,) = warnings(tmp_path)
    assert pairs in text
