"""A data folder is read as it is meant, and what is wrong with it is said with its remedy."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.data.findings import Finding
from semiseg.data.formats.images import image_size, read_image
from semiseg.data.reader import load_dataset, read_dataset
from semiseg.scenes.draw import COLORS, NAMES

WIDTH, HEIGHT = 12, 8
_ACCESSES: list[Counter[tuple[str, str]]] = []


@pytest.fixture
def accesses() -> Iterator[Counter[tuple[str, str]]]:
    """How often each file was opened and each folder listed, by event and path."""
    if not _ACCESSES:  # an audit hook stays for good
        _ACCESSES.append(Counter())
        sys.addaudithook(_count)
    yield _ACCESSES[0]
    _ACCESSES[0].clear()


def _count(event: str, args: tuple[object, ...]) -> None:
    if event in ("open", "os.scandir", "os.listdir") and isinstance(args[0], (str, os.PathLike)):
        _ACCESSES[0][event, os.fspath(args[0])] += 1


def photograph(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 80, 70)).save(path)


def mask(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), foreground: int = 1) -> None:
    """Foreground in the left half, 0 in the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size[::-1], np.uint8)
    values[:, : size[0] // 2] = foreground
    Image.fromarray(values).save(path)


def pairs(folder: Path, *names: str) -> None:
    for name in names:
        photograph(folder / "images" / f"{name}.jpg")
        mask(folder / "masks" / f"{name}.png")


def error(root: Path) -> Finding:
    """The one error in a folder, which `load_dataset` raises."""
    (finding,) = read_dataset(root).errors()
    with pytest.raises(DataError, match=re.escape(finding.text)):
        load_dataset(root)
    return finding


def test_a_written_folder_is_read_whole(tiny_folder: Path) -> None:
    data = load_dataset(tiny_folder)
    assert data.classes.names == NAMES
    assert data.classes.colors == COLORS
    assert [s.name for s in data.val] == ["0000", "0001"]
    assert data.test == ()
    expected = [f"{i:04d}" for i in range(4)] + [f"unlabeled/{i:04d}" for i in range(4)]
    assert [s.name for s in data.train] == expected
    assert [s.mask is not None for s in data.train] == [True] * 4 + [False] * 4
    assert sum(data.pixels[data.val[0].mask or Path()].values()) == 48 * 64


def test_masks_belong_to_images_of_their_stem_in_the_same_subfolder(tmp_path: Path) -> None:
    train = tmp_path / "train"
    pairs(train, "a.b", "seq1/0001", "seq2/0001", "deep/er/x")
    shutil.move(train / "images" / "a.b.jpg", train / "images" / "a.b.JPEG")
    samples = {s.name: s for s in load_dataset(tmp_path).train}
    assert list(samples) == ["a.b", "deep/er/x", "seq1/0001", "seq2/0001"]
    assert samples["a.b"].image == train / "images" / "a.b.JPEG"
    assert samples["seq2/0001"].image == train / "images" / "seq2" / "0001.jpg"
    assert samples["seq2/0001"].mask == train / "masks" / "seq2" / "0001.png"


def test_an_image_without_a_mask_is_unlabeled(tmp_path: Path) -> None:
    pairs(tmp_path / "train", "a")
    pairs(tmp_path / "val", "v")
    photograph(tmp_path / "train" / "images" / "b.png")
    photograph(tmp_path / "val" / "images" / "w.png")
    data = load_dataset(tmp_path)
    assert [(s.name, s.mask is None) for s in data.train] == [("a", False), ("b", True)]
    assert [s.name for s in data.val] == ["v"]  # without a mask nothing can be validated


@pytest.mark.parametrize("between", ["", "images", "images/seq1"])
def test_unlabeled_images_lie_flat_or_in_folders(tmp_path: Path, between: str) -> None:
    pairs(tmp_path / "train", "a")
    photograph(tmp_path / "unlabeled" / between / "a.jpg")
    labeled, unlabeled = load_dataset(tmp_path).train
    assert unlabeled.image == tmp_path / "unlabeled" / between / "a.jpg"
    assert unlabeled.mask is None
    assert unlabeled.name != labeled.name


def test_masks_of_unlabeled_images_are_no_photographs(tmp_path: Path) -> None:
    """A benchmark keeps them there; nothing may be learned from them."""
    pairs(tmp_path / "train", "a")
    pairs(tmp_path / "unlabeled", "b", "c")
    images = [s.image for s in load_dataset(tmp_path).train if s.name != "a"]
    assert images == [tmp_path / "unlabeled" / "images" / f"{x}.jpg" for x in "bc"]


def test_a_mask_without_an_image_is_noted(tmp_path: Path) -> None:
    pairs(tmp_path / "train", "a")
    mask(tmp_path / "train" / "masks" / "b_mask.png")
    mask(tmp_path / "train" / "masks" / "c_mask.png")
    data = load_dataset(tmp_path)
    assert len(data.train) == 1
    (finding,) = data.findings
    assert (finding.kind, finding.severity) == ("mask-without-image", "warning")
    assert finding.files == ("train/masks/b_mask.png", "train/masks/c_mask.png")
    assert finding.text in data.notes


@pytest.mark.parametrize("extra", ["notes.txt", ".hidden.jpg", "._a.jpg", ".checkpoints/a.jpg"])
def test_hidden_and_other_files_are_passed_over(tmp_path: Path, extra: str) -> None:
    pairs(tmp_path / "train", "a")
    path = tmp_path / "train" / "images" / extra
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((tmp_path / "train" / "images" / "a.jpg").read_bytes())
    assert [s.name for s in load_dataset(tmp_path).train] == ["a"]


def test_pixels_are_counted_by_class_index_without_the_ignored(tmp_path: Path) -> None:
    photograph(tmp_path / "train" / "images" / "a.jpg")
    path = tmp_path / "train" / "masks" / "a.png"
    mask(path, foreground=255)
    (tmp_path / "classes.yaml").write_text("classes: [{name: a, id: 3}, {name: b, id: 0}]")
    assert load_dataset(tmp_path).pixels == {path: {1: WIDTH * HEIGHT // 2}}


def test_another_classes_file_takes_the_place_of_the_folders_own(tmp_path: Path) -> None:
    pairs(tmp_path / "train", "a")
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    other = tmp_path / "other.yaml"
    other.write_text("classes: [c, d]")
    assert load_dataset(tmp_path, other).classes.names == ("c", "d")
    with pytest.raises(DataError, match=r"none\.yaml does not exist"):
        load_dataset(tmp_path, tmp_path / "none.yaml")


def test_a_folder_is_listed_once_and_each_file_opened_once(
    tmp_path: Path, accesses: Counter[tuple[str, str]]
) -> None:
    data = tmp_path / "data"
    pairs(data / "train", "a", "b")
    pairs(data / "val", "a")
    photograph(data / "unlabeled" / "u.jpg")
    accesses.clear()
    load_dataset(data)
    own = {key: n for key, n in accesses.items() if Path(key[1]).is_relative_to(data)}
    assert set(own.values()) == {1}, own
    opened = {path for event, path in own if event == "open"}
    assert opened == {str(path) for path in data.rglob("*") if path.is_file()}


def test_files_that_did_not_change_are_not_opened_again(
    tmp_path: Path, accesses: Counter[tuple[str, str]]
) -> None:
    data = tmp_path / "data"
    pairs(data / "train", "a", "b")
    for path in data.rglob("*"):
        os.utime(path, (1e9, 1e9))
    first = load_dataset(data)
    accesses.clear()
    assert load_dataset(data) == first
    opened = {path for event, path in accesses if event == "open"}
    assert not [path for path in opened if Path(path).is_relative_to(data)]


# --- images that lie on their side


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_turned_image_goes_with_an_upright_mask(tmp_path: Path, suffix: str) -> None:
    """EXIF orientation 6: the camera was held upright, the pixels are stored lying."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2] = 250  # its left is the upright image's top
    path = tmp_path / "train" / "images" / f"a.{suffix}"
    path.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif)
    upright = np.asarray(read_image(path))
    assert upright.shape == (WIDTH, HEIGHT, 3)
    assert upright[:3].mean() > 200 > 50 > upright[-3:].mean()
    assert image_size(path) == (HEIGHT, WIDTH)
    mask(tmp_path / "train" / "masks" / "a.png", (HEIGHT, WIDTH))
    assert len(load_dataset(tmp_path).train) == 1


# --- what is refused


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_two_files_of_one_name_are_refused_with_both(tmp_path: Path, folder: str) -> None:
    pairs(tmp_path / "train", "a", "b")
    suffix = {"images": "jpg", "masks": "png"}[folder]
    twin = tmp_path / "train" / folder / "a.tif"
    shutil.copy(tmp_path / "train" / folder / f"a.{suffix}", twin)
    finding = error(tmp_path)
    assert finding.kind == "duplicate-name"
    assert finding.files == (f"train/{folder}/a.tif",)
    assert finding.details == (f" beside train/{folder}/a.{suffix}",)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path, split: str) -> None:
    pairs(tmp_path / "train", "a")
    pairs(tmp_path / split, "b")
    mask(tmp_path / split / "masks" / "b.png", (HEIGHT, WIDTH))
    finding = error(tmp_path)
    assert (finding.kind, finding.files) == ("size", (f"{split}/masks/b.png",))
    assert finding.details == (" is 8 x 12, its image 12 x 8",)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere\. Correct the path"):
        load_dataset(tmp_path / "nowhere")


def test_no_training_images_are_refused_with_the_layout(tmp_path: Path) -> None:
    mask(tmp_path / "train" / "masks" / "a.png")
    with pytest.raises(DataError, match=r"train.images holds no images.*Expected DATA/train"):
        load_dataset(tmp_path)
    photograph(tmp_path / "preview.jpg")  # which is none of them
    with pytest.raises(DataError, match=r"train.images holds no images.*Expected DATA/train"):
        load_dataset(tmp_path)
    photograph(tmp_path / "flat" / "a.JPG")
    with pytest.raises(DataError, match=r"images \(a.JPG\), but none has a mask beside it"):
        load_dataset(tmp_path / "flat")


def test_no_training_masks_are_refused_with_the_layout(tmp_path: Path) -> None:
    photograph(tmp_path / "train" / "images" / "a.jpg")
    mask(tmp_path / "train" / "masks" / "other.png")
    pairs(tmp_path / "val", "v")
    finding = error(tmp_path)
    assert finding.kind == "no-masks"
    assert str(tmp_path / "train" / "masks") in finding.remedy
    files = [f.files for f in read_dataset(tmp_path).findings if f.kind == "mask-without-image"]
    assert files == [("train/masks/other.png",)]


@pytest.mark.parametrize("broken", ["images/b.jpg", "masks/b.png"])
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path, broken: str) -> None:
    pairs(tmp_path / "train", "a", "b")
    (tmp_path / "train" / broken).write_bytes(b"<html>not found</html>")
    finding = error(tmp_path)
    assert finding.kind == f"unreadable-{broken.partition('s/')[0]}"
    assert finding.files == (f"train/{broken}",)


def test_a_mask_with_an_id_of_no_class_is_refused_by_name(tmp_path: Path) -> None:
    pairs(tmp_path / "train", "a", "b")
    mask(tmp_path / "train" / "masks" / "b.png", foreground=7)
    (tmp_path / "classes.yaml").write_text("classes: [a, b]")
    finding = error(tmp_path)
    assert (finding.kind, finding.files) == ("unknown-value", ("train/masks/b.png",))
    assert finding.details == (" (7)",)


# --- real images


def test_a_real_folder_of_palette_masks(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "samples" / "palette", tmp_path / "train")
    data = load_dataset(tmp_path)
    assert len(data.classes) == 4
    assert [s.name for s in data.train] == [f"{i:05d}" for i in range(5)]
    assert all(sum(counts.values()) == 256 * 128 for counts in data.pixels.values())
