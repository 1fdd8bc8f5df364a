"""What the values of masks mean where no file names the classes, and where one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semiseg.checks.examine import examine
from semiseg.core.errors import DataError
from semiseg.data.classes.class_inference import infer_classes
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.formats.codes import scan_mask
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.formats.thin_lines import thin_lines
from semiseg.data.reader import load_dataset

HEIGHT, WIDTH = 60, 80
BLACK, RED = (0, 0, 0), (255, 0, 0)


def discs(count: int) -> NDArray[np.uint8]:
    """Class indices: 0 with discs of 1 to `count - 1`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    for c in range(1, count):
        cx, cy = WIDTH * (2 * c - 1) / (2 * count - 2), HEIGHT / 2
        indices[(x - cx) ** 2 + (y - cy) ** 2 < (0.4 * WIDTH / (count - 1)) ** 2] = c
    return indices


def border(indices: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels beside another index."""
    padded = np.pad(indices, 1, mode="edge")
    parts = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    return np.any([part != indices for part in parts], axis=0)


def folder(root: Path, *masks: NDArray[np.generic], **files: str) -> Path:
    """A data folder of these masks; each keyword is a file's name and text, `_` for the dot."""
    noise = np.random.default_rng(0)
    for i, mask in enumerate(masks):
        image = noise.integers(0, 255, (*mask.shape[:2], 3), dtype=np.uint8)
        for place, array in (("images", image), ("masks", mask)):
            suffix = "tif" if array.dtype == np.int32 else "png"
            (root / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / place / f"{i}.{suffix}")
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def found(data: Dataset, kind: str) -> list[Finding]:
    return [finding for finding in data.findings if finding.kind == kind]


def indices_of(data: Dataset, number: int = 0) -> NDArray[np.uint8]:
    """The class indices of one mask."""
    mask = sorted(mask for _, mask in data.labeled("train"))[number]
    return np.asarray(read_mask(mask, data.classes))


# --- inferred


@pytest.mark.parametrize(
    "levels",
    [
        (0, 85, 170, 255),
        (0, 128, 255),
        (0, 127, 255),
        (0, 64, 128, 191, 255),
        (0, 29, 76, 150, 255),
        (0, 255),
        (0, 100, 255),
        (50, 150, 255),
    ],
)
def test_255_at_the_end_of_widely_spaced_levels_is_a_class(
    tmp_path: Path, levels: tuple[int, ...]
) -> None:
    values = np.array(levels, np.uint8)[discs(len(levels))]
    data = examine(folder(tmp_path, values, values.T.copy()))
    assert data.classes.codes == levels
    assert np.array_equal(indices_of(data), discs(len(levels)))
    assert not data.errors()
    assert not found(data, "void-value")


@pytest.mark.parametrize(
    ("ids", "codes"),
    [((0, 1, 255), (0, 1)), ((0, 1, 2, 255), (0, 1, 2)), ((0, 10, 20, 255), (0, 10, 20))],
)
def test_255_after_ids_is_ignored_with_its_share(
    tmp_path: Path, ids: tuple[int, ...], codes: tuple[int, ...]
) -> None:
    values = np.array(ids, np.uint8)[discs(len(ids))]
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == codes
    assert 255 in data.classes.ignored
    share = 100 * np.mean(values == 255)
    (finding,) = found(data, "void-value")
    assert finding.severity == "warning"
    assert f"255 covers {share:.1f} %" in finding.text


def test_either_advice_on_255_settles_it(tmp_path: Path) -> None:
    values = np.array([0, 1, 2, 255], np.uint8)[discs(4)]
    data = examine(folder(tmp_path, values, values))
    (finding,) = found(data, "void-value")
    names, ignored, classes = finding.remedy.split("`")[1::2]
    (tmp_path / "classes.yaml").write_text(f"{names}\n{ignored}\n")
    without = examine(tmp_path)
    assert without.classes.codes == (0, 1, 2)
    assert np.array_equal(indices_of(without) == 255, values == 255)
    assert not found(without, "void-value")
    (tmp_path / "classes.yaml").write_text(f"{classes}\n")
    assert examine(tmp_path).classes.codes == (0, 1, 2, 255)
    assert np.array_equal(indices_of(examine(tmp_path)), discs(4))


def test_255_on_thin_lines_is_void_as_expected(tmp_path: Path) -> None:
    values = discs(3)
    values[border(values)] = 255
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == (0, 1, 2)
    assert not found(data, "void-value")


@pytest.mark.parametrize("void", [220, 254, 100])
def test_an_isolated_id_on_thin_lines_is_ignored(tmp_path: Path, void: int) -> None:
    values = discs(3)
    values[border(values)] = void
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == (0, 1, 2)
    assert void in data.classes.ignored
    assert np.array_equal(indices_of(data) == 255, border(discs(3)))
    (finding,) = found(data, "void-value")
    assert finding.severity == "warning"
    assert f"{void} lies on thin lines" in finding.text
    assert f"ignore: [{void}]" in finding.remedy


def test_an_isolated_id_in_areas_is_a_class_with_a_warning(tmp_path: Path) -> None:
    values = np.array([0, 1, 2, 220], np.uint8)[discs(4)]
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == (0, 1, 2, 220)
    (finding,) = found(data, "void-value")
    assert "220 covers" in finding.text
    assert "taken as a class" in finding.text


def test_rings_of_gray_levels_stay_classes(tmp_path: Path) -> None:
    """A thin level among others of the same spacing may be a class: a person decides."""
    values = np.array([0, 170], np.uint8)[discs(2)]
    values[border(discs(2))] = 85
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == (0, 85, 170)
    assert "85 lies on thin lines" in found(data, "void-value")[0].text


def test_thin_lines_lie_between_two_others() -> None:
    ring, spots = discs(3).astype(np.int32), np.zeros((HEIGHT, WIDTH), np.int32)
    ring[border(discs(3))] = 200
    assert thin_lines(ring, (0, 1, 2, 200)) == (200,)
    spots[::10, ::10] = 200  # small, but with the same id around them
    spots[30:] = 1
    assert thin_lines(spots, (0, 1, 200)) == ()
    assert thin_lines(ring, (0, 1, 2, 3)) == ()


@pytest.mark.parametrize("ids", [(0, 7, 300, 1000), (3, 256, 65534), (0, 256)])
def test_ids_above_255_are_classes(tmp_path: Path, ids: tuple[int, ...]) -> None:
    values = np.array(ids, np.uint16)[discs(len(ids))]
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == ids
    assert np.array_equal(indices_of(data), discs(len(ids)))


def test_65535_is_the_void_of_16_bits(tmp_path: Path) -> None:
    values = np.array([0, 1, 2, 65535], np.uint16)[discs(4)]
    data = examine(folder(tmp_path, values, values))
    assert data.classes.codes == (0, 1, 2)
    assert np.array_equal(indices_of(data) == 255, values == 65535)
    binary = folder(tmp_path / "binary", np.where(discs(2) == 1, 65535, 0).astype(np.uint16))
    assert examine(binary).classes.codes == (0, 65535)


def test_ids_from_1_have_no_class_0(tmp_path: Path) -> None:
    data = load_dataset(folder(tmp_path, discs(3) + np.uint8(1), discs(3) + np.uint8(1)))
    assert data.classes.codes == (1, 2, 3)
    assert np.array_equal(indices_of(data), discs(3))


def test_a_negative_id_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    values = discs(3).astype(np.int32)
    values[:5] = -1
    data = examine(folder(tmp_path, values, values))
    (error,) = data.errors()
    assert error.kind == "classes"
    assert "the id -1" in error.message
    names, ignored = error.remedy.split("`")[1::2]
    (tmp_path / "classes.yaml").write_text(f"{names}\n{ignored}\n")
    data = load_dataset(tmp_path)
    assert data.classes.codes == (0, 1, 2)
    assert np.array_equal(indices_of(data) == 255, values == -1)


def test_the_void_color_of_voc_is_ignored(tmp_path: Path) -> None:
    colors = np.array([BLACK, RED, (224, 224, 192)], np.uint8)
    indices = discs(2)
    indices[border(indices)] = 2
    data = load_dataset(folder(tmp_path, colors[indices], colors[indices]))
    assert data.classes.names == ("#000000", "#ff0000")
    assert np.array_equal(indices_of(data) == 255, indices == 2)


def test_an_id_above_16_bits_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, np.array([0, 70000], np.int32)[discs(2)])
    with pytest.raises(DataError, match=r"the id 70000 .*0\.tif"):
        infer_classes([scan_mask(tmp_path / "masks" / "0.tif")])


# --- one class, or none


@pytest.mark.parametrize(
    "files",
    [{}, {"classes__yaml": "classes: [soil, crop]"}, {"classes__txt": "soil\ncrop\n"}],
    ids=["inferred", "classes.yaml", "classes.txt"],
)
def test_masks_of_one_class_are_refused_whatever_names_it(
    tmp_path: Path, files: dict[str, str]
) -> None:
    data = examine(folder(tmp_path, *[np.zeros_like(discs(2))] * 3, **files))
    assert [finding.kind for finding in data.errors()] == ["classes"]
    assert "one class only" in data.errors()[0].message


def test_a_class_that_another_id_hides_is_refused(tmp_path: Path) -> None:
    """The file says 1, the masks hold 255: half of the pixels would be ignored."""
    values = np.where(discs(2) == 1, 255, 0).astype(np.uint8)
    text = "classes: [{name: soil, id: 0}, {name: crop, id: 1}]"
    (error,) = examine(folder(tmp_path, values, values, classes__yaml=text)).errors()
    assert error.kind == "classes"
    assert "one class only (soil; 255 is ignored)" in error.message


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_whose_pixels_are_all_ignored_is_refused(tmp_path: Path, split: str) -> None:
    other = "val" if split == "train" else "train"
    folder(tmp_path / other, discs(3), discs(3))
    folder(tmp_path / split, np.full_like(discs(3), 255))
    errors = [f for f in examine(tmp_path).errors() if f.kind == "all-ignored"]
    assert [error.message for error in errors] == [
        f"Every pixel of all masks of {split} is ignored"
    ]


def test_a_val_of_one_class_is_a_warning(tmp_path: Path) -> None:
    folder(tmp_path / "train", discs(3), discs(3))
    folder(tmp_path / "val", np.zeros_like(discs(3)))
    (finding,) = found(examine(tmp_path), "unscored-class")
    assert finding.severity == "warning"
    assert finding.classes == ("1", "2")


# --- named


def named(root: Path, values: NDArray[np.generic], **files: str) -> tuple[Classes, Dataset]:
    data = examine(folder(root, values, values, **files))
    assert not data.errors(), data.errors()
    return data.classes, data


def test_two_names_of_binary_masks_are_0_and_255(tmp_path: Path) -> None:
    values = np.where(discs(2) == 1, 255, 0).astype(np.uint8)
    classes, data = named(tmp_path, values, classes__yaml="classes: [soil, crop]")
    assert (classes.names, classes.codes) == (("soil", "crop"), (0, 255))
    assert np.array_equal(indices_of(data), discs(2))
    assert "255 is crop" in data.inferred


def test_names_stand_for_levels_in_their_order(tmp_path: Path) -> None:
    values = np.array([0, 85, 170, 255], np.uint8)[discs(4)]
    classes, data = named(tmp_path, values, classes__txt="soil\ncrop\nweed\nstone\n")
    assert dict(zip(classes.codes, classes.names, strict=True)) == {
        0: "soil",
        85: "crop",
        170: "weed",
        255: "stone",
    }
    assert np.array_equal(indices_of(data), discs(4))


def test_names_of_ids_from_1_ask_for_the_ids_and_the_advice_works(tmp_path: Path) -> None:
    values = discs(3) + np.uint8(1)
    text = "classes: [soil, crop, weed]"
    data = examine(folder(tmp_path, values, values, classes__yaml=text))
    (error,) = data.errors()
    assert "the masks hold the ids 1 to 3" in error.message
    (tmp_path / "classes.yaml").write_text(error.remedy.partition("so: ")[2])
    data = load_dataset(tmp_path)
    assert (data.classes.names, data.classes.codes) == (("soil", "crop", "weed"), (1, 2, 3))


def test_ids_of_one_name_are_one_class(tmp_path: Path) -> None:
    text = "classes: [{name: soil, id: 0}, {name: plant, id: 1}, {name: plant, id: 2}]"
    classes, data = named(tmp_path, discs(3), classes__yaml=text)
    assert (classes.names, classes.codes, classes.merged) == (("soil", "plant"), (0, 1), ((2, 1),))
    assert np.array_equal(indices_of(data), discs(3) > 0)
    assert data.counts[tmp_path / "masks" / "0.png"] == {
        0: int((discs(3) == 0).sum()),
        1: int((discs(3) > 0).sum()),
    }
    assert Classes.from_dict(classes.to_dict()) == classes
    written = classes.to_image(indices_of(data))
    assert np.array_equal(np.asarray(written), discs(3) > 0)


def test_a_name_twice_without_ids_is_refused(tmp_path: Path) -> None:
    data = examine(folder(tmp_path, discs(3), classes__yaml="classes: [soil, plant, plant]"))
    assert "plant" in data.errors()[0].message
    assert "its id" in data.errors()[0].remedy


def test_a_color_table_names_the_colors_and_black_may_be_missing(tmp_path: Path) -> None:
    colors = np.array([BLACK, RED, (0, 255, 0)], np.uint8)
    table = "name,r,g,b\nweed,0,255,0\ncrop,255,0,0\n"
    classes, data = named(tmp_path, colors[discs(3)], class_dict__csv=table)
    assert classes.names == ("background", "weed", "crop")
    assert np.array_equal(indices_of(data), np.array([0, 2, 1], np.uint8)[discs(3)])


def test_a_color_table_names_the_ids_of_a_palette(tmp_path: Path) -> None:
    """The order of the table is not that of the ids."""
    folder(tmp_path, discs(3), class_dict__csv="name,r,g,b\nweed,0,255,0\nsoil,0,0,0\ncrop,255,0,0")
    path = tmp_path / "masks" / "0.png"
    with Image.open(path) as image:
        image.putpalette([*BLACK, *RED, 0, 255, 0])
        image.save(path)
    classes = examine(tmp_path).classes
    assert dict(zip(classes.names, classes.codes, strict=True)) == {"soil": 0, "crop": 1, "weed": 2}


def test_ids_from_1_in_a_file_leave_0_to_the_background(tmp_path: Path) -> None:
    classes, _ = named(tmp_path, discs(3), label2id__json='{"crop": 1, "weed": 2}')
    assert (classes.names, classes.codes) == (("background", "crop", "weed"), (0, 1, 2))


def test_a_border_is_ignored_beside_names(tmp_path: Path) -> None:
    values = discs(3)
    values[border(values)] = 220
    classes, data = named(tmp_path, values, classes__txt="soil\ncrop\nweed")
    assert classes.names == ("soil", "crop", "weed")
    assert np.array_equal(indices_of(data) == 255, border(discs(3)))
    assert "220 is ignored" in data.inferred


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("id2label.json", '{"0": "background", "1": "crop"}'),
        ("dataset.json", '{"labels": {"background": 0, "crop": 1}}'),
        ("classes.txt", "background\ncrop\n"),
        ("classes.txt", "crop\n"),
        ("label2id.json", '{"crop": 1}'),
    ],
)
def test_lists_of_other_tools_name_binary_masks(
    tmp_path: Path, high: int, name: str, text: str
) -> None:
    values = np.array([0, high], np.uint8)[discs(2)]
    (folder(tmp_path, values, values) / name).write_text(text)
    data = examine(tmp_path)
    assert (data.classes.names, data.classes.codes) == (("background", "crop"), (0, high))
    assert np.array_equal(indices_of(data), discs(2))
    assert not found(data, "class-names")


def test_255_beside_names_of_which_the_last_is_missing(tmp_path: Path) -> None:
    values = np.array([0, 1, 255], np.uint8)[discs(3)]
    data = examine(folder(tmp_path, values, values, classes__yaml="classes: [soil, crop, weed]"))
    (finding,) = found(data, "void-value")
    assert "weed (2) occurs nowhere" in finding.message
    (tmp_path / "classes.yaml").write_text(finding.remedy.split("`")[1])
    data = examine(tmp_path)
    assert (data.classes.names, data.classes.codes) == (("soil", "crop", "weed"), (0, 1, 255))
    assert not found(data, "void-value")


@pytest.mark.parametrize(
    ("text", "severity", "reason"),
    [
        ("crop\nweed\n", "warning", "holds 2, which it does not name"),
        ("1.png 0\n2.png 1\n", "note", "no list of classes"),
        ("0\n1\nsomething\n", "warning", "lists images"),
    ],
)
def test_a_list_that_does_not_fit_is_said_not_to_be_used(
    tmp_path: Path, text: str, severity: str, reason: str
) -> None:
    data = examine(folder(tmp_path, discs(3), discs(3), labels__txt=text))
    assert data.classes.names == ("0", "1", "2")
    (finding,) = found(data, "class-names")
    assert (finding.severity, finding.files) == (severity, ("labels.txt",))
    assert reason in finding.text
    assert not data.errors()


def test_the_advice_on_a_list_without_background_works(tmp_path: Path) -> None:
    data = examine(folder(tmp_path, discs(3), discs(3), obj__names="crop\nweed\n"))
    (tmp_path / "classes.yaml").write_text(found(data, "class-names")[0].remedy.split("`")[1])
    assert load_dataset(tmp_path).classes.names == ("background", "crop", "weed")


def test_a_file_that_must_fit_is_refused_by_name(tmp_path: Path) -> None:
    data = examine(folder(tmp_path, discs(3), discs(3), classes__yaml="classes: [soil, plant]"))
    (error,) = data.errors()
    assert error.kind == "unknown-value"
    assert "classes.yaml" in error.text


def test_the_first_list_that_fits_counts(tmp_path: Path) -> None:
    files = {"class_names__txt": "soil\ncrop\n", "labels__txt": "soil\ncrop\nweed\n"}
    classes, data = named(tmp_path, discs(3), **files)
    assert classes.names == ("soil", "crop", "weed")
    assert found(data, "class-names")[0].files == ("class_names.txt",)
    (tmp_path / "class_names.txt").write_text("a\nb\nc\n")
    data = examine(tmp_path)
    assert data.classes.names == ("a", "b", "c")
    assert "labels.txt is ignored" in data.inferred
