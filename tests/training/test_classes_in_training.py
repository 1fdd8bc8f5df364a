"""Classes from the masks to a trained model and back to masks: ids, merged ids, absent classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import semiseg
from semiseg.core.errors import DataError
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.model.metadata import ModelMetadata

SIDE = 48
LOOKS = np.array([[90, 70, 50], [60, 200, 60], [220, 60, 60], [60, 60, 220]])
SETTINGS: Mapping[str, object] = {
    **{"weights": "none", "size": SIDE, "crop": 32, "batch": 4, "steps": 4, "validations": 1},
    **{
        "workers": 0,
        "threads": 1,
        "accelerator": "cpu",
        "method": "supervised",
        "encoder": "lcnet_035",
    },
}


def scene(seed: int, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photograph of blocks in the colors of their classes, and the class of each pixel."""
    random = np.random.default_rng(seed)
    blocks = random.permutation(np.arange(16) % classes).reshape(4, 4).astype(np.uint8)
    indices = np.kron(blocks, np.ones((SIDE // 4, SIDE // 4), np.uint8))
    noise = random.normal(0, 8, (SIDE, SIDE, 3))
    return (LOOKS[indices] + noise).clip(0, 255).astype(np.uint8), indices


def write(root: Path, values: NDArray[np.generic], count: int = 8, first: int = 0) -> Path:
    """Images with masks that hold the given value for each class."""
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        image, indices = scene(number, len(values))
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(values[indices]).save(root / "masks" / f"{number}.png")
    return root


def values_of(folder: Path) -> set[int]:
    """The values in all masks of a folder."""
    values: set[int] = set()
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            values |= set(np.unique(np.asarray(image)).tolist())
    return values


@pytest.mark.slow
def test_ids_above_255_go_through_training_prediction_and_suggestion(tmp_path: Path) -> None:
    data = write(tmp_path / "data", np.array([0, 7, 300, 1000], np.uint16))
    pool = write(tmp_path / "pool", np.zeros(4, np.uint8), 3, first=50) / "images"
    settings = {**SETTINGS, "steps": 60, "lr": 0.02}
    run = semiseg.train(data, out=tmp_path / "run", **settings)
    assert list(run.scores.per_class) == ["0", "7", "300", "1000"]
    masks = semiseg.predict(run.folder, pool, out=tmp_path / "out")
    for path in masks.files:
        with Image.open(path) as image:
            assert image.mode == "I;16"
    values = values_of(tmp_path / "out")
    assert values <= {0, 7, 300, 1000}
    assert len(values) > 1  # or nothing was learned, and the test shows nothing
    semiseg.predict(run.folder, pool, out=tmp_path / "doubtful", abstain=0.999999)
    assert 255 in values_of(tmp_path / "doubtful")
    semiseg.suggest(run.folder, pool, out=tmp_path / "next", n=2)
    again = load_dataset(tmp_path / "next", dataset="folder")
    assert again.classes.codes == (0, 7, 300, 1000)
    assert values_of(tmp_path / "next" / "train" / "masks") <= {0, 7, 300, 1000}
    assert not again.errors()


@pytest.mark.slow
def test_merged_ids_are_one_class_of_the_model(tmp_path: Path) -> None:
    data = write(tmp_path / "data", np.array([0, 4, 9], np.uint8))
    (data / "classes.yaml").write_text(
        "classes: [{name: soil, id: 0}, {name: plant, id: 4}, {name: plant, id: 9}]"
    )
    run = semiseg.train(data, out=tmp_path / "run", **{**SETTINGS, "steps": 40, "lr": 0.02})
    val = load_dataset(data)
    split = make_split(val, "all", 0).val
    assert run.scores.per_class["plant"].pixels == sum(
        val.pixels[sample.mask][1] for sample in split if sample.mask
    )
    metadata = ModelMetadata.from_dict(json.loads((run.folder / "model.json").read_text()))
    assert metadata.classes == val.classes
    assert metadata.classes.merged == ((9, 1),)
    semiseg.predict(run.folder, data / "images", out=tmp_path / "out")
    assert values_of(tmp_path / "out") == {0, 4}
    pool = write(tmp_path / "pool", np.zeros(3, np.uint8), 3, first=50) / "images"
    semiseg.suggest(run.folder, pool, out=tmp_path / "next", n=2)
    both = load_dataset(tmp_path / "next").classes
    assert (both.names, both.merged) == (metadata.classes.names, metadata.classes.merged)


@pytest.mark.slow
def test_two_names_of_binary_masks_train_both_classes(tmp_path: Path) -> None:
    data = write(tmp_path / "data", np.array([0, 255], np.uint8))
    (data / "classes.yaml").write_text("classes: [soil, crop]")
    run = semiseg.train(data, out=tmp_path / "run", **{**SETTINGS, "steps": 40, "lr": 0.02})
    pixels = {name: scores.pixels for name, scores in run.scores.per_class.items()}
    assert pixels["soil"] == pixels["crop"] > 0
    semiseg.predict(run.folder, data / "images", out=tmp_path / "out")
    assert values_of(tmp_path / "out") == {0, 255}


@pytest.mark.slow
def test_what_is_said_of_an_absent_class_is_what_is_computed(tmp_path: Path) -> None:
    """Val lacks class 2, which the model predicts: every score leaves it out."""
    data = tmp_path / "data"
    write(data / "train", np.arange(3, dtype=np.uint8), 6)
    write(data / "val", np.array([0, 1, 1], np.uint8), 3, first=60)
    settings = {**SETTINGS, "steps": 40, "lr": 0.02}
    unscored = [f for f in semiseg.check(data).findings if f.kind == "unscored-class"]
    assert [finding.classes for finding in unscored] == [("2",)]
    run = semiseg.train(data, out=tmp_path / "run", **settings)
    semiseg.predict(run.folder, data / "val" / "images", out=tmp_path / "out")
    assert 2 in values_of(tmp_path / "out")
    content = json.loads((run.folder / "scores.json").read_text())
    nothing = {"iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0}
    assert content["per_class"]["2"] == nothing
    ious = [content["per_class"][name]["iou"] for name in ("0", "1")]
    assert content["miou"]["released"] == pytest.approx(sum(ious) / 2)
    evaluation = semiseg.evaluate(run.folder, data)
    assert evaluation.miou == pytest.approx(content["choice"]["miou"])
    assert evaluation.to_dict()["per_class"]["2"]["iou"] is None
    assert "images of val, without 2, of which no mask there holds a pixel" in evaluation.text()


def test_labels_that_show_one_class_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "data", np.array([0, 1], np.uint8), 4)
    empty = Image.fromarray(np.zeros((SIDE, SIDE), np.uint8))
    empty.save(data / "masks" / "0.png")
    (tmp_path / "one.txt").write_text("0\n")
    with pytest.raises(DataError, match=r"fewer than two classes \(0\)"):
        make_split(load_dataset(data), str(tmp_path / "one.txt"), 0)
    assert make_split(load_dataset(data), "1", 0).labeled


@pytest.mark.parametrize("seed", range(8))
def test_what_is_held_out_shows_two_classes_where_it_can(tmp_path: Path, seed: int) -> None:
    """Two of eight masks show the object: one is trained on, the other is scored."""
    data = write(tmp_path, np.zeros(2, np.uint8), 6)
    write(tmp_path, np.array([0, 1], np.uint8), 2, first=6)
    split = make_split(load_dataset(data), "all", seed)
    objects = {"6", "7"}
    assert len(objects & {sample.name for sample in split.val}) == 1
    assert len(objects & {sample.name for sample in split.labeled}) == 1
