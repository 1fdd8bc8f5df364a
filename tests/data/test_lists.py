"""Lists as people write them: stems, tables, paths of other systems, splits of UniMatch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.data.dataset import Dataset
from semiseg.data.layouts.list_files import find_lists, is_list_table
from semiseg.data.reader import load_dataset, read_dataset
from semiseg.data.tree import Tree

NAMES = [f"{i:03d}" for i in range(8)]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(abs(hash(path.name)) % 1000)
    Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).save(path)


def mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((9, 12), np.uint8)
    pixels[:, :6] = 1
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight images in `images`, five masks in `masks`, whose names end in `_mask`."""
    root = tmp_path / "data"
    for name in NAMES:
        picture(root / "images" / f"{name}.jpg")
    for name in NAMES[:5]:
        mask(root / "masks" / f"{name}_mask.png")
    return root


def write(path: Path, *lines: str, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(end.join(lines).encode("utf-8-sig" if end == "\r\n" else "utf-8"))


def pairs(data: Dataset, split: str = "train") -> dict[str, str | None]:
    """The name of the mask of each image."""
    return {s.image.stem: s.mask.name if s.mask else None for s in data.samples[split]}


def expected(*names: str) -> dict[str, str | None]:
    return {name: f"{name}_mask.png" if name in NAMES[:5] else None for name in names}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "{}.jpg",
        "images/{}",
        "images/{}.jpg",
        "./images/{}.jpg",
        "/images/{}.jpg",
        "data/images/{}.jpg",
        "/home/me/data/images/{}.jpg",
        "C:\\data\\images\\{}.jpg",
        "images\\{}.jpg",
        "images/{}.jpg masks/{}_mask.png",
        "images/{}.jpg,masks/{}_mask.png",
        "images/{}.jpg;masks/{}_mask.png",
        "images\\{}.jpg\tmasks\\{}_mask.png",
        "{} {}_mask",
        "{} 1",
    ],
)
def test_lines_of_all_forms_name_images_and_masks(root: Path, line: str, end: str) -> None:
    write(root / "train.txt", *(line.format(n, n) for n in NAMES[:3]), end=end)
    write(root / "val.txt", *(line.format(n, n) for n in NAMES[3:5]), end=end)
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3])
    assert pairs(data, "val") == expected(*NAMES[3:5])


def test_absolute_paths_within_the_data_folder_are_understood(root: Path) -> None:
    write(root / "train.txt", *(str(root.resolve() / "images" / f"{n}.jpg") for n in NAMES[:3]))
    assert pairs(load_dataset(root)) == expected(*NAMES[:3])


@pytest.mark.parametrize("folder", ["splits", "lists", "ImageSets/Segmentation", "ImageSets/Main"])
def test_lists_lie_in_folders_of_their_own(root: Path, folder: str) -> None:
    write(root / folder / "train.txt", *NAMES[:3], NAMES[6])
    write(root / folder / "val.txt", *NAMES[3:5])
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3], NAMES[6])
    assert pairs(data, "val") == expected(*NAMES[3:5])
    texts = [finding.text for finding in data.findings]
    assert any(f"{folder}/val.txt" in text for text in texts)
    assert any("masks/000_mask.png belongs to images/000.jpg" in text for text in texts)


def test_splits_of_unimatch_say_which_images_are_unlabeled(root: Path) -> None:
    lines = {n: f"images/{n}.jpg masks/{n}_mask.png" for n in NAMES[:5]}
    write(root / "splits" / "2" / "labeled.txt", *(lines[n] for n in NAMES[:2]))
    write(root / "splits" / "2" / "unlabeled.txt", lines["002"], "images/007.jpg")
    write(root / "splits" / "val.txt", lines["003"], lines["004"])
    data = load_dataset(root)
    assert pairs(data) == {**expected("000", "001", "007"), "002": None}
    assert pairs(data, "val") == expected("003", "004")
    assert any("splits/2/unlabeled.txt says so" in finding.text for finding in data.findings)


def test_of_several_partitions_all_labels_are_used_and_the_choice_is_named(root: Path) -> None:
    for folder, count in (("1_4", 1), ("1_2", 2)):
        write(root / "splits" / folder / "labeled.txt", *NAMES[:count])
        write(root / "splits" / folder / "unlabeled.txt", *NAMES[count:3])
    write(root / "splits" / "val.txt", *NAMES[3:5])
    data = load_dataset(root)
    assert pairs(data) == {**expected("000", "001"), "002": None}
    (finding,) = [f for f in data.findings if "--labels" in f.text]
    assert str(root / "splits" / "1_2" / "labeled.txt") in finding.remedy


def test_without_a_list_to_train_on_the_rest_is_trained_on(root: Path) -> None:
    write(root / "splits" / "val.txt", *NAMES[3:5])
    data = load_dataset(root)
    assert pairs(data) == expected(*(n for n in NAMES if n not in NAMES[3:5]))
    assert pairs(data, "val") == expected(*NAMES[3:5])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "header",
    [
        ("image", "mask", "split"),
        ("filename", "label", "set"),
        ("image_path", "mask_path", "subset"),
        ("Image", "Annotation", "Split"),
        ("img", "gt", "phase"),
    ],
)
def test_a_table_says_masks_and_splits(root: Path, header: tuple[str, ...], delimiter: str) -> None:
    rows = [(f"images/{n}.jpg", f"masks/{n}_mask.png", "train") for n in NAMES[:3]]
    rows += [(f"{n}.jpg", f"{n}_mask.png", "Validation") for n in NAMES[3:5]]
    rows += [("images/005.jpg", "", "test"), ("images/006.jpg", "", "unlabeled")]
    write(root / "metadata.csv", *(delimiter.join(row) for row in [header, *rows]))
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3], "006")
    assert pairs(data, "val") == expected(*NAMES[3:5])
    assert pairs(data, "test") == expected("005")


def test_tables_of_splits_without_masks_and_without_header(root: Path) -> None:
    write(root / "train.csv", "id,filename", *(f"{i},{n}.jpg" for i, n in enumerate(NAMES[:3])))
    write(root / "val.csv", *(f"images/{n}.jpg,masks/{n}_mask.png" for n in NAMES[3:5]))
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3])
    assert pairs(data, "val") == expected(*NAMES[3:5])


def test_a_column_of_class_numbers_is_no_column_of_masks(root: Path) -> None:
    write(root / "train.csv", "id,label", *(f"{n},{i % 2}" for i, n in enumerate(NAMES[:4])))
    assert pairs(load_dataset(root)) == expected(*NAMES[:4])


def test_a_table_of_other_things_does_not_hide_the_folders_of_splits(root: Path) -> None:
    (root / "images").rename(root / "moved")
    for split, names in (("train", NAMES[:3]), ("val", NAMES[3:5])):
        for name in names:
            picture(root / split / "images" / f"{name}.jpg")
            mask(root / split / "masks" / f"{name}_mask.png")
    write(root / "train.csv", "image,height", *(f"{n}.jpg,9" for n in NAMES[:3]))
    assert pairs(load_dataset(root), "val") == expected(*NAMES[3:5])


@pytest.mark.parametrize("folder", ["ImageSets/Segmentation", "ImageSets/Main", "ImageSets"])
def test_lists_of_voc_lie_in_several_places(root: Path, folder: str) -> None:
    (root / "images").rename(root / "JPEGImages")
    (root / "masks").rename(root / "SegmentationClass")
    write(root / folder / "train.txt", *(f"{n} 1" for n in NAMES[:3]))
    write(root / folder / "val.txt", *NAMES[3:5])
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3])
    assert pairs(data, "val") == expected(*NAMES[3:5])


def test_tables_of_splits_have_other_words_in_their_names(root: Path) -> None:
    for split, names in (("train", NAMES[:3]), ("valid", NAMES[3:5])):
        lines = (f"images/{n}.jpg,masks/{n}_mask.png" for n in names)
        write(root / f"flood_{split}_data.csv", *lines)
    data = load_dataset(root)
    assert pairs(data) == expected(*NAMES[:3])
    assert pairs(data, "val") == expected(*NAMES[3:5])


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("_classes.csv", ["Pixel Value, Class", "0, background"]),
        ("class_dict.csv", ["name,r,g,b", "water,0,0,255"]),
        ("metadata.csv", ["image,latitude,longitude", "000.jpg,1,2"]),
        ("metadata.csv", ["plot,date", "1,2"]),
        ("train.csv", ["ImageId,EncodedPixels", "000,1 2 3"]),
        ("results.csv", ["image,mask", "000.jpg,a"]),
    ],
)
def test_other_tables_are_no_lists(root: Path, name: str, lines: list[str]) -> None:
    write(root / name, *lines)
    assert not is_list_table(root / name)
    assert not find_lists(Tree(root))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["000", "009"], r"train\.txt, line 2: there is no file .*009"),
        (["images/000.jpg", "other/001.jpg"], r"train\.txt, line 2: there is no file"),
        (["000.jpg 000_mask.png", "001.jpg 009_mask.png"], r"line 2: there is no file .*009_mask"),
        (["deep"], r"line 1: deep may be .*cam1/deep\.jpg or .*cam2/deep\.jpg"),
    ],
)
def test_a_line_without_a_file_is_an_error(root: Path, lines: list[str], message: str) -> None:
    for camera in ("cam1", "cam2"):
        picture(root / "images" / camera / "deep.jpg")
    write(root / "train.txt", *lines)
    with pytest.raises(DataError, match=message):
        load_dataset(root)


def test_a_row_without_a_file_is_an_error(root: Path) -> None:
    write(root / "images.csv", "image,mask", "000.jpg,000_mask.png", "009.jpg,000_mask.png")
    (error,) = read_dataset(root).errors()
    assert "images.csv, line 3: there is no file" in error.text


def test_images_in_no_list_are_counted(root: Path) -> None:
    write(root / "train.txt", *NAMES[:3])
    (finding,) = [f for f in load_dataset(root).findings if f.kind == "not-read"]
    assert finding.severity == "note"
    assert finding.remedy == "To use them, add them to train.txt."
    assert "images/007.jpg" in finding.files
