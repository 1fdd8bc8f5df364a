"""A tree and names alone make no published data set: the values of the masks have to fit, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.data.datasets import find_dataset, recognize
from semiseg.data.reader import load_dataset
from semiseg.data.tree import Tree


def put(path: Path, *ids: int) -> None:
    """Upright stripes of these ids, or a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if ids:
        stripes = np.repeat(np.array(ids, np.uint8), 12 // len(ids))
        Image.fromarray(np.tile(stripes, (8, 1))).save(path)
    else:
        shade = sum(i * ord(c) for i, c in enumerate(path.as_posix())) % 251
        noise = np.random.default_rng(shade).integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)


TREES = [
    ("images/{training}/{name}.jpg", "annotations/{training}/{name}.png"),
    ("{train}/{name}.png", "{train}annot/{name}.png"),
    ("leftImg8bit/{train}/farm/{name}_leftImg8bit.png", "gtFine/{train}/farm/{name}_labelIds.png"),
]


@pytest.mark.parametrize(("images", "masks"), TREES)
@pytest.mark.parametrize("ids", [(0, 1), (0, 255), (0, 1, 2), (1, 2)])
def test_own_data_in_a_published_tree_are_read_as_own_data(
    tmp_path: Path, images: str, masks: str, ids: tuple[int, ...]
) -> None:
    for train, training in (("train", "training"), ("val", "validation")):
        for i in range(3):
            words = {"train": train, "training": training, "name": f"{train}{i:03d}"}
            put(tmp_path / images.format(**words))
            put(tmp_path / masks.format(**words), *ids)
    assert find_dataset(Tree(tmp_path)) is None
    data = load_dataset(tmp_path)
    assert len(data.classes) == len(ids)
    for split in ("train", "val"):
        samples = getattr(data, split)
        assert [sample.mask is not None for sample in samples] == [True] * 3
        assert {len(data.pixels[sample.mask]) for sample in samples} == {len(ids)}


def test_names_of_a_data_set_with_other_values_are_own_data_and_said(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / "images" / "training" / f"ADE_train_{i:08d}.jpg")
        put(tmp_path / "annotations" / "training" / f"ADE_train_{i:08d}.png", 0, 255)
    recognition = recognize(Tree(tmp_path))
    assert recognition.dataset is None
    assert "ADE_train_00000000.png holds 0, 255 and none of its classes" in recognition.remark
    data = load_dataset(tmp_path)
    assert (len(data.classes), len(data.train)) == (2, 3)
    (said,) = [f.text for f in data.findings if "names are those of ADE20K" in f.message]
    assert "--dataset ade20k" in said


def test_a_data_set_with_its_own_names_and_values_is_recognized(
    official_tree: Callable[[str], Path],
) -> None:
    for name in ("ade20k", "camvid", "cityscapes", "voc"):
        dataset = find_dataset(Tree(official_tree(name)))
        assert dataset is not None
        assert dataset.name == name


def test_a_published_data_set_may_have_a_folder_around_it(
    official_tree: Callable[[str], Path], tmp_path: Path
) -> None:
    outer = tmp_path / "download"
    outer.mkdir()
    official_tree("ade20k").rename(outer / "ADEChallengeData2016")
    data = load_dataset(outer)
    assert len(data.classes) == 150
    assert [sample.name for sample in data.val] == ["ADE_val_00000001", "ADE_val_00000002"]
