"""Several masks of one image are united, become classes, or are refused with both readings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.types import Arrangement, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.reader import load_dataset, read_dataset

SIZE = (12, 16)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.as_posix().encode())
    noise = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(path)


def area(top: int, left: int, value: int = 255) -> NDArray[np.uint8]:
    """A square of four pixels a side."""
    pixels = np.zeros(SIZE, np.uint8)
    pixels[top : top + 4, left : left + 4] = value
    return pixels


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def drawn(sample: Sample) -> NDArray[np.uint8]:
    assert sample.mask is not None
    return np.asarray(Image.open(sample.mask))


def several(data: Dataset) -> Finding:
    (finding,) = [f for f in data.findings if f.kind == "several-masks"]
    return finding


@pytest.mark.parametrize("folder", ["images/{}", "{}"])
@pytest.mark.parametrize("value", [1, 255])
def test_numbered_masks_are_united(tmp_path: Path, folder: str, value: int) -> None:
    """As in BUSI: `benign (2)_mask.png`, `benign (2)_mask_1.png`."""
    masks = "masks/{}" if folder.startswith("images") else "{}"
    for i in range(1, 4):
        picture(tmp_path / folder.format(f"benign ({i}).png"))
        save(tmp_path / masks.format(f"benign ({i})_mask.png"), area(0, i, value))
    save(tmp_path / masks.format("benign (2)_mask_1.png"), area(7, 9, value))
    data = load_dataset(tmp_path)
    assert [s.name for s in data.train] == [f"benign ({i})" for i in (1, 2, 3)]
    np.testing.assert_array_equal(drawn(data.train[1]), area(0, 2, value) | area(7, 9, value))
    assert data.train[0].mask == tmp_path / masks.format("benign (1)_mask.png")
    finding = several(data)
    assert finding.severity == "warning"
    assert "2 masks of 1 image are united" in finding.text
    assert "benign (2)_mask_1.png" in finding.text
    assert not [f for f in data.findings if f.kind == "not-read"]


@pytest.mark.parametrize("way", ["JPEG", "red JPEG", "transparent"])
def test_soft_and_transparent_masks_are_united(tmp_path: Path, way: str) -> None:
    """The noise of a JPEG, and the pixels beneath transparency, belong to no object."""

    def save_object(path: Path, pixels: NDArray[np.uint8]) -> None:
        large = pixels.repeat(8, 0).repeat(8, 1)  # whole blocks of JPEG
        path.parent.mkdir(parents=True, exist_ok=True)
        if way == "transparent":
            hidden = np.where(large > 0, 255, 60).astype(np.uint8)
            Image.merge("LA", [*map(Image.fromarray, (hidden, large))]).save(path)
        else:
            zero = large * (way == "JPEG")
            Image.merge("RGB", [*map(Image.fromarray, (large, zero, zero))]).save(path, quality=95)

    suffix = "png" if way == "transparent" else "jpg"
    for i in range(1, 4):
        noise = np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8)
        save(tmp_path / "images" / f"a{i}.png", noise)
        for number, top in enumerate((0, 7)):
            save_object(tmp_path / "masks" / f"a{i}_mask_{number}.{suffix}", area(top, 3 * i))
    data = load_dataset(tmp_path)
    assert len(data.classes) == 2
    for i, sample in enumerate(data.train, 1):
        expected = (area(0, 3 * i) | area(7, 3 * i)).repeat(8, 0).repeat(8, 1) > 0
        labels = np.asarray(read_labels(sample, data.classes, data.reading))
        np.testing.assert_array_equal(labels, expected)


def test_a_folder_of_one_image_and_its_objects(tmp_path: Path) -> None:
    """As in the Data Science Bowl 2018."""
    codes = ["3f9c", "a01b", "77de"]
    for i in range(3):
        folder = tmp_path / "stage1_train" / f"nucleus{i}"
        picture(folder / "images" / f"nucleus{i}.png")
        for j, code in enumerate(codes):
            save(folder / "masks" / f"{i}{code}.png", area(i, 5 * j))
    data = load_dataset(tmp_path)
    assert len(data.train) == 3
    for i, sample in enumerate(data.train):
        np.testing.assert_array_equal(drawn(sample), area(i, 0) | area(i, 5) | area(i, 10))


@pytest.mark.parametrize("scheme", ["masks/{}_{}.png", "masks/{1}/{0}.png", "masks/{}_mask_{}.png"])
def test_a_file_for_each_class_makes_ids_and_names(tmp_path: Path, scheme: str) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"{i:02d}.jpg")
        save(tmp_path / scheme.format(f"{i:02d}", "weed"), area(i, 1))
        if i:
            save(tmp_path / scheme.format(f"{i:02d}", "crop"), area(i, 3))
    data = load_dataset(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    expected = np.where(area(1, 1) > 0, 2, np.where(area(1, 3) > 0, 1, 0))
    np.testing.assert_array_equal(drawn(data.train[1]), expected)
    np.testing.assert_array_equal(drawn(data.train[0]), area(0, 1, 2))
    assert several(data).severity == "note"
    assert "crop, weed" in several(data).text


def test_the_classes_of_val_are_those_of_train(tmp_path: Path) -> None:
    for split, words in (("train", ("a1", "crop", "weed")), ("val", ("b1", "weed"))):
        for i in range(2):
            picture(tmp_path / split / "images" / f"{words[0]}_{i}.jpg")
            for j, word in enumerate(words[1:]):
                save(tmp_path / split / "masks" / f"{words[0]}_{i}_{word}.png", area(i, 5 * j))
    data = load_dataset(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    np.testing.assert_array_equal(drawn(data.val[0]), area(0, 0, 2))


@pytest.mark.parametrize(
    "endings", [("_1stHO", "_2ndHO"), ("_john", "_mary"), ("_mask_1", "_mask_2")]
)
def test_masks_of_two_people_are_refused(tmp_path: Path, endings: tuple[str, str]) -> None:
    for i in range(3):
        picture(tmp_path / f"eye{i}.jpg")
        for j, ending in enumerate(endings):
            save(tmp_path / f"eye{i}{ending}.png", area(2 * i, 3) | area(2 * i, 3 + j))
    (error,) = read_dataset(tmp_path).errors()
    assert error.kind == "several-masks"
    assert all(ending in error.text for ending in endings)
    for path in tmp_path.glob(f"*{endings[1]}.png"):  # as the remedy says
        path.unlink()
    assert len(load_dataset(tmp_path).train) == 3


def test_two_kinds_of_masks_are_refused(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.jpg")
        save(tmp_path / "masks" / f"{i}_mask.png", area(i, 0))
        save(tmp_path / "masks" / f"{i}_mask_edge.png", area(i, 9))
    (error,) = read_dataset(tmp_path).errors()
    assert error.kind == "several-masks"
    assert "0_mask.png" in error.text
    assert "0_mask_edge.png" in error.text


def test_a_mask_of_several_classes_is_not_united(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    save(tmp_path / "a_mask_1.png", area(0, 0, 1) + area(5, 5, 2))
    save(tmp_path / "a_mask_2.png", area(8, 8, 1))
    (error,) = read_dataset(tmp_path).errors()
    assert "holds several classes itself" in error.text


def test_masks_of_other_sizes_are_refused_with_both(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    save(tmp_path / "a_mask_1.png", area(0, 0))
    save(tmp_path / "a_mask_2.png", area(0, 0)[:8])
    (error,) = read_dataset(tmp_path).errors()
    assert "16 x 8" in error.text
    assert "16 x 12" in error.text


def test_of_the_files_of_cityscapes_those_of_class_ids_count(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"town_{i}_leftImg8bit.png")
        for kind in ("labelIds", "instanceIds", "color"):
            save(tmp_path / "masks" / f"town_{i}_gtFine_{kind}.png", area(i, 2, 1))
    data = load_dataset(tmp_path)
    assert [s.mask.name for s in data.train if s.mask] == [
        f"town_{i}_gtFine_labelIds.png" for i in range(3)
    ]
    (finding,) = (f for f in data.findings if f.kind == "not-read")
    assert len(finding.files) == 6


def test_of_two_kinds_of_class_ids_the_first_counts_and_colors_are_ignored(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"town_{i}_rgb_anon.png")
        for kind in ("labelTrainIds", "labelColor", "invIds"):
            save(tmp_path / "masks" / f"town_{i}_gt_{kind}.png", area(i, 2, 1))
    data = load_dataset(tmp_path)
    assert [s.mask.name for s in data.train if s.mask] == [
        f"town_{i}_gt_labelTrainIds.png" for i in range(3)
    ]


def test_folders_of_numbered_classes_are_not_united(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.jpg")
        for number in (1, 2):
            save(tmp_path / "masks" / f"class{number}" / f"{i}.png", area(4 * number, 2))
    (error,) = read_dataset(tmp_path).errors()
    assert error.kind == "several-masks"
    assert "masks/class1/0.png, masks/class2/0.png" in error.message
    flags = Arrangement(images=Path("images"), masks=Path("masks/class2"))
    assert "--images images --masks masks/class2`" in error.remedy
    data = load_dataset(tmp_path, flags=flags)
    assert [s.mask for s in data.train] == [
        tmp_path / "masks" / "class2" / f"{i}.png" for i in range(3)
    ]
    for number, name in ((1, "crop"), (2, "weed")):
        (tmp_path / "masks" / f"class{number}").rename(tmp_path / "masks" / name)
    data = load_dataset(tmp_path)
    assert data.class_list is not None
    assert [*data.class_list.names] == ["background", "crop", "weed"]


def test_folders_of_classes_may_have_names_of_several_words(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / "rgb" / f"AB{i}_1-2.jpg")
        for name, left in (("water", 0), ("weed_cluster", 6)):
            save(tmp_path / "labels" / name / f"AB{i}_1-2.png", area(left, 2))
    data = load_dataset(tmp_path)
    assert data.class_list is not None
    assert [*data.class_list.names] == ["background", "water", "weed cluster"]


def test_masks_in_two_folders_are_refused_with_the_commands_that_choose(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "train" / "images" / f"{i}.jpg")
        for version in ("v1", "v2"):
            values = np.arange(192, dtype=np.uint8).reshape(12, 16) % 3
            save(tmp_path / "train" / version / "labels" / f"{i}.png", values)
    (error,) = read_dataset(tmp_path).errors()
    for version in ("v1", "v2"):
        assert f"--images train/images --masks train/{version}/labels`" in error.remedy
        flags = Arrangement(images=Path("train/images"), masks=Path(f"train/{version}/labels"))
        data = load_dataset(tmp_path, flags=flags)
        assert [s.mask for s in data.train] == [
            tmp_path / "train" / version / "labels" / f"{i}.png" for i in range(3)
        ]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("image_{}.jpg", "mask_{}.png"),
        ("{}.png", "{}_GT.png"),
        ("{}.png", "gt_{}.png"),
        ("{}_training.bmp", "{}_manual1.png"),
        ("{}.tif", "{}.tif.png"),
        ("{}.jpg", "{}_xyz.png"),
        ("tree {}.png", "tree {} mask.png"),
        ("{}_sat.jpg", "{}_mask.png"),
    ],
)
def test_masks_beside_images(tmp_path: Path, image: str, mask: str) -> None:
    for i in range(4):
        picture(tmp_path / image.format(f"{i:03d}"))
        if i < 3:
            save(tmp_path / mask.format(f"{i:03d}"), area(i, 1))
    data = load_dataset(tmp_path)
    pairs = {s.image.name: s.mask.name if s.mask else None for s in data.train}
    expected = {image.format(f"{i:03d}"): mask.format(f"{i:03d}") for i in range(3)}
    assert pairs == {**expected, image.format("003"): None}
    texts = [f.text for f in data.findings if f.kind == "layout"]
    assert any(f"{mask.format('000')} belongs to {image.format('000')}" in text for text in texts)


def test_a_mask_for_two_images_is_refused_with_both(tmp_path: Path) -> None:
    for camera in ("cam1", "cam2"):
        for i in range(3):
            picture(tmp_path / "images" / camera / f"{i}.jpg")
    for i in range(3):
        save(tmp_path / "masks" / f"{i}.png", area(i, 0))
    (error,) = read_dataset(tmp_path).errors()
    assert error.kind == "ambiguous-mask"
    assert error.files == ("masks/0.png", "masks/1.png", "masks/2.png")
    assert "images/cam1/0.jpg or images/cam2/0.jpg" in error.text
    (tmp_path / "masks" / "cam1").mkdir()  # as the remedy says
    for i in range(3):
        (tmp_path / "masks" / f"{i}.png").rename(tmp_path / "masks" / "cam1" / f"{i}.png")
    labeled = [s.name for s in load_dataset(tmp_path).train if s.mask]
    assert labeled == ["cam1/0", "cam1/1", "cam1/2"]


def test_masks_without_image_and_images_without_mask_are_named(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "images" / f"img_{i}.jpg")
        save(tmp_path / "masks" / f"img_{i}_mask.png", area(i, 0))
    save(tmp_path / "masks" / "img_9_mask.png", area(0, 0))
    picture(tmp_path / "val" / "images" / "v.jpg")
    data = load_dataset(tmp_path)
    (finding,) = [f for f in data.findings if f.kind == "mask-without-image"]
    assert finding.files == ("masks/img_9_mask.png",)
    (finding,) = [f for f in data.findings if f.kind == "missing-mask"]
    assert finding.files == ("val/images/v.jpg",)
