"""Masks and scores from outside: the calibration by hand, the files, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.reader import load_dataset
from semiseg.data.splits import make_split
from semiseg.training.labeling.calibration import (
    TrueScores,
    count_pixels,
    filter_scores,
    precisions,
)
from semiseg.training.labeling.outside import Pool, outside_labeler

CLASSES = Classes(("soil", "crop", "weed"), ((0, 0, 0), (0, 255, 0), (255, 0, 0)), "ids", (0, 1, 2))


def truth_scores(values: list[float]) -> TrueScores:
    """The counts of one image, whose true class 0 has these scores."""
    scores = np.array([values, [1 - v for v in values]], np.float16)[:, None]
    counts = TrueScores()
    counts.add(scores, np.zeros((1, len(values)), np.uint8))
    return counts


def test_the_threshold_is_a_quantile_with_the_correction_of_conformal_prediction() -> None:
    tenths = truth_scores([0.7, 0.1, 1.0, 0.3, 0.5, 0.4, 0.9, 0.6, 0.8, 0.2])
    # ceil(11 * 0.8) = 9: the 9th smallest nonconformity of 0, .1, ..., .9 is .8, a score of .2.
    assert tenths.threshold(0.2) == pytest.approx(0.2, abs=1e-4)
    # ceil(11 * 0.7) = 8: .7, a score of .3.
    assert tenths.threshold(0.3) == pytest.approx(0.3, abs=1e-4)
    # ceil(11 * 0.95) = 11 is more than there are: every class passes.
    assert tenths.threshold(0.05) == 0
    assert TrueScores().threshold() == 0
    many = truth_scores(list(np.linspace(0, 1, 1999)))
    rank = math.ceil(2000 * 0.95)
    assert many.threshold(0.05) == pytest.approx(1 - (rank - 1) / 1998, abs=5e-4)


def test_only_labeled_pixels_are_counted() -> None:
    counts = TrueScores()
    scores = np.array([[[0.25, 0.5, 0.75]], [[0.75, 0.5, 0.25]]], np.float16)
    counts.add(scores, np.array([[0, 255, 1]], np.uint8))
    counts.add(scores, np.array([[1, 0, 255]], np.uint8))
    assert {i: n for i, n in enumerate(counts.counts) if n} == {
        int(np.float16(v).view(np.uint16)): n for v, n in ((0.25, 2), (0.75, 1), (0.5, 1))
    }


def test_a_pixel_gets_the_best_class_of_its_set() -> None:
    columns = [
        (0.9, 0.05, 0.05),  # the background alone
        (0.6, 0.3, 0.25),  # the background and others: the best of these
        (0.8, 0.1, 0.1),
        (0.1, 0.45, 0.45),  # without background; the first of two equal ones
        (0.19, 0.19, 0.19),  # nothing
    ]
    scores = np.array(columns, np.float16).T[:, None]
    label, score = filter_scores(scores, 0.2, background=0)
    assert label.tolist() == [[0, 1, 0, 1, 255]]
    np.testing.assert_allclose(score, [[0.9, 0.3, 0.8, 0.45, 0]], atol=1e-3)
    label, score = filter_scores(scores, 0.2, background=None)
    assert label.tolist() == [[0, 0, 0, 1, 255]]
    np.testing.assert_allclose(score, [[0.9, 0.6, 0.8, 0.45, 0]], atol=1e-3)


def test_the_precision_of_a_class_is_the_share_of_right_pixels_of_its_label() -> None:
    label = np.array([[0, 0, 0, 1, 1, 255, 0]], np.uint8)
    truth = np.array([[0, 0, 1, 1, 0, 1, 255]], np.uint8)
    counts = count_pixels(label, truth, 3)
    assert counts.tolist() == [[2, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]]
    assert precisions(counts)[:2].tolist() == [2 / 3, 1 / 2]
    assert np.isnan(precisions(counts)[2])


class Folder:
    """A data folder with four labeled and two unlabeled images of 4 x 4, and masks from outside.

    The truth is three rows of soil and one of crop.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.outside = root / "data", root / "outside"
        self.truth = np.array([[0] * 4] * 3 + [[1] * 4], np.uint8)
        self.labeled = [self.image(f"train/images/{i}.png") for i in range(4)]
        self.unlabeled = [self.image(f"unlabeled/{i}.png") for i in range(4, 6)]
        for i, sample in enumerate(self.labeled):
            mask = self.root / f"train/masks/{i}.png"
            self.save(mask, self.truth)
            self.labeled[i] = sample._replace(mask=mask)

    def image(self, name: str) -> Sample:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (9, 99, 9)).save(file)
        return Sample(file.stem, file, None)

    @staticmethod
    def save(file: Path, mask: NDArray[np.uint8]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(file)

    def write(self, mask: NDArray[np.uint8], names: str = "012345") -> None:
        for name in names:
            self.save(self.outside / f"{name}.png", mask)

    def write_scores(
        self, scores: NDArray[np.float16], names: str = "012345", classes: tuple[str, ...] = ()
    ) -> None:
        (self.outside / "probabilities").mkdir(parents=True, exist_ok=True)
        for name in names:
            file = self.outside / "probabilities" / f"{name}.npz"
            np.savez_compressed(
                file, probabilities=scores, classes=np.array(classes or CLASSES.names)
            )

    @property
    def pool(self) -> Pool:
        return Pool(self.root, self.labeled, self.unlabeled, CLASSES, AS_STORED, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_classes_of_low_precision_are_left_out(
    folder: Folder, log: pytest.LogCaptureFixture
) -> None:
    mask = folder.truth.copy()
    mask[2, 0] = 1  # of 5 pixels of crop, 4 are right: 80 %
    mask[0, 0] = 2  # of weed, none is
    mask[0, 1] = 255
    folder.write(mask)
    labeler, source = outside_labeler(folder.outside, folder.pool)
    labels = list(labeler(folder.unlabeled))
    assert len(labels) == 2
    expected = np.where(mask == 2, 255, mask)
    for label, confidence, agreement in labels:
        np.testing.assert_array_equal(label, expected)
        np.testing.assert_allclose(confidence[mask == 1], 0.8)
        np.testing.assert_allclose(confidence[mask == 0], 1)
        assert agreement.all()
    assert "compared with 4 labeled images; precision in %: soil 100.0, crop 80.0" in log.text
    (warning,) = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert "not used, since they are below 80 % or absent: weed 0.0" in warning
    assert "87.5 % of the labeled pixels keep a label" in log.text  # 14 of 16
    assert source.kind == "masks"
    assert source.details["precision"] == {"soil": 100.0, "crop": 80.0, "weed": 0.0}
    assert source.details["used"] == ["soil", "crop"]


def test_masks_that_are_mostly_wrong_are_refused(folder: Folder) -> None:
    folder.write(1 - folder.truth)
    with pytest.raises(ConfigError, match="no class of these masks is right on 80 % of"):
        outside_labeler(folder.outside, folder.pool)


def test_scores_pass_the_conformal_filter(folder: Folder, log: pytest.LogCaptureFixture) -> None:
    """16 of 64 labeled pixels of the true class have 0.5, and the rest 0.75."""
    own = np.where(folder.truth == 1, np.float16(0.5), np.float16(0.75))
    scores = np.zeros((3, 4, 4), np.float16)
    np.put_along_axis(scores, folder.truth[None].astype(int), own[None], axis=0)
    folder.write_scores(scores)
    doubtful = scores.copy()
    doubtful[:, 0] = np.float16(0.375)  # below: no label
    doubtful[:, 1] = np.array([0.5, 0.25, 0.625])[:, None]
    folder.write_scores(doubtful, "5", ("soil", "crop", "stone"))
    folder.write(folder.truth, "012345")  # where there are scores, masks do not count
    labeler, source = outside_labeler(folder.outside, folder.pool)
    first, second = labeler(folder.unlabeled)
    np.testing.assert_array_equal(first.label, folder.truth)
    np.testing.assert_array_equal(first.confidence, own)
    assert second.label.tolist() == [[255] * 4, [255] * 4, [0] * 4, [1] * 4]  # stone is no class
    assert source.kind == "scores"
    assert source.details["threshold"] == 0.5
    assert "score of 0.500 or more on 95.0 % of the pixels" in log.text
    assert "absent: weed" in log.text


def test_images_without_a_mask_are_counted(folder: Folder, log: pytest.LogCaptureFixture) -> None:
    folder.write(folder.truth, "015")
    labeler, _ = outside_labeler(folder.outside, folder.pool)
    first, second = labeler(folder.unlabeled)
    assert (first.label == 255).all()
    np.testing.assert_array_equal(second.label, folder.truth)
    assert "compared with 2 labeled images" in log.text
    assert "1 of 2 unlabeled images are without masks" in log.text
    assert "4.png" in log.text


def test_a_mask_that_changes_and_keeps_its_size_is_another_source(folder: Folder) -> None:
    files = [folder.outside / f"{i}.bmp" for i in range(6)]
    for file in files:
        folder.save(file, folder.truth)
    first = outside_labeler(folder.outside, folder.pool)[1]
    assert outside_labeler(folder.outside, folder.pool)[1].digest == first.digest
    size = files[4].stat().st_size
    folder.save(files[4], 1 - folder.truth)
    assert files[4].stat().st_size == size
    assert outside_labeler(folder.outside, folder.pool)[1].digest != first.digest


def the_data_folder(folder: Folder) -> None:
    folder.outside = folder.root


def no_labeled_pixel(folder: Folder) -> None:
    for sample in folder.labeled:
        folder.save(sample.mask, np.full((4, 4), 255, np.uint8))
    folder.write_scores(np.full((3, 4, 4), 0.3, np.float16))


def test_names_may_be_paths_below_the_data_folder(folder: Folder) -> None:
    """As `predict DATA` writes them. A short name that two images share is refused."""
    folder.unlabeled = [folder.image("unlabeled/0.png")]
    wrong = np.full((4, 4), 2, np.uint8)
    folder.save(folder.outside / "0.png", folder.truth)
    with pytest.raises(DataError, match=r"outside/0.png may belong to .*train/images/0.png or to"):
        outside_labeler(folder.outside, folder.pool)
    folder.save(folder.outside / "train/images/0.png", folder.truth)
    folder.save(folder.outside / "unlabeled/0.png", folder.truth)
    folder.save(folder.outside / "0.png", wrong)
    labeler, _ = outside_labeler(folder.outside, folder.pool)
    np.testing.assert_array_equal(next(labeler(folder.unlabeled)).label, folder.truth)
    folder.save(folder.outside / "unlabeled/0.bmp", wrong)
    with pytest.raises(DataError, match=r"may both belong to .*unlabeled/0.png.* Remove one"):
        outside_labeler(folder.outside, folder.pool)


def only_unlabeled(folder: Folder) -> None:
    folder.write(folder.truth, "45")


def only_labeled(folder: Folder) -> None:
    folder.write(folder.truth, "0123")


def no_file(folder: Folder) -> None:
    folder.outside.mkdir()
    (folder.outside / "notes.txt").touch()


def another_shape(folder: Folder) -> None:
    folder.write(np.zeros((4, 7), np.uint8))


def unknown_values(folder: Folder) -> None:
    folder.write(folder.truth + np.uint8(7))


def unreadable(folder: Folder) -> None:
    only_labeled(folder)
    folder.write(folder.truth, "4")
    (folder.outside / "2.png").write_bytes(b"no image")


def several_bad_masks(folder: Folder) -> None:
    folder.write(folder.truth, "01234")
    folder.save(folder.outside / "5.png", np.zeros((4, 7), np.uint8))
    (folder.outside / "4.png").write_bytes(b"no image")


def scores_of_another_shape(folder: Folder) -> None:
    folder.write_scores(np.zeros((3, 4, 7), np.float16))


def scores_of_other_classes(folder: Folder) -> None:
    folder.write_scores(np.full((3, 4, 4), 0.3, np.float16), classes=("a", "b", "c"))


def scores_above_one(folder: Folder) -> None:
    folder.write_scores(np.full((3, 4, 4), 3, np.float16))


def scores_without_names(folder: Folder) -> None:
    only_labeled(folder)
    for i in range(6):
        np.savez(folder.outside / f"{i}.npz", probabilities=np.zeros((3, 4, 4)))


def scores_as_bytes(folder: Folder) -> None:
    folder.write_scores(np.zeros((3, 4, 4), np.uint8))


def broken_scores(folder: Folder) -> None:
    folder.write_scores(np.zeros((3, 4, 4), np.float16))
    (folder.outside / "probabilities" / "0.npz").write_bytes(b"PK nothing")


REFUSED: dict[Callable[[Folder], None], str] = {
    the_data_folder: "data holds the training images themselves. Name a folder that holds",
    only_unlabeled: "has masks of unlabeled images only.*uncalibrated masks do harm. Add the masks "
    "of the labeled images, made in the same way, such as .*outside/0.png",
    only_labeled: "has masks of labeled images only. Add those of the unlabeled images, such as",
    no_file: "is neither a finished run nor a folder of masks: no file in it has the name of a",
    another_shape: r"outside/0.png is 7 x 4, and its image .*train/images/0.png 4 x 4",
    unknown_values: r"6 of 6 masks .*outside/0.png holds ids that belong to no class: 7, 8",
    unreadable: r"outside/2.png cannot be read as a mask",
    several_bad_masks: r"2 of 6 masks in .*outside cannot be used: .*4.png .*5.png is 7 x 4",
    scores_of_another_shape: r"0.npz is 7 x 4, and its image .*0.png 4 x 4. Export the scores",
    scores_of_other_classes: r"0.npz knows none of the classes soil, crop, weed: its classes are a",
    scores_above_one: r"0.npz holds scores that are not from 0 to 1",
    scores_without_names: r"0.npz cannot be read as scores .*It must hold `probabilities`",
    scores_as_bytes: r"0.npz holds `probabilities` of shape \(3, 4, 4\) and type uint8",
    broken_scores: r"0.npz cannot be read as scores",
    no_labeled_pixel: "no labeled pixel has a class of these scores, so semiseg cannot measure",
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
def test_masks_that_cannot_be_used_get_one_sentence(
    folder: Folder, spoil: Callable[[Folder], None]
) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=REFUSED[spoil]):
        outside_labeler(folder.outside, folder.pool)


def test_pictures_hold_class_indices_where_masks_are_labelme_files(folder: Folder) -> None:
    """As `predict` writes them."""
    shape = {"label": "weed", "shape_type": "rectangle", "points": [[0, 3], [4, 4]]}
    for i, sample in enumerate(folder.labeled):
        file = sample.image.with_suffix(".json")
        file.write_text(json.dumps({"shapes": [shape], "imageHeight": 4, "imageWidth": 4}))
        folder.labeled[i] = sample._replace(mask=file)
    shutil.rmtree(folder.root / "train/masks")
    classes = load_dataset(folder.root).classes
    assert classes.encoding == "labels"
    folder.write(folder.truth)
    labeler, _ = outside_labeler(folder.outside, folder.pool._replace(classes=classes))
    np.testing.assert_array_equal(next(labeler(folder.unlabeled)).label, folder.truth)


def test_large_masks_are_stored_as_the_pixel_cache_reduces_them(tmp_path: Path) -> None:
    """So that labels and masks of one file give the same crops."""
    folder = Folder(tmp_path)
    random = np.random.default_rng(0)
    mask = random.integers(0, 3, (37, 50), dtype=np.uint8)
    for i, sample in enumerate([*folder.labeled, *folder.unlabeled]):
        Image.new("RGB", (50, 37)).save(sample.image)
        folder.save(folder.outside / f"{i}.png", mask)
        if sample.mask is not None:
            folder.save(sample.mask, mask)
    labeler, _ = outside_labeler(folder.outside, folder.pool._replace(short_side=20))
    sample = folder.unlabeled[0]
    cache = PixelCache(20, CLASSES)
    image = cache.image(sample.image)
    masked = sample._replace(mask=folder.outside / "4.png")
    expected = cache.labels(masked, (image.shape[1], image.shape[0]))
    np.testing.assert_array_equal(next(labeler(folder.unlabeled)).label, expected)


TINY = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 2, "validations": 1},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "labels": "2", "encoder": "lcnet_035"},
}


@pytest.mark.slow
def test_what_predict_writes_is_a_teacher(
    tiny_run: Callable[[str], Path], tiny_folder: Path, tmp_path: Path
) -> None:
    """Scores of a model from outside of the training, whose names are paths."""
    masks = tmp_path / "masks"
    for part in ("train/images", "unlabeled"):
        semiseg.predict(tiny_run("css"), tiny_folder / part, out=masks / part, probabilities=True)
        (masks / "probabilities" / part).parent.mkdir(parents=True, exist_ok=True)
        (masks / part / "probabilities").rename(masks / "probabilities" / part)
    run = semiseg.train(tiny_folder, teacher=masks, out=tmp_path / "run", **TINY)
    manifest = json.loads((run.folder / "labels" / "labels.json").read_text())
    assert manifest["source"]["kind"] == "scores"
    split = make_split(load_dataset(tiny_folder), "2", 0)
    assert [entry["name"] for entry in manifest["images"]] == [s.name for s in split.unlabeled]
    assert manifest["source"]["details"]["images"] == 2


@pytest.mark.slow
def test_a_bad_teacher_leaves_an_existing_run_as_it_was(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.yaml").write_text("method: css")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("")
    for teacher, message in {
        "empty": "is neither a finished run nor a folder of masks: no file",
        "text": "is neither a finished run nor a folder of masks. Name one",
        "nowhere": "does not exist. Name a finished run",
    }.items():
        with pytest.raises((ConfigError, DataError), match=f"{teacher} {message}"):
            semiseg.train(tiny_folder, teacher=tmp_path / teacher, out=out, overwrite=True, **TINY)
    assert (out / "config.yaml").read_text() == "method: css"
    assert {path.name for path in out.iterdir()} == {"config.yaml"}
