"""Masks on disk become class indices, in every encoding that is met, or are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch._utils import ExceptionWrapper

from semiseg.core.errors import DataError, LossyMask
from semiseg.data.classes.class_inference import infer_classes
from semiseg.data.classes.named_classes import read_classes
from semiseg.data.formats.codes import scan_mask
from semiseg.data.formats.masks import Classes, default_color, read_mask

# Three classes in blocks, as indices.
BLOCKS = np.repeat(np.repeat([[0, 1, 2, 0], [2, 2, 1, 0]], 3, axis=0), 2, axis=1).astype(np.uint8)
BLACK, GREEN, RED, WHITE = (0, 0, 0), (0, 255, 0), (255, 0, 0), (255, 255, 255)
COLORS = np.array([BLACK, GREEN, RED], np.uint8)  # in the order of their codes
Pixels = NDArray[np.uint8]


def saved(path: Path, values: NDArray[np.generic], mode: str | None = None) -> Path:
    """The values as an image file, converted to `mode` if given."""
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path)
    return path


def inferred(*paths: Path) -> tuple[Classes, str]:
    return infer_classes([scan_mask(path) for path in paths])


def named_classes(folder: Path, text: str, *masks: Path, encoding: str = "utf-8") -> Classes:
    """The classes of a classes.yaml with this text."""
    (folder / "classes.yaml").write_text(text, encoding=encoding)
    return read_classes(folder / "classes.yaml", [scan_mask(path) for path in masks])[0]


def indices(path: Path, classes: Classes) -> Pixels:
    return np.asarray(read_mask(path, classes))


# --- what masks hold


@pytest.mark.parametrize("mode", [None, "LA", "RGB", "RGBA"])
def test_ids_are_read_from_gray_images_of_any_kind(tmp_path: Path, mode: str | None) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS, mode)
    classes, note = inferred(path)
    assert (classes.names, classes.codes, classes.encoding) == (("0", "1", "2"), (0, 1, 2), "ids")
    assert "ids 0 to 2" in note
    assert np.array_equal(indices(path, classes), BLOCKS)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_ids_of_more_than_eight_bits(tmp_path: Path, dtype: type) -> None:
    suffix = "png" if dtype is np.uint16 else "tif"
    path = saved(tmp_path / f"mask.{suffix}", np.array([0, 1000, 26001], dtype)[BLOCKS])
    classes, _ = inferred(path)
    assert classes.codes == (0, 1000, 26001)
    assert np.array_equal(indices(path, classes), BLOCKS)


def test_a_palette_gives_ids_and_display_colors(tmp_path: Path) -> None:
    image = Image.fromarray(BLOCKS)
    image.putpalette([*BLACK, *RED, *WHITE])
    image.save(tmp_path / "mask.png")
    classes, _ = inferred(tmp_path / "mask.png")
    assert classes.encoding == "ids"
    assert classes.colors == (BLACK, RED, WHITE)
    assert np.array_equal(indices(tmp_path / "mask.png", classes), BLOCKS)


def test_one_bit_masks_are_ids(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS == 1)
    with Image.open(path) as image:
        assert image.mode == "1"
    classes, _ = inferred(path)
    assert classes.codes == (0, 1)
    assert np.array_equal(indices(path, classes), BLOCKS == 1)


@pytest.mark.parametrize("alpha", [None, 0, 255])
def test_colors_are_classes_in_sorted_order_black_first(tmp_path: Path, alpha: int | None) -> None:
    values = COLORS[BLOCKS]
    if alpha is not None:
        values = np.dstack([values, np.full_like(BLOCKS, alpha)])
    path = saved(tmp_path / "mask.png", values)
    classes, note = inferred(path)
    assert classes.encoding == "colors"
    assert classes.names == ("#000000", "#00ff00", "#ff0000")
    assert classes.colors == (BLACK, GREEN, RED)
    assert all(name in note for name in classes.names)
    assert np.array_equal(indices(path, classes), BLOCKS)


def test_classes_are_those_of_all_masks_together(tmp_path: Path) -> None:
    """An all-black mask among colored ones is no mask of ids."""
    empty = saved(tmp_path / "empty.png", COLORS[np.zeros_like(BLOCKS)])
    green = saved(tmp_path / "green.png", COLORS[np.minimum(BLOCKS, 1)])
    red = saved(tmp_path / "red.png", COLORS[BLOCKS // 2 * 2])
    classes, _ = inferred(empty, red, green)
    assert classes.colors == (BLACK, GREEN, RED)
    assert set(indices(empty, classes).flat) == {0}
    assert set(indices(red, classes).flat) == {0, 2}


def test_255_is_ignored(tmp_path: Path) -> None:
    values = BLOCKS.copy()
    values[2:4] = 255
    path = saved(tmp_path / "mask.png", values)
    classes, note = inferred(path)
    assert classes.codes == (0, 1, 2)
    assert "255 is ignored" in note
    assert np.array_equal(indices(path, classes), values)


def test_nothing_but_0_and_255_is_binary(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", np.where(BLOCKS == 1, 255, 0).astype(np.uint8))
    classes, note = inferred(path)
    assert classes.codes == (0, 255)
    assert classes.ignored == ()
    assert "binary" in note
    assert np.array_equal(indices(path, classes), BLOCKS == 1)


def test_widely_spaced_gray_levels_are_one_class_each(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS * np.uint8(85))
    classes, note = inferred(path)
    assert classes.names == ("0", "85", "170")
    assert "gray levels" in note
    assert np.array_equal(indices(path, classes), BLOCKS)


@pytest.mark.parametrize("last", [2, 9])
def test_an_id_that_no_mask_holds_is_no_class(tmp_path: Path, last: int) -> None:
    """The other ids keep their values: what is predicted for 2 is written as 2."""
    values = np.where(BLOCKS == 1, last, 0).astype(np.uint8)
    path = saved(tmp_path / "mask.png", values)
    classes, note = inferred(path)
    assert classes.codes == (0, last)
    assert f"ids 0 to {last}, without 1" in note
    assert np.array_equal(indices(path, classes), BLOCKS == 1)
    assert np.array_equal(np.asarray(classes.to_image(indices(path, classes))), values)


# --- what is refused


def test_ids_beside_colors_are_refused_with_both_files(tmp_path: Path) -> None:
    saved(tmp_path / "ids.png", BLOCKS)
    saved(tmp_path / "colors.png", COLORS[BLOCKS])
    with pytest.raises(DataError, match=r"(?s)ids\.png.*colors\.png"):
        inferred(tmp_path / "ids.png", tmp_path / "colors.png")


@pytest.mark.parametrize("kind", ["colors", "gray levels", "binary"])
def test_masks_saved_as_jpeg_are_soft(tmp_path: Path, kind: str) -> None:
    """Their edges hold values that no class has; the data set says whether they can be split."""
    large = np.kron(BLOCKS, np.ones((8, 8), np.uint8))
    values = {
        "colors": COLORS[large],
        "gray levels": large * np.uint8(85),
        "binary": np.where(large == 1, 255, 0).astype(np.uint8),
    }[kind]
    scan = scan_mask(saved(tmp_path / "smeared.jpg", values))
    assert scan.lossy
    assert scan.is_soft


def test_photographs_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png"):
        path = saved(tmp_path / f"photograph.{suffix}", noise)
        with pytest.raises(LossyMask, match=rf"photograph\.{suffix}.*PNG"):
            scan_mask(path)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_value_teach_nothing(tmp_path: Path, value: int) -> None:
    path = saved(tmp_path / "mask.png", np.full_like(BLOCKS, value))
    with pytest.raises(DataError, match=rf"one class only.*\b{value}\b"):
        inferred(path)


def test_more_classes_than_eight_bits_hold_are_refused(tmp_path: Path) -> None:
    ids = np.arange(300, dtype=np.uint16).reshape(2, 10, 15)
    low, high = (saved(tmp_path / f"{i}.png", ids[i]) for i in range(2))
    with pytest.raises(DataError, match=r"299 classes, more than 255"):
        inferred(low, high)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_images_that_are_no_masks_are_refused_with_their_mode(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "odd.tif", BLOCKS, mode)
    with pytest.raises(DataError, match=rf"odd\.tif is an image of mode {mode}"):
        scan_mask(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
    path = saved(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix} cannot be read"):
        scan_mask(path)


def test_an_unknown_id_names_the_mask_and_the_way_out(tmp_path: Path) -> None:
    classes, _ = inferred(saved(tmp_path / "known.png", BLOCKS))
    path = saved(tmp_path / "strange.png", BLOCKS + np.uint8(7))
    with pytest.raises(DataError, match=r"strange\.png.*: 7, 8, 9\. .*classes\.yaml"):
        read_mask(path, classes)


def test_an_unknown_color_is_spelled_as_people_write_it(tmp_path: Path) -> None:
    classes, _ = inferred(saved(tmp_path / "known.png", COLORS[BLOCKS]))
    path = saved(tmp_path / "strange.png", (COLORS + np.uint8(16))[BLOCKS])
    with pytest.raises(DataError, match=r"strange\.png holds colors.*#101010.*Known: #000000"):
        read_mask(path, classes)


def test_ids_where_the_classes_are_colors_are_refused(tmp_path: Path) -> None:
    classes, _ = inferred(saved(tmp_path / "known.png", COLORS[BLOCKS]))
    path = saved(tmp_path / "ids.png", BLOCKS)
    with pytest.raises(DataError, match=r"ids\.png holds ids"):
        read_mask(path, classes)


def test_colors_where_the_classes_are_ids_are_refused(tmp_path: Path) -> None:
    """Rather than read as the ids that one of their channels happens to hold."""
    classes, _ = inferred(saved(tmp_path / "known.png", BLOCKS))
    path = saved(tmp_path / "colors.png", COLORS[BLOCKS])
    with pytest.raises(DataError, match=r"colors\.png"):
        read_mask(path, classes)


# --- classes.yaml


def test_names_alone_are_the_classes_in_the_order_of_ids(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS)
    classes = named_classes(tmp_path, "classes: [soil, crop, 3]", path)
    assert classes.names == ("soil", "crop", "3")
    assert classes.codes == (0, 1, 2)
    assert len(set(classes.colors)) == 3


def test_ids_say_what_the_masks_hold_and_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", np.array([30, 10, 20], np.uint8)[BLOCKS])
    text = """
        classes:
          - {name: soil, id: 30, color: [9, 8, 7]}
          - {name: crop, id: 10, color: "#00ff00"}
          - {name: weed, id: 20}
    """
    classes = named_classes(tmp_path, text, path)
    assert classes.names == ("soil", "crop", "weed")
    assert classes.colors[:2] == ((9, 8, 7), GREEN)
    assert np.array_equal(indices(path, classes), BLOCKS)


def test_colors_say_what_the_masks_hold(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", COLORS[BLOCKS])
    text = """
        classes:
          - {name: weed, color: "#FF0000"}
          - {name: soil, color: [0, 0, 0]}
          - {name: crop, color: [0, 255, 0]}
    """
    classes = named_classes(tmp_path, text, path)
    assert classes.colors == (RED, BLACK, GREEN)
    assert np.array_equal(indices(path, classes), np.array([1, 2, 0])[BLOCKS])


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS)
    classes = named_classes(tmp_path, "classes: [a, b, c]", path, encoding="utf-8-sig")
    assert classes.names == ("a", "b", "c")


@pytest.mark.parametrize("ignore", ["2", "[2]", "[2, 77]"])
def test_listed_ids_are_ignored_beside_255(tmp_path: Path, ignore: str) -> None:
    values = BLOCKS.copy()
    values[0] = 255
    path = saved(tmp_path / "mask.png", values)
    classes = named_classes(tmp_path, f"classes: [a, b]\nignore: {ignore}", path)
    assert np.array_equal(indices(path, classes), np.where(values < 2, values, 255))


def test_id_0_can_be_ignored(tmp_path: Path) -> None:
    """As in ADE20K, where 0 is what no class covers."""
    path = saved(tmp_path / "mask.png", BLOCKS)
    text = "classes: [{name: a, id: 1}, {name: b, id: 2}]\nignore: 0"
    assert np.array_equal(
        indices(path, named_classes(tmp_path, text, path)), np.array([255, 0, 1])[BLOCKS]
    )


@pytest.mark.parametrize("classes", ["{0: a, 2: c, 1: b}", "{a: 0, b: 1, c: 2}"])
def test_classes_may_be_a_mapping_of_ids_and_names(tmp_path: Path, classes: str) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS)
    read = named_classes(tmp_path, f"classes: {classes}", path)
    assert (read.names, read.codes) == (("a", "b", "c"), (0, 1, 2))
    assert np.array_equal(indices(path, read), BLOCKS)


@pytest.mark.parametrize("ignore", ['"#ff0000"', "[[255, 0, 0]]", "[255, 0, 0]"])
def test_a_listed_color_is_ignored(tmp_path: Path, ignore: str) -> None:
    path = saved(tmp_path / "mask.png", COLORS[BLOCKS])
    text = 'classes: [{name: a, color: "#000000"}, {name: b, color: "#00ff00"}]\nignore: ' + ignore
    classes = named_classes(tmp_path, text, path)
    assert np.array_equal(indices(path, classes), np.array([0, 1, 255])[BLOCKS])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a, b", "cannot be read as YAML"),
        ("classes:\n- {name: a, color: #000000}\n", "A color needs quotes"),
        ("classes:\n- name: a\n  color: #000000\n", "A color needs quotes"),
        ("- a\n- b", "no list `classes:`"),
        ("classes: 3", "no list `classes:`"),
        ("classes: [a]", "names 1 classes"),
        ("classes: [a, b, a]", "a is not"),
        ("classes: [a, {id: 1}]", "class 1 has no name"),
        ("classes: [a, yes, c]", "YAML reads the name of class 1 as true"),
        ("classes: [a, {name: b, colour: [1, 2, 3]}]", "class b has an unknown key 'colour'"),
        ("classes: [a, b, c]\nignored: 255", "'ignored'"),
        ("classes: [a, {name: b, id: one}]", "id of class b"),
        ("classes: [a, {name: b, id: -1}]", "id of class b"),
        ("classes: [{name: a, id: 1}, {name: b, id: 1}]", "two classes share an id"),
        ("classes: [a, b, c]\nignore: 1", "is also ignored"),
        ("classes: [a, b, c]\nignore: void", "'void' is neither"),
        ('classes: [a, {name: b, color: "#12345g"}]', "'#12345g' is neither"),
        ("classes: [a, {name: b, color: [1, 2]}]", r"\[1, 2\] is neither"),
        ("classes: [a, {name: b, color: [1, 2, 300]}]", r"\[1, 2, 300\] is neither"),
        ("classes: [a, {name: b, color: [0, 1.0, 0]}]", r"\[0, 1.0, 0\] is neither"),
        ("classes: {a: {id: 0}, b: {id: 1}}", "no list `classes:`"),
        ("classes:\n\t- a\n\t- b\n", "Use spaces instead of tabs"),
    ],
)
def test_a_wrong_classes_file_is_refused_by_what_is_wrong(
    tmp_path: Path, text: str, message: str
) -> None:
    path = saved(tmp_path / "mask.png", BLOCKS)
    with pytest.raises(DataError, match=rf"(?s)classes\.yaml.*{message}"):
        named_classes(tmp_path, text, path)


def test_color_masks_need_a_color_for_every_class(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", COLORS[BLOCKS])
    with pytest.raises(DataError, match=r"mask\.png.*classes\.yaml gives no `color:` for class b"):
        named_classes(tmp_path, 'classes: [{name: a, color: "#000000"}, b]', path)


# --- and back


def test_an_image_of_ids_holds_the_ids_of_the_masks(tmp_path: Path) -> None:
    """A written prediction can serve as a mask again, ignored pixels included."""
    original = np.array([40, 3, 7], np.uint8)[BLOCKS]
    original[0, 0] = 255
    path = saved(tmp_path / "mask.png", original)
    text = "classes: [{name: a, id: 3, color: [1, 2, 3]}, {name: b, id: 40}, {name: c, id: 7}]"
    classes = named_classes(tmp_path, text, path)
    classes.to_image(indices(path, classes)).save(tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as again:
        assert np.array_equal(np.asarray(again), original)
        assert set(np.asarray(again.convert("RGB"))[original == 3].flat) == {1, 2, 3}
    assert np.array_equal(indices(tmp_path / "again.png", classes), indices(path, classes))


def test_an_image_of_colors_shows_the_colors_of_the_masks(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", COLORS[BLOCKS])
    classes, _ = inferred(path)
    image = classes.to_image(indices(path, classes))
    assert np.array_equal(np.asarray(image), BLOCKS)
    assert np.array_equal(np.asarray(image.convert("RGB")), COLORS[BLOCKS])


def test_classes_survive_json(tmp_path: Path) -> None:
    classes, _ = inferred(saved(tmp_path / "mask.png", COLORS[BLOCKS]))
    assert Classes.from_dict(json.loads(json.dumps(classes.to_dict()))) == classes
    assert json.loads(json.dumps(classes.to_dict())) == classes.to_dict()  # a resumed run compares


def test_default_colors_differ() -> None:
    colors = [default_color(i) for i in range(255)]
    assert colors[0] == BLACK
    assert len(set(colors)) == 255
    assert all(0 <= channel <= 255 for color in colors for channel in color)


# --- real masks


def test_real_palette_masks(shared_data: Path) -> None:
    """Each file has its own palette, but they agree on the ids."""
    paths = sorted((shared_data / "samples" / "palette" / "masks").glob("*.png"))
    classes, _ = inferred(*paths)
    assert (classes.encoding, classes.codes) == ("ids", (0, 1, 2, 3))
    for path in paths:
        with Image.open(path) as image:
            assert np.array_equal(indices(path, classes), np.asarray(image))


def test_real_color_masks(shared_data: Path) -> None:
    paths = sorted((shared_data / "peanut" / "val" / "masks").glob("*.png"))[:6]
    classes, _ = inferred(*paths)
    assert classes.colors == (BLACK, GREEN, RED)
    for path in paths:
        with Image.open(path) as image:
            colored_mask = classes.to_image(indices(path, classes)).convert("RGB")
            assert np.array_equal(np.asarray(colored_mask), np.asarray(image))


def test_a_loader_process_can_pass_the_error_of_a_lossy_mask_on():
    error = ExceptionWrapper((LossyMask, LossyMask.of("m.png", 300), None), where="in a process")
    with pytest.raises(LossyMask, match=r"m\.png holds 300 different values"):
        error.reraise()
