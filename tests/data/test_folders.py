"""Folders of people's own: the names say what they hold, and what is unclear is refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.types import Arrangement
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.reader import load_dataset, read_dataset, read_samples


def image(path: Path) -> None:
    """A picture that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(i * ord(c) for i, c in enumerate(path.as_posix())) % 251
    noise = np.random.default_rng(shade).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def mask(path: Path, values: Sequence[int] = (0, 1)) -> None:
    """Upright stripes of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.repeat(np.array(values, np.uint8), 12 // len(values))
    Image.fromarray(np.tile(stripes, (8, 1))).save(path)


def put(root: Path, images: str, masks: str, *names: str, suffix: str = ".jpg") -> None:
    for name in names:
        image(root / images / f"{name}{suffix}")
        mask(root / masks / f"{name}.png")


def pairs(data: Dataset, split: str) -> dict[str, str | None]:
    """Masks by their images, as paths below the data folder."""
    return {
        data.name(sample.image): sample.mask and data.name(sample.mask)
        for sample in getattr(data, split)
    }


def expected(images: str, masks: str, *names: str, suffix: str = ".jpg") -> dict[str, str]:
    return {f"{images}/{name}{suffix}": f"{masks}/{name}.png" for name in names}


def error_of(root: Path) -> Finding:
    (finding,) = read_dataset(root).errors()
    return finding


def notes(data: Dataset, kind: str = "layout") -> list[str]:
    return [finding.text for finding in data.findings if finding.kind == kind]


LAYOUTS = [
    ("{split}/images", "{split}/masks", ("train", "val", "test")),
    ("images/{split}", "masks/{split}", ("train", "val", "test")),
    ("{split}/imgs", "{split}/labels", ("Train", "Val", "Test")),
    ("imgs/{split}", "gt/{split}", ("training", "validation", "testing")),
    ("IMAGES/{split}", "ANNOTATIONS/{split}", ("TRAIN", "VALID", "TEST")),
    ("img_dir/{split}", "ann_dir/{split}", ("train", "val", "test")),
    ("{split}_images", "{split}_masks", ("train", "val", "test")),
    ("images_{split}", "masks_{split}", ("train", "val", "test")),
    ("{split}Images", "{split}Labels", ("Train", "Val", "Test")),
    ("{split}", "{split}annot", ("train", "val", "test")),
    ("{split}", "{split}_labels", ("train", "val", "test")),
    ("{split}/RGB", "{split}/ground_truth", ("Training", "Validation", "Test")),
    ("{split}/JPEGImages", "{split}/SegmentationClassPNG", ("train", "valid", "test")),
    ("{split}/input", "{split}/target", ("trn", "val", "tst")),
    ("{split}/x", "{split}/y", ("train", "val", "test")),
    ("{split}/photos", "{split}/annotation", ("train", "val", "test")),
    ("my data/{split}/images", "my data/{split}/masks", ("train", "val", "test")),
    ("a/b/{split}/image", "a/b/{split}/label", ("train", "val", "test")),
    ("leftImg8bit/{split}", "gtFine/{split}", ("train", "val", "test")),
    ("X_{split}", "y_{split}", ("train", "val", "test")),
    ("{split}_img", "{split}_lab", ("train", "val", "test")),
    ("{split}/imágenes", "{split}/etiquetas", ("entrenamiento", "validación", "prueba")),
    ("{split}/Bilder", "{split}/Masken", ("Training", "Validierung", "Test")),
    ("{split}/photos", "{split}/semantics", ("train", "val", "test")),
]


@pytest.mark.parametrize(("images", "masks", "splits"), LAYOUTS)
def test_splits_are_found_by_the_names_of_folders(
    tmp_path: Path, images: str, masks: str, splits: tuple[str, str, str]
) -> None:
    for split, count in zip(splits, (4, 2, 1), strict=True):
        names = [f"{split}{i}" for i in range(count)]
        put(tmp_path, images.format(split=split), masks.format(split=split), *names)
    data = load_dataset(tmp_path)
    for key, split, count in zip(("train", "val", "test"), splits, (4, 2, 1), strict=True):
        names = [f"{split}{i}" for i in range(count)]
        places = images.format(split=split), masks.format(split=split)
        assert pairs(data, key) == expected(*places, *names)
    assert len(data.classes) == 2
    assert not notes(data, "not-read")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("imgs", "masks"),
        ("Image", "Label"),
        ("photos", "GT"),
        ("RGB", "Ground Truth"),
        ("in", "gt"),
    ],
)
def test_without_splits_all_is_to_train_on(tmp_path: Path, images: str, masks: str) -> None:
    put(tmp_path, images, masks, "a", "b/c")
    image(tmp_path / images / "d.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected(images, masks, "a", "b/c") | {f"{images}/d.jpg": None}
    (rule,) = notes(data)
    assert f"images in {images}, masks in {masks} ({masks}/a.png belongs to {images}/a.jpg)" in rule


def test_folders_that_say_nothing_become_part_of_the_names(tmp_path: Path) -> None:
    for cam in ("cam1", "cam2"):
        put(tmp_path, f"{cam}/images", f"{cam}/masks", "000", "001")
    data = load_dataset(tmp_path)
    names = [sample.name for sample in data.train]
    assert names == ["cam1/000", "cam1/001", "cam2/000", "cam2/001"]
    assert pairs(data, "train")["cam2/images/001.jpg"] == "cam2/masks/001.png"


def test_these_folders_may_stand_elsewhere_on_the_way_to_the_masks(tmp_path: Path) -> None:
    put(tmp_path, "day1/images", "masks/day1", "a")
    put(tmp_path, "day2/images", "masks/day2", "a")
    assert pairs(load_dataset(tmp_path), "train") == {
        "day1/images/a.jpg": "masks/day1/a.png",
        "day2/images/a.jpg": "masks/day2/a.png",
    }


def test_folders_of_images_with_masks_beside_them(tmp_path: Path) -> None:
    for kind in ("benign", "malignant"):
        image(tmp_path / kind / f"{kind}.png")
        mask(tmp_path / kind / f"{kind}_mask.png")
    image(tmp_path / "screenshots" / "s.png")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == {
        "benign/benign.png": "benign/benign_mask.png",
        "malignant/malignant.png": "malignant/malignant_mask.png",
    }
    assert notes(data, "not-read")[0].startswith("1 image is not read (1 .png in screenshots)")


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled_Images", "no masks", "pool"])
def test_images_without_masks_have_many_names(tmp_path: Path, name: str) -> None:
    put(tmp_path, "train/images", "train/masks", "a", "b")
    image(tmp_path / name / "deep" / "u.jpg")
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.samples["unlabeled"]] == ["unlabeled/deep/u"]


def test_images_of_val_without_masks_are_not_trained_on(tmp_path: Path) -> None:
    put(tmp_path, "train/images", "train/masks", "a", "b")
    image(tmp_path / "val" / "unlabeled" / "u.jpg")
    image(tmp_path / "test" / "t.jpg")
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.train] == ["a", "b"]
    (finding,) = [f for f in data.findings if f.kind == "missing-mask"]
    assert finding.files == ("test/t.jpg", "val/unlabeled/u.jpg")


def test_masks_of_all_splits_may_have_one_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(tmp_path, f"images/{split}", "masks", f"{split}0", f"{split}1")
    data = load_dataset(tmp_path)
    assert pairs(data, "val") == expected("images/val", "masks", "val0", "val1")
    assert not notes(data, "mask-without-image")


def test_masks_alone_may_have_the_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(tmp_path, "images", f"masks/{split}", f"{split}0", f"{split}1")
    image(tmp_path / "images" / "u.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "val") == expected("images", "masks/val", "val0", "val1")
    train = expected("images", "masks/train", "train0", "train1")
    assert pairs(data, "train") == {**train, "images/u.jpg": None}


# --- what is in the way


def test_a_folder_around_the_data_is_entered_and_said(tmp_path: Path) -> None:
    put(tmp_path, "set/inner/imgs", "set/inner/masks", "a", "b")
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "set" / "inner" / "classes.yaml").write_text("classes: [soil, crop]")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("set/inner/imgs", "set/inner/masks", "a", "b")
    assert [sample.name for sample in data.train] == ["a", "b"]
    assert data.classes.names == ("soil", "crop")
    assert f"The data lie in {tmp_path / 'set' / 'inner'}." in notes(data)


def test_two_exports_are_read_together(tmp_path: Path) -> None:
    for task in ("task1", "task2"):
        put(tmp_path / task, "JPEGImages", "SegmentationClass", "a", "b", suffix=".png")
        lists = tmp_path / task / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("a\n")
        (lists / "val.txt").write_text("b\n")
        (tmp_path / task / "labelmap.txt").write_text("soil:0,0,0::\ncrop:9,9,9::\n")
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.train] == ["task1/a", "task2/a"]
    assert [sample.name for sample in data.val] == ["task1/b", "task2/b"]
    assert data.classes.names == ("soil", "crop")
    (tmp_path / "task2" / "labelmap.txt").write_text("crop:0,0,0::\nsoil:9,9,9::\n")
    message = r"name different classes.*Read one folder alone, such as .*task1, or"
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    put(data, "train/images/cam1", "train/masks/cam1", "0", "1")
    put(store, "cam2", "cam2_masks", "5", "6")
    image(store / "2023" / "u.jpg")
    (data / "train" / "images" / "cam2").symlink_to(store / "cam2")
    (data / "train" / "masks" / "cam2").symlink_to(store / "cam2_masks")
    (data / "train" / "images" / "loop").symlink_to(data / "train")
    (data / "unlabeled").mkdir()
    (data / "unlabeled" / "2023").symlink_to(store / "2023")
    names = [sample.name for sample in load_dataset(data).train]
    assert names == ["cam1/0", "cam1/1", "cam2/5", "cam2/6", "unlabeled/2023/u"]


def test_a_link_to_a_mask_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b", "c")
    (tmp_path / "masks" / "c.png").unlink()
    (tmp_path / "masks" / "c.png").symlink_to(tmp_path / "gone.png")
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("dead-link", ("masks/c.png",))
    (tmp_path / "masks" / "c.png").unlink()
    (tmp_path / "images" / "d.jpg").symlink_to(tmp_path / "gone.jpg")
    data = load_dataset(tmp_path)
    (finding,) = [f for f in data.findings if f.kind == "dead-link"]
    assert (finding.severity, finding.files) == ("warning", ("images/d.jpg",))


def test_a_link_to_a_folder_of_the_same_tree_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "store/2023", "masks", "a", "b")
    (tmp_path / "images").symlink_to(tmp_path / "store" / "2023")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("images", "masks", "a", "b")
    assert not notes(data, "not-read")


# --- what is unclear


def test_two_folders_of_masks_are_an_error_with_both(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b", "c")
    mask(tmp_path / "labels" / "b.png", (0, 1, 2))
    finding = error_of(tmp_path)
    assert "(1) 3 images in images, 1 of them with masks in labels" in finding.message
    assert "labels/b.png belongs to images/b.jpg" in finding.message
    assert "(2) 3 images in images, 3 of them with masks in masks" in finding.message
    assert "--images images --masks masks" in finding.remedy
    flags = Arrangement(images=Path("images"), masks=Path("masks"))
    assert pairs(load_dataset(tmp_path, flags=flags), "train") == expected(
        "images", "masks", "a", "b", "c"
    )


def test_a_folder_that_does_not_pair_is_no_reading(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    image(tmp_path / "imgs" / "other.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("images", "masks", "a", "b")
    files = {file for f in data.findings if f.kind == "not-read" for file in f.files}
    assert files == {"labels/a.txt", "imgs/other.jpg"}


def test_two_folders_of_images_are_an_error_with_both(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b")
    image(tmp_path / "imgs" / "a.jpg")
    finding = error_of(tmp_path)
    assert "(1) 2 images in images, 2 of them with masks in masks" in finding.message
    assert "(2) 1 image in imgs, 1 of them with masks in masks" in finding.message
    assert "--images imgs --masks masks" in finding.remedy


def test_numbered_folders_go_together(tmp_path: Path) -> None:
    put(tmp_path, "images1", "masks1", "a", "b")
    put(tmp_path, "images2", "masks2", "c", "d")
    data = load_dataset(tmp_path)
    first = expected("images1", "masks1", "a", "b")
    assert pairs(data, "train") == {**first, **expected("images2", "masks2", "c", "d")}


def test_instances_beside_the_masks_are_ignored_and_said(tmp_path: Path) -> None:
    put(tmp_path, "img", "masks_machine", "a", "b")
    for name in "ab":
        mask(tmp_path / "masks_human" / f"{name}.png", (0, 7, 9))
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("img", "masks_machine", "a", "b")
    assert "masks_human is ignored, because masks_machine is read." in notes(data)


def test_masks_above_their_images_are_refused_with_advice_that_works(tmp_path: Path) -> None:
    for i in range(3):
        image(tmp_path / "top" / f"area{i}.tif")
        mask(tmp_path / f"area{i}.tif")
    finding = error_of(tmp_path)
    assert "--images top --masks ." in finding.remedy
    flags = Arrangement(images=Path("top"), masks=Path())
    read = pairs(load_dataset(tmp_path, flags=flags), "train")
    assert read == {f"top/area{i}.tif": f"area{i}.tif" for i in range(3)}


def test_folders_of_unknown_names_are_refused_with_advice_that_works(tmp_path: Path) -> None:
    put(tmp_path, "kamera", "gezeichnet", "a", "b")
    finding = error_of(tmp_path)
    assert "--images kamera --masks gezeichnet" in finding.remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_are_compared_in_one_form_of_unicode(tmp_path: Path) -> None:
    image(tmp_path / "images" / "Gru\u0308n.jpg")
    image(tmp_path / "images" / "b.jpg")
    mask(tmp_path / "masks" / "Gr\u00fcn.png")
    mask(tmp_path / "masks" / "b.png")
    data = load_dataset(tmp_path)
    assert len(list(data.labeled("train"))) == 2


def test_masks_of_other_folders_are_no_masks(tmp_path: Path) -> None:
    """As in sets of defects: the photographs of good pieces have no masks."""
    for split, kind in (("train", "good"), ("test", "good"), ("test", "crack")):
        image(tmp_path / split / kind / "000.png")
    mask(tmp_path / "ground_truth" / "crack" / "000_mask.png")
    assert not read_dataset(tmp_path).train
    image(tmp_path / "train" / "crack" / "001.png")
    mask(tmp_path / "ground_truth" / "crack" / "001_mask.png")
    data = read_dataset(tmp_path)
    assert pairs(data, "test") == {"test/crack/000.png": "ground_truth/crack/000_mask.png"}
    assert pairs(data, "train") == {"train/crack/001.png": "ground_truth/crack/001_mask.png"}


def test_a_mask_of_two_splits_is_an_error(tmp_path: Path) -> None:
    for split in ("train", "val"):
        image(tmp_path / "images" / split / "000.jpg")
    mask(tmp_path / "masks" / "000.png")
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("ambiguous-mask", ("masks/000.png",))
    assert finding.details == (": images/train/000.jpg or images/val/000.jpg",)


def test_a_folder_with_the_masks_of_voc_needs_no_other_name_of_voc(tmp_path: Path) -> None:
    put(tmp_path, "train/rgb", "train/SegmentationClass", "a", "b")
    put(tmp_path, "val/rgb", "val/SegmentationClass", "c")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("train/rgb", "train/SegmentationClass", "a", "b")
    assert pairs(data, "val") == expected("val/rgb", "val/SegmentationClass", "c")


@pytest.mark.parametrize("names", [("image", "mask"), ("img", "label"), ("Photo", "GT")])
def test_each_image_may_have_a_folder_of_its_own(tmp_path: Path, names: tuple[str, str]) -> None:
    for i in range(5):
        image(tmp_path / f"sample_{i}" / f"{names[0]}.png")
        mask(tmp_path / f"sample_{i}" / f"{names[1]}.png")
    image(tmp_path / "sample_0" / "label_viz.png")
    data = load_dataset(tmp_path)
    assert [sample.name for sample in data.train] == [f"sample_{i}" for i in range(5)]
    assert pairs(data, "train")["sample_3/" + f"{names[0]}.png"] == f"sample_3/{names[1]}.png"


def test_folders_of_a_number_each_are_one_family(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for i in range(5):
            image(tmp_path / split / f"{split}{i}" / f"{i}.jpg")
            mask(tmp_path / split / f"{split}{i}" / f"{i}_mask.png")
    data = load_dataset(tmp_path)
    names = [[s.name for s in samples] for samples in (data.train, data.val)]
    assert names == [[f"{split}{i}/{i}" for i in range(5)] for split in ("train", "val")]
    assert len(notes(data)) == 1


def test_of_the_kinds_of_masks_that_cityscapes_programs_write_the_classes_count(
    tmp_path: Path,
) -> None:
    for i in range(3):
        name = f"farm_{i:06d}_000019"
        image(tmp_path / "leftImg8bit" / "train" / "farm" / f"{name}_leftImg8bit.png")
        for kind in ("color", "instanceIds", "labelIds", "labelTrainIds"):
            file = tmp_path / "gtFine" / "train" / "farm" / f"{name}_gtFine_{kind}.png"
            mask(file, (0, 1, 2))
    data = load_dataset(tmp_path)
    masks = [sample.mask for sample in data.train]
    assert [path and path.stem[-13:] for path in masks] == ["labelTrainIds"] * 3
    assert {f.severity for f in data.findings if f.kind == "not-read"} == {"note"}


def test_pictures_of_masks_come_second(tmp_path: Path) -> None:
    put(tmp_path, "images/10k/train", "labels/sem_seg/masks/train", "a", "b")
    put(tmp_path, "other", "labels/sem_seg/colormaps/train", "a", "b")
    data = read_dataset(tmp_path)
    assert pairs(data, "train") == expected(
        "images/10k/train", "labels/sem_seg/masks/train", "a", "b"
    )


def test_outputs_are_masks_of_inputs_alone(tmp_path: Path) -> None:
    put(tmp_path, "training/input", "training/output", "a", "b")
    assert pairs(load_dataset(tmp_path), "train") == expected(
        "training/input", "training/output", "a", "b"
    )
    (tmp_path / "training" / "input").rename(tmp_path / "training" / "images")
    assert error_of(tmp_path).kind == "no-masks"


def test_a_split_without_any_other_is_the_whole_data_set(tmp_path: Path) -> None:
    put(tmp_path, "test_data/images", "test_data/masks", "a", "b")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("test_data/images", "test_data/masks", "a", "b")


def test_folders_of_images_have_folders_of_masks_beside_them(tmp_path: Path) -> None:
    for day in ("day1", "day2", "day3", "day4", "day5"):
        put(tmp_path, day, f"{day}_masks", "a", "b")
    image(tmp_path / "day6" / "a.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == {
        f"day{i}/{name}.jpg": f"day{i}_masks/{name}.png" for i in range(1, 6) for name in "ab"
    }
    assert [f.files for f in data.findings if f.kind == "not-read"] == [("day6/a.jpg",)]


def test_sequences_with_masks_of_some_images_beside_them(tmp_path: Path) -> None:
    for sequence in ("01", "02"):
        for i in range(5):
            image(tmp_path / sequence / f"t{i:03d}.tif")
        for i in (1, 3, 4):
            mask(tmp_path / f"{sequence}_GT" / "SEG" / f"man_seg{i:03d}.tif")
    read = pairs(load_dataset(tmp_path), "train")
    assert {image: mask for image, mask in read.items() if mask} == {
        f"{s}/t{i:03d}.tif": f"{s}_GT/SEG/man_seg{i:03d}.tif"
        for s in ("01", "02")
        for i in (1, 3, 4)
    }
    assert len(read) == 10


def test_one_folder_of_masks_may_hold_those_of_two_folders_of_images(tmp_path: Path) -> None:
    put(tmp_path, "images1", "maps/semantic", "a", "b")
    put(tmp_path, "images2", "maps/semantic", "c", "d")
    first = expected("images1", "maps/semantic", "a", "b")
    second = expected("images2", "maps/semantic", "c", "d")
    assert pairs(load_dataset(tmp_path), "train") == {**first, **second}


@pytest.mark.parametrize("name", ["images - Copy", "new_images", "images_night"])
def test_the_plainest_name_of_several_folders_of_images_counts(tmp_path: Path, name: str) -> None:
    put(tmp_path, "images", "masks", "1", "2")
    for stem in ("1", "2"):
        image(tmp_path / name / f"{stem}.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("images", "masks", "1", "2")
    (finding,) = (f for f in data.findings if f.kind == "not-read")
    assert (finding.severity, finding.files) == ("warning", (f"{name}/1.jpg", f"{name}/2.jpg"))


def test_folders_of_photographs_with_the_same_names_are_no_images_and_masks(tmp_path: Path) -> None:
    for name in ("camera_a", "camera_b"):
        for i in range(3):
            image(tmp_path / name / f"{i}.png")
    finding = error_of(tmp_path)
    assert "unclear which files" not in finding.message
    assert "--images camera" not in finding.remedy


def test_all_folders_that_may_hold_the_masks_are_named(tmp_path: Path) -> None:
    for i in range(3):
        image(tmp_path / "train" / "images" / f"{i}.jpg")
        for name in ("Categories", "Category_ids", "Human"):
            mask(tmp_path / "train" / name / f"{i}.png")
    finding = next(f for f in read_dataset(tmp_path).errors() if f.kind == "no-masks")
    for name in ("Categories", "Category_ids", "Human"):
        assert f"`--images train/images --masks train/{name}`" in finding.text


def test_labeled_images_of_val_alone_are_refused_with_the_command_that_trains_on_them(
    tmp_path: Path,
) -> None:
    put(tmp_path, "val/images", "val/masks", "a", "b", "c")
    image(tmp_path / "test" / "images" / "d.jpg")
    finding = error_of(tmp_path)
    assert "--images val/images --masks val/masks`" in finding.remedy
    flags = Arrangement(images=Path("val/images"), masks=Path("val/masks"))
    read = pairs(load_dataset(tmp_path, flags=flags), "train")
    assert read == expected("val/images", "val/masks", "a", "b", "c")


def test_masks_of_several_kinds_in_many_folders_are_refused_without_flags(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        put(tmp_path, f"{patient}/images", f"{patient}/masks", "a", "b")
        for name in ("a", "b"):
            mask(tmp_path / patient / "labels" / f"{name}.png")
    finding = error_of(tmp_path)
    assert "`*/labels` or `*/masks`" in finding.remedy
    assert "--images" not in finding.remedy


def test_a_folder_of_one_kind_of_images_does_not_keep_masks_of_classes_away(tmp_path: Path) -> None:
    for i in range(3):
        image(tmp_path / "images" / "rgb" / f"{i}.jpg")
        mask(tmp_path / "masks" / f"{i}.png")
        for name in ("water", "weed"):
            mask(tmp_path / "labels" / name / f"{i}.png")
    finding = error_of(tmp_path)
    assert "3 of them with masks in labels" in finding.message
    assert "3 of them with masks in masks" in finding.message


@pytest.mark.parametrize("name", ["#recycle", "@eaDir", "#snapshot", "lost+found"])
def test_folders_of_storage_devices_hold_no_data(tmp_path: Path, name: str) -> None:
    put(tmp_path, "images", "masks", "a", "b")
    image(tmp_path / "images" / name / "c.jpg")
    image(tmp_path / "unlabeled" / name / "d.jpg")
    data = load_dataset(tmp_path)
    assert pairs(data, "train") == expected("images", "masks", "a", "b")
    assert not data.samples["unlabeled"]


def test_run_length_codes_are_named_where_nothing_else_tells_the_masks(tmp_path: Path) -> None:
    for i in range(3):
        image(tmp_path / "train_v2" / f"{i}.jpg")
    lines = ["ImageId,EncodedPixels", *(f"{i}.jpg,1 3" for i in range(3))]
    (tmp_path / "train_ship_segmentations_v2.csv").write_text("\n".join(lines))
    (tmp_path / "sample_submission_v2.csv").write_text("ImageId,EncodedPixels\n0.jpg,\n")
    assert "train_ship_segmentations_v2.csv holds run-length codes" in error_of(tmp_path).remedy


def test_sites_with_other_words_for_the_same_are_read_together(tmp_path: Path) -> None:
    put(tmp_path, "siteA/images", "siteA/masks", "0", "1")
    put(tmp_path, "siteB/img", "siteB/gt", "0", "1")
    data = load_dataset(tmp_path)
    first = expected("siteA/images", "siteA/masks", "0", "1")
    assert pairs(data, "train") == {**first, **expected("siteB/img", "siteB/gt", "0", "1")}
    assert len({sample.name for sample in data.train}) == 4


def test_parallel_folders_may_hold_images_of_the_same_names(tmp_path: Path) -> None:
    put(tmp_path, "images_a", "masks_a", "0", "1")
    put(tmp_path, "images_b", "masks_b", "0", "1")
    data = load_dataset(tmp_path)
    first = expected("images_a", "masks_a", "0", "1")
    assert pairs(data, "train") == {**first, **expected("images_b", "masks_b", "0", "1")}
    assert len({sample.name for sample in data.train}) == 4


@pytest.mark.parametrize("folders", [("images", "masks"), ("", "")])
@pytest.mark.parametrize("end", ["_overlay", "_vis", "-pred", ".blend"])
def test_pictures_of_results_beside_masks_are_no_masks(
    tmp_path: Path, folders: tuple[str, str], end: str
) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / folders[0] / f"{name}.jpg")
        mask(tmp_path / folders[1] / f"{name}_mask.png")
        image(tmp_path / folders[1] / f"{name}{end}.png")
    data = load_dataset(tmp_path)
    read = pairs(data, "train")
    assert [Path(mask or "").name for mask in read.values()] == [f"{n}_mask.png" for n in "abc"]
    (finding,) = (f for f in data.findings if f.kind == "not-read")
    assert [Path(file).name for file in finding.files] == [f"{n}{end}.png" for n in "abc"]


def test_images_that_are_called_like_pictures_of_results_are_images(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a_pred", "b_pred", "c")
    read = pairs(load_dataset(tmp_path), "train")
    assert read == expected("images", "masks", "a_pred", "b_pred", "c")


def test_numbers_that_begin_differently_are_an_error(tmp_path: Path) -> None:
    for i in range(12):
        image(tmp_path / "images" / f"IMG_{i + 1:04d}.jpg")
        mask(tmp_path / "masks" / f"mask_{i}.png")
    finding = error_of(tmp_path)
    assert (finding.kind, finding.files) == ("ambiguous-mask", ("masks/mask_0.png",))
    assert "images/IMG_0001.jpg" in finding.message
    (tmp_path / "masks" / "mask_0.png").unlink()
    assert pairs(load_dataset(tmp_path), "train") == {
        f"images/IMG_{i:04d}.jpg": f"masks/mask_{i}.png" if i < 12 else None for i in range(1, 13)
    }


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_folder_that_holds_only_a_scored_split_is_that_split(split: str, tmp_path: Path) -> None:
    for i in range(2):
        for kind in ("images", "masks"):
            path = tmp_path / split / kind / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 6), i).save(path)
    assert [s.name for s in read_samples(tmp_path, split)] == ["0", "1"]
    assert not read_dataset(tmp_path).samples["train"]
