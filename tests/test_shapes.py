"""Data come in many shapes: folders, lists, names, LabelMe's and CVAT's files, kinds of images."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import Reading
from semiseg.core.types import Arrangement
from semiseg.data.classes.class_inference import infer_classes
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.formats import bands
from semiseg.data.formats.codes import scan_mask
from semiseg.data.formats.images import image_size, read_image
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.reader import load_dataset, read_dataset, read_samples
from semiseg.data.splits import make_split

WIDTH, HEIGHT = 12, 8
BLACK, GREEN, RED, WHITE = (0, 0, 0), (0, 255, 0), (255, 0, 0), (255, 255, 255)


def photograph(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 80, 70)).save(path)
    return path


def mask(path: Path, foreground: int = 1) -> Path:
    """Foreground in the left half, 0 in the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[:, : WIDTH // 2] = foreground
    Image.fromarray(values).save(path)
    return path


def colored(path: Path, *colors: tuple[int, int, int]) -> Path:
    """Upright stripes of these colors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.repeat(np.array(colors, np.uint8), WIDTH // len(colors), axis=0)
    Image.fromarray(np.tile(stripes, (HEIGHT, 1, 1))).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def names(samples: Sequence[Any]) -> list[str]:
    return [s.name for s in samples]


def masks(data: Dataset, root: Path) -> dict[str, str | None]:
    """The masks of the training images by their names, below the folder."""
    return {s.name: s.mask and s.mask.relative_to(root).as_posix() for s in data.train}


def messages(root: Path, kind: str) -> list[str]:
    """The texts of the findings of this kind."""
    return [f.text for f in load_dataset(root).findings if f.kind == kind]


def files_of(data: Dataset, kind: str) -> tuple[str, ...]:
    """The files of the one finding of this kind."""
    (finding,) = [f for f in data.findings if f.kind == kind]
    return finding.files


def error_of(root: Path) -> Finding:
    """The one error of a folder, with which `load_dataset` refuses it."""
    (finding,) = read_dataset(root).errors()
    with pytest.raises(DataError, match=re.escape(finding.text)):
        load_dataset(root)
    return finding


# --- folders


def test_a_flat_folder_is_all_to_train_on(tmp_path: Path) -> None:
    for name in ("a", "seq/0001", "seq/0002"):
        photograph(tmp_path / "images" / f"{name}.jpg")
    for name in ("a", "seq/0002"):
        mask(tmp_path / "masks" / f"{name}.png")
    photograph(tmp_path / "unlabeled" / "deep" / "u.png")
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {
        "a": "masks/a.png",
        "seq/0001": None,
        "seq/0002": "masks/seq/0002.png",
        "unlabeled/deep/u": None,
    }
    assert data.val == data.test == ()
    split = make_split(data, "all", 0)
    assert len(split.val) == len(split.labeled) == 1


def test_a_flat_folder_may_have_a_val_beside_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "val"):
        photograph(folder / "images" / "a.jpg")
        mask(folder / "masks" / "a.png")
    data = load_dataset(tmp_path)
    assert [s.image for s in data.train] == [tmp_path / "images" / "a.jpg"]
    assert [s.image for s in data.val] == [tmp_path / "val" / "images" / "a.jpg"]


def test_flat_folders_beside_those_of_train_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "train"):
        photograph(folder / "images" / "a.jpg")
        mask(folder / "masks" / "a.png")
    finding = error_of(tmp_path)
    assert "(1) 1 image in images" in finding.message
    assert "(2) 1 image in train/images" in finding.message
    assert "--images train/images --masks train/masks" in finding.remedy


def test_splits_may_lie_within_images_and_masks(tmp_path: Path) -> None:
    for split in ("train", "val"):
        photograph(tmp_path / "images" / split / "x" / f"{split}.jpg")
        mask(tmp_path / "masks" / split / "x" / f"{split}.png")
    data = load_dataset(tmp_path)
    assert (names(data.train), names(data.val)) == (["x/train"], ["x/val"])


def test_the_content_of_a_folder_of_no_known_layout_is_reported(tmp_path: Path) -> None:
    photograph(tmp_path / "day 1" / "a.jpg")
    photograph(tmp_path / "b.jpg")
    with pytest.raises(DataError, match=r"holds b\.jpg, day 1/.*Expected.*DATA/images"):
        load_dataset(tmp_path)
    mask(tmp_path / "day 1" / "a_mask.png")
    assert names(load_dataset(tmp_path).train) == ["day 1/a"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_the_folder_of_val_has_several_names(tmp_path: Path, name: str) -> None:
    for split in ("train", name):
        photograph(tmp_path / split / "images" / f"{split}.jpg")
        mask(tmp_path / split / "masks" / f"{split}.png")
    assert names(load_dataset(tmp_path).val) == [name]


# --- images and masks side by side


@pytest.mark.parametrize(
    ("image", "beside"),
    [
        ("7.jpg", "7_mask.png"),
        ("7.png", "7_GT.tif"),
        ("7.JPEG", "7.png"),
        ("7.x.y.jpg", "7.x.y.png"),
    ],
)
@pytest.mark.parametrize("splits", [False, True])
def test_masks_lie_beside_their_images(
    tmp_path: Path, image: str, beside: str, splits: bool
) -> None:
    folders = [tmp_path / split for split in ("train", "valid")] if splits else [tmp_path]
    for folder in folders:
        photograph(folder / image)
        mask(folder / beside)
        photograph(folder / "more.jpg")
    photograph(tmp_path / "unlabeled" / "u.jpg")
    data = load_dataset(tmp_path)
    name = image.rpartition(".")[0]
    assert masks(data, tmp_path) == {
        name: f"train/{beside}" if splits else beside,
        "more": None,
        "unlabeled/u": None,
    }
    assert names(data.val) == [name] * splits
    (finding,) = [f for f in data.findings if f.kind == "layout"]
    assert f"({beside} belongs to {image})" in finding.message


def test_labelme_files_may_lie_with_the_images_in_the_data_folder(tmp_path: Path) -> None:
    for name in "abc":
        photograph(tmp_path / f"{name}.jpg")
    labelme(tmp_path / "a.json", box("leaf", 0, 0, 5, 7))
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {"a": "a.json", "b": None, "c": None}
    assert not [f for f in data.findings if f.kind == "layout"]


def test_masks_may_lie_below_a_folder_of_images(tmp_path: Path) -> None:
    for name in "ab":
        photograph(tmp_path / f"{name}.jpg")
    (tmp_path / "masks").mkdir()
    mask(tmp_path / "b.png")  # an empty folder of masks decides nothing
    assert masks(load_dataset(tmp_path), tmp_path) == {"a": None, "b": "b.png"}
    (tmp_path / "b.png").rename(tmp_path / "masks" / "b.png")
    assert masks(load_dataset(tmp_path), tmp_path) == {"a": None, "b": "masks/b.png"}


def test_a_mask_beside_images_without_its_own_is_no_photograph(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    for name in "ab":
        mask(tmp_path / "images" / f"{name}_mask.png")
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {"a": "images/a_mask.png"}
    assert files_of(data, "mask-without-image") == ("images/b_mask.png",)


@pytest.mark.parametrize("first", [True, False])
def test_several_masks_of_an_image_are_united(tmp_path: Path, first: bool) -> None:
    photograph(tmp_path / "images" / "a.png")
    endings = ["mask"] * first + ["mask_1", "mask_2"]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for i, ending in enumerate(endings):
        area = np.zeros((HEIGHT, WIDTH), np.uint8)
        area[i, : i + 2] = 1
        expected |= area
        Image.fromarray(area).save(tmp_path / "images" / f"a_{ending}.png")
    data = load_dataset(tmp_path)
    (sample,) = data.train
    assert sample.mask is not None
    assert not sample.mask.is_relative_to(tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(sample.mask)), expected)
    (finding,) = [f for f in data.findings if f.kind == "several-masks"]
    assert f"{len(endings)} masks of 1 image are united" in finding.text


def test_folders_that_are_not_read_are_named(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    mask(tmp_path / "a_mask.png")
    for folder in ("unlabeled", "day 1", "val", "test", ".hidden"):
        photograph(tmp_path / folder / "b.jpg")
    mask(tmp_path / "test" / "b_mask.png")
    (tmp_path / "notes").mkdir()
    data = load_dataset(tmp_path)
    assert names(data.train) == ["a", "unlabeled/b"]
    assert (names(data.val), names(data.test)) == ([], ["b"])
    assert files_of(data, "missing-mask") == ("val/b.jpg",)
    (message,) = messages(tmp_path, "not-read")
    assert message.startswith("1 image is not read (1 .jpg in day 1)")
    assert f"those without masks into {tmp_path / 'unlabeled'}" in message


def test_runs_and_suggestions_are_no_data(tmp_path: Path) -> None:
    photograph(tmp_path / "train" / "c.jpg")
    mask(tmp_path / "train" / "c_mask.png")
    photograph(tmp_path / "train" / "unlabeled" / "d.jpg")
    (tmp_path / "latest").symlink_to(tmp_path / "train")
    photograph(tmp_path / "runs" / "first" / "samples.png")
    text(tmp_path / "runs" / "first" / "config.yaml", "")
    (tmp_path / "runs" / "first" / "split").mkdir()
    photograph(tmp_path / "next" / "train" / "images" / "e.jpg")
    text(tmp_path / "next" / "suggested.csv", "")
    assert names(load_dataset(tmp_path).train) == ["c", "unlabeled/d"]
    assert not messages(tmp_path, "not-read")
    colored(tmp_path / "overlays" / "c.png", RED, GREEN)
    (finding,) = [f for f in load_dataset(tmp_path).findings if f.kind == "not-read"]
    assert (finding.severity, finding.files) == ("note", ("overlays/c.png",))


@pytest.mark.parametrize("images", ["images", "train/images", "images/train"])
def test_beside_folders_of_images_others_are_named(tmp_path: Path, images: str) -> None:
    photograph(tmp_path / images / "deep" / "a.jpg")
    mask(tmp_path / images.replace("images", "masks") / "deep" / "a.png")
    photograph(tmp_path / "unlabeled" / "u.jpg")
    assert not messages(tmp_path, "not-read")
    (tmp_path / "unlabeled").rename(tmp_path / "u")
    (tmp_path / "unlabeled").mkdir()
    (tmp_path / "u").rename(tmp_path / "unlabeled" / "images")
    expected = {"b.jpg", "b_mask.png", "more/c.jpg", "more/deep/d.jpg"}
    for name in ("b.jpg", "more/c.jpg", "more/deep/d.jpg", "unlabeled/e.jpg"):
        photograph(tmp_path / name)
    mask(tmp_path / "b_mask.png")
    if images == "images/train":
        photograph(tmp_path / "images" / "f.jpg")
        expected.add("images/f.jpg")
    data = load_dataset(tmp_path)
    assert names(data.train) == ["deep/a", "unlabeled/e", "unlabeled/u"]
    assert set(files_of(data, "not-read")) == expected
    (message,) = messages(tmp_path, "not-read")
    assert f"Put those to learn from into {tmp_path / images}, or those without" in message


def test_an_unreadable_folder_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    photograph(tmp_path / "raw" / "x.jpg")
    really = os.scandir

    def denied(path: Path) -> Any:
        if Path(path).name == "raw":
            raise PermissionError(13, "denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert names(load_dataset(tmp_path).train) == ["a"]
    (tmp_path / "masks").rename(tmp_path / "drawn")
    assert error_of(tmp_path).kind == "no-masks"


def test_numbers_in_the_photographs_own_names(tmp_path: Path) -> None:
    for name in ("plot_seg_1", "plot_seg_2", "tree", "tree_label_1"):
        photograph(tmp_path / f"{name}.jpg")
    for name in ("plot_seg_1", "plot_seg_2", "tree_mask", "tree_label_1_mask"):
        mask(tmp_path / f"{name}.png")
    assert masks(load_dataset(tmp_path), tmp_path) == {
        "plot_seg_1": "plot_seg_1.png",
        "plot_seg_2": "plot_seg_2.png",
        "tree": "tree_mask.png",
        "tree_label_1": "tree_label_1_mask.png",
    }


def test_masks_among_the_unlabeled_are_passed_over(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    for name in ("u.jpg", "v.jpg", "v_label.jpg"):  # a photograph of the label
        photograph(tmp_path / "unlabeled" / "day 1" / name)
    mask(tmp_path / "unlabeled" / "day 1" / "u_mask.png")
    data = load_dataset(tmp_path)
    expected = ["a", *(f"unlabeled/day 1/{name}" for name in ("u", "v", "v_label"))]
    assert names(data.train) == expected
    (message,) = messages(tmp_path, "layout")
    assert message == f"1 mask in {tmp_path / 'unlabeled'} is ignored (the first is u_mask.png)."


@pytest.mark.parametrize("folder", ["", "images"])
def test_shapes_without_their_image_are_reported(tmp_path: Path, folder: str) -> None:
    for name in "ab":
        photograph(tmp_path / folder / f"{name}.jpg")
    labelme(tmp_path / folder / "a.json", box("leaf", 0, 0, 5, 7))
    labelme(tmp_path / folder / "gone.json")
    text(tmp_path / folder / "settings.json", "{}")
    lonely = (Path(folder) / "gone.json").as_posix()
    assert files_of(load_dataset(tmp_path), "mask-without-image") == (lonely,)
    text(tmp_path / folder / "b.json", "")  # something cut it off
    finding = error_of(tmp_path)
    assert finding.kind == "unreadable-mask"
    assert finding.files == ((Path(folder) / "b.json").as_posix(),)


def test_two_folders_of_val_are_refused_with_both(tmp_path: Path) -> None:
    for name in ("train", "val", "valid"):
        photograph(tmp_path / name / "images" / f"{name}.jpg")
        mask(tmp_path / name / "masks" / f"{name}.png")
    finding = error_of(tmp_path)
    assert "val/images" in finding.message
    assert "valid/images" in finding.message
    (tmp_path / "val" / "images" / "val.jpg").unlink()
    assert names(load_dataset(tmp_path).val) == ["valid"]


def test_the_test_images_may_lie_otherwise_than_those_of_train(tmp_path: Path) -> None:
    photograph(tmp_path / "train" / "images" / "a.jpg")
    mask(tmp_path / "train" / "masks" / "a.png")
    photograph(tmp_path / "test" / "x.jpg")
    mask(tmp_path / "test" / "x_mask.png")
    data = load_dataset(tmp_path)
    (sample,) = data.test
    assert (sample.image.name, sample.mask and sample.mask.name) == ("x.jpg", "x_mask.png")


def test_photographs_with_endings_of_masks_beside_a_folder_of_masks(tmp_path: Path) -> None:
    for name in ("a", "a_label", "c_label", "face_mask", "x", "x_seg2"):
        photograph(tmp_path / "images" / f"{name}.jpg")
    for name in ("a", "face", "face_mask_label"):
        mask(tmp_path / "masks" / f"{name}.png")
    paths = masks(load_dataset(tmp_path), tmp_path)
    assert paths == {
        "a": "masks/a.png",
        "face_mask": "masks/face_mask_label.png",
        **dict.fromkeys(("a_label", "c_label", "x", "x_seg2")),
    }


def test_a_photograph_with_shapes_of_its_own_is_no_mask(tmp_path: Path) -> None:
    for name in ("face", "face_mask"):
        photograph(tmp_path / f"{name}.jpg")
        labelme(tmp_path / f"{name}.json", box("skin", 0, 0, 5, 7))
    paths = masks(load_dataset(tmp_path), tmp_path)
    assert paths == {"face": "face.json", "face_mask": "face_mask.json"}


def test_other_json_beside_images_is_no_mask(tmp_path: Path) -> None:
    for name in "ab":
        photograph(tmp_path / f"{name}.jpg")
        text(tmp_path / f"{name}.json", '{"camera": 7}')
    mask(tmp_path / "a_mask.png")
    assert masks(load_dataset(tmp_path), tmp_path) == {"a": "a_mask.png", "b": None}


def test_two_masks_beside_an_image_are_refused_with_both(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    mask(tmp_path / "a.png")
    mask(tmp_path / "a_mask.png")
    with pytest.raises(
        DataError, match=r"a\.png and .*a_mask\.png may both be the mask of .*a\.jpg"
    ):
        load_dataset(tmp_path)


def test_a_mask_of_a_missing_jpeg_is_no_photograph(tmp_path: Path) -> None:
    for name in "ac":
        photograph(tmp_path / f"{name}.jpg")
    for name in ("a", "b"):
        mask(tmp_path / f"{name}.png")
    photograph(tmp_path / "d.png")
    mask(tmp_path / "d_mask.png")
    paths = masks(load_dataset(tmp_path), tmp_path)
    assert paths == {"a": "a.png", "c": None, "d": "d_mask.png"}


def test_images_of_one_name_are_not_taken_for_masks_beside_a_folder_of_masks(
    tmp_path: Path,
) -> None:
    for name in ("a.jpg", "a.png"):
        photograph(tmp_path / "images" / name)
    mask(tmp_path / "masks" / "a.png")
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("duplicate-name", ("images/a.png",))


@pytest.mark.parametrize(
    ("images", "mask_name"),
    [
        ("", "a.png"),
        ("images", "a.png"),
        ("images", "a.json"),
        ("train/images", "a.png"),
        ("train/images", "a.json"),
    ],
)
def test_a_folder_that_may_be_that_of_the_masks_is_named(
    tmp_path: Path, images: str, mask_name: str
) -> None:
    photograph(tmp_path / images / "a.jpg")
    folder = (tmp_path / images if images == "" else (tmp_path / images).parent) / "drawn"
    shapes = box("leaf", 0, 0, 5, 7)
    mask(folder / mask_name) if mask_name.endswith("png") else labelme(folder / mask_name, shapes)
    (error,) = read_dataset(tmp_path).errors()
    drawn = folder.relative_to(tmp_path).as_posix()
    assert f"--images {images or '.'} --masks {drawn}" in error.text
    flags = Arrangement(images=Path(images or "."), masks=Path(drawn))
    (sample,) = load_dataset(tmp_path, flags=flags).train
    assert sample.mask == folder / mask_name


def test_images_to_score_without_a_mask_are_noted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in "abc":
            photograph(tmp_path / split / "images" / f"{name}.jpg")
        mask(tmp_path / split / "masks" / "a.png")
    assert names(read_samples(tmp_path, "val")) == ["a", "b", "c"]
    data = load_dataset(tmp_path)
    assert (names(data.train), names(data.val)) == (["a", "b", "c"], ["a"])
    assert files_of(data, "missing-mask") == ("val/images/b.jpg", "val/images/c.jpg")


# --- lists


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of images and masks in no order that could be guessed."""
    for name in ("x/a.jpg", "x/my b.jpg", "y/c,d.png", "e.jpg"):
        photograph(tmp_path / name)
    for name in ("m/1.png", "m/2 2.png"):
        mask(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x/a.jpg m/1.png", {"x/a": "m/1.png"}),
        ("x/a.jpg   m/1.png", {"x/a": "m/1.png"}),
        ("x/a.jpg,m/1.png", {"x/a": "m/1.png"}),
        ("x/a.jpg, m/2 2.png", {"x/a": "m/2 2.png"}),
        ("x/a.jpg\tm/1.png", {"x/a": "m/1.png"}),
        ("x/my b.jpg\tm/2 2.png", {"x/my b": "m/2 2.png"}),
        ("x/my b.jpg,m/2 2.png", {"x/my b": "m/2 2.png"}),
        ("y/c,d.png\tm/1.png", {"y/c,d": "m/1.png"}),
        ("x\\a.jpg m\\1.png", {"x/a": "m/1.png"}),
        ("./x/a.jpg m/1.png", {"x/a": "m/1.png"}),
        ("x/a.jpg m/1.png # the best", {"x/a": "m/1.png"}),
        ("\ufeff# mine\r\n\r\nx/a.jpg m/1.png\r\n", {"x/a": "m/1.png"}),
        ("x/a.jpg m/1.png\nx/a.jpg m/1.png", {"x/a": "m/1.png"}),
        ("x/a.jpg m/1.png\nx/my b.jpg", {"x/a": "m/1.png", "x/my b": None}),
        ("x/a.jpg,m/1.png\ny/c,d.png\ne.jpg,", {"e": None, "x/a": "m/1.png", "y/c,d": None}),
    ],
)
def test_lists_pair_images_with_masks(
    pictures: Path, line: str, expected: dict[str, str | None]
) -> None:
    text(pictures / "train.txt", line)
    assert masks(load_dataset(pictures), pictures) == expected


def test_lists_decide_what_is_read(pictures: Path) -> None:
    """Of other shapes that the folder has, too, nothing is taken."""
    text(pictures / "train.txt", "x/a.jpg m/1.png")
    text(pictures / "val.txt", "e.jpg m/1.png\nx/my b.jpg")
    for folder in ("train/images", "test/images", "images", "unlabeled"):
        photograph(pictures / folder / "z.jpg")
    data = load_dataset(pictures)
    assert [names(x) for x in (data.train, data.val, data.test)] == [["x/a"], ["e"], []]
    (message,) = [f.message for f in data.findings if f.kind == "layout"]
    assert message == f"1 image of {pictures / 'unlabeled'} is used only where train.txt lists them"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("e.jpg\nx/b.jpg m/1.png", r"train\.txt, line 2: there is no file .*x/b\.jpg"),
        ("# one\n\nx/a.jpg m/3.png", r"train\.txt, line 3: there is no file .*m/3\.png"),
        ("x/b", r"train\.txt, line 1: there is no file .*x/b\..*remove the list"),
        ("a\nz/a", r"train\.txt, line 2: there is no file .*z/a\."),
        ("y/c,d.png m/1.png", r"train\.txt, line 1: there is no file .*y/c\."),
        ("x/a.jpg m/1.png 0.5", r"train\.txt, line 1 has 3 columns"),
        ("x/a.jpg " + "m" * 5000, r"line 1: there is no file"),
        ("x/a.jpg m/1.png\nx/a.jpg", r"line 2: .*a\.jpg is already named in line 1"),
        ("../{root}/e.jpg", r"line 1: .*lies outside of"),
        ("# nothing\n", r"train\.txt names no image"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(pictures: Path, lines: str, message: str) -> None:
    text(pictures / "train.txt", lines.replace("{root}", pictures.name))
    with pytest.raises(DataError, match=message):
        load_dataset(pictures)


def test_a_list_that_is_no_text_is_refused(pictures: Path) -> None:
    (pictures / "train.txt").write_bytes(b"\xff\x00\x80")
    with pytest.raises(DataError, match=r"train\.txt is not a text file"):
        load_dataset(pictures)


def test_lists_without_one_to_train_on_are_refused(pictures: Path) -> None:
    text(pictures / "val.txt", "e.jpg m/1.png")
    photograph(pictures / "train" / "images" / "z.jpg")
    with pytest.raises(DataError, match=r"holds val\.txt, but no train\.txt.*remove"):
        load_dataset(pictures)


def test_an_image_in_two_lists_is_refused(pictures: Path) -> None:
    text(pictures / "train.txt", "x/a.jpg m/1.png\ne.jpg")
    text(pictures / "val.txt", "e.jpg m/1.png")
    finding = error_of(pictures)
    assert (finding.kind, finding.files) == ("shared-image", ("e.jpg",))
    assert finding.details == (" in train and val",)


# --- masks with an ending


@pytest.mark.parametrize("ending", ["_mask", "_MASK", "_masks", "_label", "_Labels", "_gt", "_seg"])
def test_a_mask_may_have_an_ending(tmp_path: Path, ending: str) -> None:
    photograph(tmp_path / "train" / "images" / "seq" / "a.jpg")
    mask(tmp_path / "train" / "masks" / "seq" / f"a{ending}.png")
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {"seq/a": f"train/masks/seq/a{ending}.png"}


def test_the_very_name_comes_first(tmp_path: Path) -> None:
    for name in ("a", "b", "b_mask", "c_gt"):
        photograph(tmp_path / "images" / f"{name}.jpg")
    for name in ("a", "a_mask", "b_mask", "c_gt_seg", "d_mask"):
        mask(tmp_path / "masks" / f"{name}.png")
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {
        "a": "masks/a.png",
        "b": None,  # the mask is that of b_mask
        "b_mask": "masks/b_mask.png",
        "c_gt": "masks/c_gt_seg.png",
    }
    lonely = ("masks/a_mask.png", "masks/d_mask.png")
    assert files_of(data, "mask-without-image") == lonely


def test_two_masks_for_one_image_are_refused_with_both(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a_mask.png")
    mask(tmp_path / "masks" / "a_gt.png")
    with pytest.raises(DataError, match=r"a_gt\.png and .*a_mask\.png may both .*a\.jpg"):
        load_dataset(tmp_path)


# --- LabelMe

Shape = dict[str, Any]


def shape(
    label: str, points: list[list[float]], kind: str | None = "polygon", **more: Any
) -> Shape:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, **more}


def box(label: str, x0: int, y0: int, x1: int, y1: int) -> Shape:
    return shape(label, [[x0, y0], [x1, y1]], "rectangle")


def labelme(path: Path, *shapes: Shape, **more: Any) -> Path:
    """A file as LabelMe writes it."""
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{path.stem}.jpg"}
    size = {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    return text(path, json.dumps({**content, **size, **more}))


def rasterized(path: Path, *shapes: Shape) -> tuple[Classes, NDArray[np.uint8]]:
    """The classes and the indices of a LabelMe file with these shapes."""
    labelme(path, *shapes)
    classes, _ = infer_classes([scan_mask(path)])
    return classes, np.asarray(read_mask(path, classes))


@pytest.mark.parametrize("folder", ["masks", "images"])
def test_labelme_files_are_masks(tmp_path: Path, folder: str) -> None:
    for name in ("a", "seq/b", "c"):
        photograph(tmp_path / "train" / "images" / f"{name}.jpg")
    labelme(tmp_path / "train" / folder / "a.json", box("weed", 0, 0, 3, 7))
    labelme(tmp_path / "train" / folder / "seq" / "b.json", box("crop", 2, 2, 3, 3))
    text(tmp_path / "train" / "images" / "export.json", "[]")  # of no image, and none of ours
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {
        "a": f"train/{folder}/a.json",
        "c": None,
        "seq/b": f"train/{folder}/seq/b.json",
    }
    assert data.classes.names == ("_background_", "crop", "weed")
    pixels = {path.stem: counts for path, counts in data.pixels.items()}
    assert pixels == {"a": {0: 64, 2: 32}, "b": {0: 92, 1: 4}}
    assert "LabelMe's shapes: _background_, crop, weed" in data.notes[0]


def test_labelme_shapes_lie_where_they_were_drawn(tmp_path: Path) -> None:
    classes, values = rasterized(
        tmp_path / "a.json",
        shape("p", [[0, 0], [3, 0], [3, 3], [0, 3]]),
        box("r", 11, 7, 9, 4),  # drawn from below
        shape("c", [[6.0, 3.0], [6.0, 5.0]], "circle"),
        shape("o", [[0, 5], [2, 5], [2, 7], [0, 7]], None),  # of an old version
    )
    assert classes.names == ("_background_", "c", "o", "p", "r")
    c, o, p, r = (values == i for i in range(1, 5))
    assert p.sum() == 16
    assert p[:4, :4].all()
    assert r.sum() == 12
    assert r[4:, 9:].all()
    assert o.sum() == 9
    assert o[5:, :3].all()
    assert c[3, 4:9].all()
    assert c[1:6, 6].all()
    assert not c[1, 4]
    assert 13 <= c.sum() <= 21  # of 12.6, with its outline


def test_later_labelme_shapes_lie_above(tmp_path: Path) -> None:
    under, over = box("field", 0, 0, 11, 7), box("stone", 2, 2, 3, 3)
    _, values = rasterized(tmp_path / "a.json", under, over)
    assert (values == 2).sum() == 4
    _, values = rasterized(tmp_path / "b.json", over, under, box("_background_", 0, 0, 0, 7))
    assert (values == 2).sum() == 0
    assert (values[:, 0] == 0).all()


def test_labelme_ignores_the_ignored_labels(tmp_path: Path) -> None:
    ignored = box("__ignore__", 4, 0, 5, 7)
    classes, values = rasterized(tmp_path / "a.json", box("crop", 0, 0, 3, 7), ignored)
    assert classes.names == ("_background_", "crop")
    assert (values[:, 4:6] == 255).all()
    assert (values == 255).sum() == 16


def test_labelme_masks_of_pixels(tmp_path: Path) -> None:
    pixels = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    corners = [[10.0, 3.0], [12.0, 4.0]]  # reaches out of the image
    path = tmp_path / "a.json"
    _, values = rasterized(path, shape("crop", corners, "mask", mask=encoded))
    assert np.argwhere(values == 1).tolist() == [[3, 10], [4, 11]]
    labelme(path, shape("crop", corners, "mask", mask="!"))
    with pytest.raises(DataError, match=r"a\.json, shape 1 \(crop\) is a mask whose pixels cannot"):
        scan_mask(path)


def test_a_labelme_file_without_shapes_is_all_background(tmp_path: Path) -> None:
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.jpg")
    labelme(tmp_path / "images" / "a.json", box("crop", 0, 0, 3, 7))
    empty = labelme(tmp_path / "images" / "b.json")
    assert load_dataset(tmp_path).pixels[empty] == {0: WIDTH * HEIGHT}


def test_labels_mean_the_same_class_in_every_file_and_image_shows_it(tmp_path: Path) -> None:
    """Though one file knows labels that another does not."""
    first = labelme(tmp_path / "a.json", box("weed", 0, 0, 0, 0))
    second = labelme(tmp_path / "b.json", box("crop", 0, 0, 0, 0), box("weed", 1, 1, 1, 1))
    classes, _ = infer_classes([scan_mask(first), scan_mask(second)])
    assert classes == Classes.from_dict(json.loads(json.dumps(classes.to_dict())))
    assert np.asarray(read_mask(first, classes))[0, 0] == 2
    values = np.asarray(read_mask(second, classes))
    assert (values[0, 0], values[1, 1]) == (1, 2)
    image = classes.to_image(values)
    assert np.array_equal(np.asarray(image), values)
    assert image.convert("RGB").getpixel((1, 1)) == classes.colors[2]
    assert len(set(classes.colors)) == 3


def annotated(root: Path, yaml: str, *shapes: Shape) -> Dataset:
    """A folder with one LabelMe file and a classes.yaml, opened."""
    photograph(root / "images" / "a.jpg")
    labelme(root / "masks" / "a.json", *shapes)
    text(root / "classes.yaml", yaml)
    return load_dataset(root)


@pytest.mark.parametrize(
    ("yaml", "expected", "counts"),
    [
        ("classes: [weed, _background_, crop]", "weed _background_ crop", {0: 8, 1: 72, 2: 16}),
        ("classes: [weed, crop]", "_background_ weed crop", {0: 72, 1: 8, 2: 16}),
        ("classes: [background, weed, crop]", "background weed crop", {0: 72, 1: 8, 2: 16}),
        ("classes: [crop]\nignore: weed", "_background_ crop", {0: 72, 1: 16}),
        ("classes: [weed, crop]\nignore: [_background_]", "weed crop", {0: 8, 1: 16}),
        ("classes: [weed, crop, tree]", "_background_ weed crop tree", {0: 72, 1: 8, 2: 16}),
    ],
)
def test_names_select_and_order_labels(
    tmp_path: Path, yaml: str, expected: str, counts: dict[int, int]
) -> None:
    data = annotated(tmp_path, yaml, box("crop", 0, 0, 1, 7), box("weed", 4, 0, 4, 7))
    assert data.classes.names == tuple(expected.split())
    assert list(data.pixels.values()) == [counts]


def test_background_is_a_label_where_somebody_drew_it(tmp_path: Path) -> None:
    data = annotated(tmp_path, "classes: [background, x]", box("background", 0, 0, 1, 7))
    assert data.classes.names == ("_background_", "background", "x")
    assert list(data.pixels.values()) == [{0: 80, 1: 16}]


def test_a_label_of_no_class_is_refused_by_its_name(tmp_path: Path) -> None:
    message = (
        r"a\.json holds labels that belong to no class: weed\. Known: _background_, crop.*ignore"
    )
    shapes = box("crop", 0, 0, 1, 7), box("weed", 4, 0, 4, 7)
    with pytest.raises(DataError, match=r"a\.json \(weed\).*ignore"):
        annotated(tmp_path, "classes: [crop]", *shapes)
    assert error_of(tmp_path).kind == "unknown-value"
    only, _ = infer_classes([scan_mask(labelme(tmp_path / "c.json", shapes[0]))])
    with pytest.raises(DataError, match=message):
        read_mask(tmp_path / "masks" / "a.json", only)


@pytest.mark.parametrize("where", ["masks/b.json", "images/b.json"])
def test_shapes_beside_pixels_are_refused_with_both_files(tmp_path: Path, where: str) -> None:
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.jpg")
    mask(tmp_path / "masks" / "a.png")
    labelme(tmp_path / where, box("crop", 0, 0, 1, 7))
    with pytest.raises(DataError, match=r"LabelMe's shapes .*b\.json, 1 in all.*pixels .*a\.png"):
        load_dataset(tmp_path)


def test_shapes_and_pixels_of_one_image_are_refused_with_both_files(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    labelme(tmp_path / "images" / "a.json", box("crop", 0, 0, 1, 7))
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("duplicate-name", ("images/a.json",))
    assert finding.details == (" beside masks/a.png",)


def test_other_json_beside_an_image_does_no_harm(tmp_path: Path) -> None:
    """A camera's notes, for instance, where masks are images."""
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    text(tmp_path / "images" / "a.json", '{"exposure": 0.01}')
    assert masks(load_dataset(tmp_path), tmp_path) == {"a": "masks/a.png"}


def test_shapes_do_not_fit_classes_of_pixels_nor_the_other_way(tmp_path: Path) -> None:
    path = labelme(tmp_path / "a.json", box("crop", 0, 0, 1, 7))
    shapes, _ = infer_classes([scan_mask(path)])
    pixels, _ = infer_classes([scan_mask(mask(tmp_path / "b.png"))])
    with pytest.raises(DataError, match=r"a\.json holds LabelMe's shapes.*set hold ids"):
        read_mask(path, pixels)
    with pytest.raises(DataError, match=r"b\.png holds ids.*set hold LabelMe's shapes"):
        read_mask(tmp_path / "b.png", shapes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"shapes": [', r"Expecting value: line 1 column 13"),
        ("\ufeff", r"Expecting value: line 1 column 1"),
        ("[" * 100_000, r"nested too deeply"),
        ("[]", r"is no LabelMe file"),
        ('{"annotations": []}', r"no list `shapes`"),
        ('{"shapes": [], "imageWidth": null, "imageHeight": 8}', r"gives None x 8"),
        ('{"shapes": [], "imageWidth": 1000000, "imageHeight": 1000000}', r"size in pixels"),
    ],
)
def test_a_file_that_is_not_labelmes_is_refused_by_name(
    tmp_path: Path, content: str, message: str
) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    text(tmp_path / "images" / "a.json", content)
    with pytest.raises(DataError, match=rf"a\.json.*{message}"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (shape("x", [[0, 0], [5, 5]], "cuboid"), r"\(x\) is a cuboid, which covers no area"),
        (shape("x", [[0, 0], [5, 5]]), r"is a polygon with 2 points; it needs 3 or more"),
        (shape("x", [[0, 0]], "circle"), r"is a circle with 1 points; it needs 2"),
        (shape("x", [[0, 0], [5, 5], [1, 2]], "circle"), r"is a circle with 3 points"),
        (shape("x", [[0, 0], ["a", 5], [1, 2]]), r"not a list of pairs of numbers"),
        (shape("x", [[0, 0], [float("nan"), 5], [1, 2]]), r"not a list of pairs of numbers"),
        (shape("x", [[0, 0], [1e30, 5], [1, 2]]), r"not a list of pairs of numbers"),
        (shape(" ", [[0, 0], [1, 5], [1, 2]]), r"shape 2 has no label"),
    ],
)
def test_a_wrong_shape_is_refused_by_its_number(tmp_path: Path, wrong: Shape, message: str) -> None:
    path = labelme(tmp_path / "a.json", box("crop", 0, 0, 1, 7), wrong)
    with pytest.raises(DataError, match=rf"a\.json, shape 2.*{message}|a\.json, {message}"):
        scan_mask(path)


def test_points_and_lines_are_skipped_and_counted_and_are_no_classes(tmp_path: Path) -> None:
    for name in "abcd":
        photograph(tmp_path / f"{name}.jpg")
    odd = [shape("row", [[0, 0], [5, 5], [7, 7]], "linestrip"), shape("stem", [[1, 1]], "point")]
    labelme(tmp_path / "a.json", box("crop", 0, 0, 1, 7), *odd, shape("row", [[0, 0]], "point"))
    labelme(tmp_path / "b.json", box("crop", 0, 0, 1, 7))
    labelme(tmp_path / "c.json")  # nothing is there: background
    data = load_dataset(tmp_path)
    assert data.classes.names == ("_background_", "crop")
    skipped = [finding for finding in data.findings if finding.kind == "skipped-shape"]
    assert [(f.severity, f.files, f.details) for f in skipped] == [
        ("warning", ("a.json",), (" (1 linestrip, 2 points)",))
    ]
    assert np.array_equal(
        scan_mask(tmp_path / "a.json").counts, scan_mask(tmp_path / "b.json").counts
    )
    labelme(tmp_path / "d.json", *odd)  # somebody marked plants, and no pixels
    with pytest.raises(DataError, match=r"d\.json.*1 linestrip, 1 point and no shape with an area"):
        load_dataset(tmp_path)


def test_a_labelme_file_of_another_image_is_refused_with_both_sizes(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg", (20, 10))
    labelme(tmp_path / "images" / "a.json", box("crop", 0, 0, 1, 7))
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("size", ("images/a.json",))
    assert finding.details == (" is 12 x 8, its image 20 x 10",)


# --- CVAT and VOC

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nweed:255,0,0::\ncrop:0,255,0::\n"


def voc(root: Path, *stems: str, images: str = "JPEGImages") -> Path:
    """An export of CVAT's, each mask in stripes of background, crop and weed."""
    for stem in stems:
        photograph(root / images / f"{stem}.jpg")
        colored(root / "SegmentationClass" / f"{stem}.png", BLACK, GREEN, RED)
        colored(root / "SegmentationObject" / f"{stem}.png", BLACK, WHITE)
    text(root / "labelmap.txt", LABELMAP)
    return root


def listed(root: Path, **lists: str) -> None:
    for name, lines in lists.items():
        text(root / "ImageSets" / "Segmentation" / f"{name}.txt", lines)


@pytest.mark.parametrize("images", ["JPEGImages", "images"])
def test_a_cvat_export_is_read(tmp_path: Path, images: str) -> None:
    voc(tmp_path, "a", "sub/my b", images=images)
    listed(tmp_path, default="a\nsub/my b\n")
    data = load_dataset(tmp_path)
    assert masks(data, tmp_path) == {
        "a": "SegmentationClass/a.png",
        "sub/my b": "SegmentationClass/sub/my b.png",
    }
    assert data.classes.names == ("background", "weed", "crop")
    assert data.classes.colors == (BLACK, RED, GREEN)
    values = np.asarray(read_mask(tmp_path / "SegmentationClass" / "a.png", data.classes))
    assert values[0, ::4].tolist() == [0, 2, 1]
    assert data.notes == (f"3 classes: named in {tmp_path / 'labelmap.txt'}",)


def test_voc_lists_give_the_splits(tmp_path: Path) -> None:
    voc(tmp_path, "a", "b", "c", "d")
    for name in ("u", "out1", "out2"):
        photograph(tmp_path / "JPEGImages" / f"{name}.png")
    photograph(tmp_path / "unlabeled" / "x.jpg")
    listed(tmp_path, train="a\r\nu\r\n", Validation="b", test="c", trainval="a\nb\nd", default="d")
    data = load_dataset(tmp_path)
    assert [names(x) for x in (data.train, data.val, data.test)] == [
        ["a", "d", "u", "unlabeled/x"],
        ["b"],
        ["c"],
    ]
    assert masks(data, tmp_path)["u"] is None
    assert any("2 images of" in n and "are in no list" in n for n in data.notes)


def test_without_voc_lists_all_is_to_train_on(tmp_path: Path) -> None:
    data = load_dataset(voc(tmp_path, "a", "b"))
    assert (names(data.train), data.val, data.test) == (["a", "b"], (), ())


def test_a_voc_list_that_names_no_image_is_refused_with_its_line(tmp_path: Path) -> None:
    voc(tmp_path, "a")
    listed(tmp_path, train="a\nb\n")
    with pytest.raises(DataError, match=r"train\.txt, line 2: there is no image b"):
        load_dataset(tmp_path)


def test_an_export_without_images_is_refused_with_the_way_to_get_them(tmp_path: Path) -> None:
    colored(tmp_path / "SegmentationClass" / "a.png", BLACK, RED)
    with pytest.raises(DataError, match=r"no folder .*JPEGImages.*Save images"):
        load_dataset(tmp_path)


def test_masks_of_ids_count_the_lines_of_a_labelmap(tmp_path: Path) -> None:
    """As Datumaro exports them without colors; VOC's own are palette images of the same ids."""
    voc(tmp_path, "a")
    path = mask(tmp_path / "SegmentationClass" / "a.png", foreground=2)
    assert load_dataset(tmp_path).pixels[path] == {0: 48, 2: 48}
    with Image.open(path) as image:
        image.putpalette([*BLACK, *RED, *GREEN])
        image.save(path)
    assert load_dataset(tmp_path).pixels[path] == {0: 48, 2: 48}


def test_a_palette_that_contradicts_a_labelmap_is_refused(tmp_path: Path) -> None:
    voc(tmp_path, "a")
    path = mask(tmp_path / "SegmentationClass" / "a.png")
    with Image.open(path) as image:
        image.putpalette([*BLACK, *GREEN, *RED])
        image.save(path)
    with pytest.raises(DataError, match=r"a\.png shows id 1 in the color of crop.*number 2"):
        load_dataset(tmp_path)


def test_the_outlines_of_voc_are_ignored(tmp_path: Path) -> None:
    voc(tmp_path, "a")
    path = colored(tmp_path / "SegmentationClass" / "a.png", BLACK, (224, 224, 192), RED)
    data = load_dataset(tmp_path)
    assert data.pixels[path] == {0: 32, 1: 32}
    assert np.asarray(read_mask(path, data.classes))[0, 4] == 255
    text(tmp_path / "labelmap.txt", LABELMAP + "sand:224,224,192::\n")
    assert load_dataset(tmp_path).pixels[path] == {0: 32, 1: 32, 3: 32}
    text(tmp_path / "labelmap.txt", LABELMAP.replace("crop:", "ignored:"))
    colored(path, BLACK, GREEN, RED)
    assert load_dataset(tmp_path).classes.names == ("background", "weed")
    assert load_dataset(tmp_path).pixels[path] == {0: 32, 1: 32}


@pytest.mark.parametrize("name", ["labelmap.txt", "classes.yaml"])
def test_black_and_white_are_colors_where_a_file_says_so(tmp_path: Path, name: str) -> None:
    """Else white would be id 255, which is ignored."""
    photograph(tmp_path / "images" / "a.jpg")
    path = colored(tmp_path / "masks" / "a.png", BLACK, WHITE, (128, 128, 128))
    content = {
        "labelmap.txt": "background:0,0,0::\ncrop:255,255,255::\nignored:128,128,128::",
        "classes.yaml": 'classes: [{name: background, color: "#000000"}, {name: crop, '
        'color: "#ffffff"}]\nignore: [128, 128, 128]',
    }
    text(tmp_path / name, content[name])
    data = load_dataset(tmp_path)
    assert data.pixels[path] == {0: 32, 1: 32}
    assert np.asarray(read_mask(path, data.classes))[0, ::4].tolist() == [0, 1, 255]


def test_gray_ids_saved_as_rgb_stay_ids(tmp_path: Path) -> None:
    """The colors that a file gives are then for display."""
    photograph(tmp_path / "images" / "a.jpg")
    path = colored(tmp_path / "masks" / "a.png", BLACK, (1, 1, 1))
    text(tmp_path / "labelmap.txt", LABELMAP)
    data = load_dataset(tmp_path)
    assert data.classes.encoding == "ids"
    assert data.pixels[path] == {0: 48, 1: 48}


def test_roboflow_names_its_classes_in_a_table(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        photograph(tmp_path / split / "7_jpg.rf.0a.jpg")
        mask(tmp_path / split / "7_jpg.rf.0a_mask.png", 2)
        text(tmp_path / split / "_classes.csv", "Pixel Value, Class\r\n0, soil\r\n2, weed\r\n\r\n")
    data = load_dataset(tmp_path)
    assert (data.classes.names, data.classes.codes) == (("soil", "weed"), (0, 2))
    assert names(data.train) == names(data.val) == ["7_jpg.rf.0a"]
    assert data.inferred == f"named in {tmp_path / 'train' / '_classes.csv'}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("Pixel Value, Class\n0, a\n1\n", r"line 3: '1' is not"),
        ("Pixel Value, Class\na, 0\n", r"line 2: 'a,0' is not an id and a name"),
        ("Pixel Value, Class\n", r"names 0 classes"),
        ("Pixel Value, Class\n0, a\n0, b\n", r"share an id"),
    ],
)
def test_a_wrong_table_of_classes_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    photograph(tmp_path / "a.jpg")
    mask(tmp_path / "a_mask.png")
    text(tmp_path / "_classes.csv", rows)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("filename, weed\n7.jpg, 1\n", ("0", "1")),  # labels of whole images
        ("\0", ("0", "1")),
        ("0, soil\n1, weed,\n", ("soil", "weed")),
    ],
)
def test_tables_with_and_without_a_title(
    tmp_path: Path, rows: str, expected: tuple[str, ...]
) -> None:
    photograph(tmp_path / "a.jpg")
    mask(tmp_path / "a_mask.png")
    text(tmp_path / "_classes.csv", rows)
    assert load_dataset(tmp_path).classes.names == expected


def test_classes_yaml_comes_before_a_labelmap(tmp_path: Path) -> None:
    voc(tmp_path, "a")
    listing = [
        f"{{name: {n}, color: {list(c)}}}" for n, c in zip("xyz", (GREEN, BLACK, RED), strict=True)
    ]
    text(tmp_path / "classes.yaml", f"classes: [{', '.join(listing)}]")
    data = load_dataset(tmp_path)
    assert data.classes.names == ("x", "y", "z")
    assert data.inferred.endswith("labelmap.txt is ignored")
    other = text(tmp_path / "other.txt", LABELMAP)
    assert load_dataset(tmp_path, other).classes.names == ("background", "weed", "crop")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("background:0,0,0::\nweed\n", r"line 2: 'weed' is not of the form"),
        ("background:0,0,0::\nweed:255,0::\n", r"line 2: .*not of the form"),
        ("background:0,0,0::\nweed:255,0,256::\n", r"\[255, 0, 256\] is neither"),
        ("background:0,0,0::\nweed:::\ncrop:0,255,0::", r"gives no `color:` for class weed"),
        ("background:0,0,0::\n", r"names 1 classes"),
        ("background:0,0,0::\nweed:255,0,0::", r"belong to no class.*#00ff00"),
    ],
)
def test_a_wrong_labelmap_is_refused_by_what_is_wrong(
    tmp_path: Path, content: str, message: str
) -> None:
    voc(tmp_path, "a")
    text(tmp_path / "labelmap.txt", content)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_two_colors_of_one_name_are_one_class(tmp_path: Path) -> None:
    voc(tmp_path, "a")
    path = colored(tmp_path / "SegmentationClass" / "a.png", BLACK, GREEN, RED)
    text(tmp_path / "labelmap.txt", LABELMAP.replace("crop:", "weed:"))
    data = load_dataset(tmp_path)
    assert data.classes.names == ("background", "weed")
    assert data.pixels[path] == {0: 32, 1: 64}


def test_a_labelmap_names_the_labels_of_labelme(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    labelme(tmp_path / "images" / "a.json", box("crop", 0, 0, 1, 7))
    text(tmp_path / "labelmap.txt", LABELMAP)
    data = load_dataset(tmp_path)
    assert data.classes.names == ("background", "weed", "crop")
    assert data.classes.colors == (BLACK, RED, GREEN)
    assert list(data.pixels.values()) == [{0: 80, 2: 16}]


# --- images

RAMP = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)


def pixels(path: Path, **more: Any) -> NDArray[np.uint8]:
    image = read_image(path, **more)
    assert image.mode == "RGB"
    assert image.size == image_size(path)
    return np.asarray(image)


def tiff(path: Path, values: NDArray[Any], photometric: int = 1, extra: Sequence[int] = ()) -> Path:
    """A TIFF of `(H, W, C)`, written by hand, since Pillow writes none of other channels."""
    height, width, count = values.shape
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    shorts = {258: [values.itemsize * 8] * count, 259: [1], 262: [photometric], 277: [count]}
    shorts |= {339: [form] * count} | ({338: list(extra)} if extra else {})
    longs = {256: [width], 257: [height], 273: [0], 278: [height], 279: [values.nbytes]}
    tags = sorted(
        [(t, "H", v) for t, v in shorts.items()] + [(t, "I", v) for t, v in longs.items()]
    )
    end = 8 + 2 + 12 * len(tags) + 4
    long = {t: struct.pack(f"<{len(v)}{k}", *v) for t, k, v in tags}
    spilled = {t: raw for t, raw in long.items() if len(raw) > 4}
    *starts, pixels_at = np.cumsum([end, *map(len, spilled.values())]).tolist()
    offsets = dict(zip(spilled, starts, strict=True))
    long[273] = struct.pack("<I", pixels_at)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, kind, v in tags:
        raw = struct.pack("<I", offsets[tag]) if tag in spilled else long[tag].ljust(4, b"\0")
        head += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(v)) + raw
    path.write_bytes(head + bytes(4) + b"".join(spilled.values()) + values.tobytes())
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *[("jpg", mode) for mode in ("L", "RGB", "CMYK")],
        *[("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        *[("bmp", mode) for mode in ("1", "L", "P", "RGB")],
        *[("tif", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")],
        ("webp", "RGB"),
    ],
)
def test_images_of_every_kind_are_read(tmp_path: Path, suffix: str, mode: str) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT), WHITE).convert(mode)
    path = tmp_path / f"a.{suffix}"
    image.save(path, quality=100)
    with Image.open(path) as opened:
        assert opened.mode == mode
    assert pixels(path).shape == (HEIGHT, WIDTH, 3)
    assert pixels(path).min() > 250


def test_transparency_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (WIDTH, HEIGHT), (9, 8, 7, 0)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_the_range_of_the_type(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RAMP.astype(np.uint16) * 256 + 17).save(path)
    assert np.array_equal(pixels(path)[..., 1], RAMP)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.float32])
def test_a_range_says_what_is_black_and_white(tmp_path: Path, dtype: type) -> None:
    values = np.array([[0, 100, 200, 355], [356, 500, 1000, 3]], dtype)[..., None]
    path = tiff(tmp_path / "a.tif", values)
    image = pixels(path, reading=Reading((100, 355)))[..., 0]
    assert image.tolist() == [[0, 0, 100, 255], [255, 255, 255, 0]]


def test_a_range_does_not_change_images_of_eight_bits(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    assert np.array_equal(pixels(tmp_path / "a.png", reading=Reading((0, 9)))[..., 0], RAMP)


def test_what_is_no_number_is_black(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)[..., None]
    path = tiff(tmp_path / "a.tif", values)
    assert pixels(path, reading=Reading((0, 1)))[0, :, 0].tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_without_a_range_black_and_white_are_not_guessed(tmp_path: Path, dtype: type) -> None:
    path = tiff(tmp_path / "a.tif", np.array([[0, 70000]], dtype)[..., None])
    with pytest.raises(DataError, match=r"a\.tif holds values from 0.* to 70000.*--range"):
        read_image(path)


@pytest.mark.parametrize("value_range", [(3, 3), (4, 3), (0, float("nan"))])
def test_an_empty_range_is_refused(tmp_path: Path, value_range: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        read_image(photograph(tmp_path / "a.png"), reading=Reading(value_range))


def test_colors_of_sixteen_bits_are_read_by_a_range_like_gray_ones(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH, 3), (0, 2600, 5000), np.uint16)
    path = tiff(tmp_path / "a.tif", values, photometric=2)
    assert pixels(path)[0, 0].tolist() == [0, 10, 19]
    assert pixels(path, reading=Reading((0, 5000)))[0, 0].tolist() == [0, 133, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_gray_images_are_turned_upright(tmp_path: Path, suffix: str, dtype: type) -> None:
    """Pillow 13.0 scrambles such a TIFF when it opens it by its name."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{suffix}"
    scale = 256 if dtype is np.uint16 else 1
    Image.fromarray(RAMP.astype(dtype) * scale).save(path, exif=exif)
    assert np.array_equal(pixels(path)[..., 0], np.rot90(RAMP, -1))


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), (level,) * 3) for level in (10, 90)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert set(pixels(path).flat) == {10}


def test_a_stack_of_pages_is_refused_and_an_overview_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    page = Image.fromarray(RAMP)
    page.save(path, save_all=True, append_images=[page.resize((WIDTH // 2, HEIGHT // 2))])
    assert np.array_equal(pixels(path)[..., 0], RAMP)
    page.save(path, save_all=True, append_images=[page])
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=r"a\.tif is a stack of 2 pages.*semiseg frames"):
            reader(path)


@pytest.mark.parametrize(
    ("channels", "photometric", "extra"),
    [
        (2, 1, ()),
        (2, 1, (0,)),
        (4, 2, (0,)),  # red, green, blue and infrared
        (4, 1, (0, 0, 0)),
        (5, 2, (0, 0)),  # of which Pillow shows three
        (5, 1, (0, 0, 0, 0)),
        (8, 1, ()),
    ],
)
def test_other_channels_are_refused_with_what_to_keep(
    tmp_path: Path, channels: int, photometric: int, extra: Sequence[int]
) -> None:
    values = np.zeros((HEIGHT, WIDTH, channels), np.uint8)
    path = tiff(tmp_path / "a.tif", values, photometric, extra)
    for reader in (read_image, image_size):
        with pytest.raises(
            DataError, match=rf"a\.tif is a TIFF with {channels} channels.*three band"
        ):
            reader(path)


@pytest.mark.parametrize(
    ("channels", "photometric", "extra"), [(1, 1, ()), (2, 1, (2,)), (3, 2, ()), (4, 2, (2,))]
)
def test_alpha_is_no_strange_channel(
    tmp_path: Path, channels: int, photometric: int, extra: Sequence[int]
) -> None:
    values = np.full((HEIGHT, WIDTH, channels), 77, np.uint8)
    assert set(pixels(tiff(tmp_path / "a.tif", values, photometric, extra)).flat) == {77}


@pytest.mark.parametrize(
    ("channels", "dtype", "message"),
    [(3, np.float32, "3 channels of 32-bit floating-point"), (1, np.float64, "64-bit floating-")],
)
def test_tiffs_that_pillow_cannot_open_need_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, dtype: type, message: str
) -> None:
    values = np.linspace(0, 3, HEIGHT * WIDTH * channels).astype(dtype)
    values = values.reshape(HEIGHT, WIDTH, channels)
    path = tiff(tmp_path / "a.tif", values, 2 if channels > 1 else 1)
    image = pixels(path, reading=Reading((0, 3)))[..., :channels]
    assert np.abs(image - values * 85).max() <= 0.5001
    monkeypatch.setattr(bands, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=rf"a\.tif is a TIFF with .*{message}.*semiseg\[geo\]"):
        read_image(path)
