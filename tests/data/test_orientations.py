"""Masks of other sizes, and masks of photographs that their EXIF data turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_masks import draw_indices, kinds, photograph, read
from PIL import Image, ImageOps

import semiseg
from semiseg.core.types import Arrangement
from semiseg.data.formats.decoded import Header
from semiseg.data.formats.images import read_header
from semiseg.data.formats.orientation import fit_mask, have_same_shape
from semiseg.data.reader import read_dataset

STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera of an orientation stores an upright picture."""


def write_turned(
    root: Path,
    orientation: int,
    *,
    stored: bool,
    count: int = 3,
    size: tuple[int, int] = (96, 72),
    blank: bool = False,
) -> dict[str, np.ndarray]:
    """Photographs with an orientation, and masks drawn on the stored or on the upright pixels.

    Returns:
        The class indices of the upright photographs.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    truth = {}
    for number in range(count):
        indices = draw_indices(number, 3, size)
        indices[: size[1] // 8, : size[0] // 3] = 1  # so that no turn leaves it as it is
        picture = photograph(indices * 0 if blank else indices, number)
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = picture.transpose(STORE[orientation])
        turned.save(root / "images" / f"{number}.jpg", exif=exif, quality=95)
        mask = Image.fromarray(indices)
        (mask.transpose(STORE[orientation]) if stored else mask).save(
            root / "masks" / f"{number}.png"
        )
        truth[f"{number}"] = indices
    return truth


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("orientation", STORE)
def test_the_position_of_masks_is_found_out(tmp_path: Path, orientation: int, stored: bool) -> None:
    truth = write_turned(tmp_path, orientation, stored=stored)
    data, labels = read(tmp_path)
    assert kinds(data) == ["orientation"] * stored
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


@pytest.mark.parametrize("orientation", [5, 6])
@pytest.mark.parametrize("stored", [True, False])
def test_the_position_of_masks_of_square_photographs(
    tmp_path: Path, orientation: int, stored: bool
) -> None:
    truth = write_turned(tmp_path, orientation, stored=stored, size=(80, 80))
    data, labels = read(tmp_path)
    assert kinds(data) == ["orientation"] * stored
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_a_position_that_nothing_tells_is_a_warning_with_the_flag(tmp_path: Path) -> None:
    truth = write_turned(tmp_path, 3, stored=True, blank=True)
    data, labels = read(tmp_path)
    (finding,) = [f for f in data.findings if f.kind == "orientation"]
    assert finding.severity == "warning"
    assert "--exif ignore" in finding.remedy
    assert np.array_equal(labels["0"], truth["0"][::-1, ::-1])  # taken as upright
    data, labels = read(tmp_path, flags=Arrangement(exif="ignore"))
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)
    data, labels = read(tmp_path, flags=Arrangement(exif="apply"))
    assert kinds(data) == []
    assert np.array_equal(labels["0"], truth["0"][::-1, ::-1])


def test_a_person_overrules_what_fits(tmp_path: Path) -> None:
    truth = write_turned(tmp_path, 3, stored=False)
    _, labels = read(tmp_path, flags=Arrangement(exif="ignore"))
    assert np.array_equal(labels["1"], truth["1"][::-1, ::-1])
    (tmp_path / "dataset.yaml").write_text("exif: ignore\n")
    _, labels = read(tmp_path)
    assert np.array_equal(labels["1"], truth["1"][::-1, ::-1])
    _, labels = read(tmp_path, flags=Arrangement(exif="apply"))
    assert np.array_equal(labels["1"], truth["1"])


def test_photographs_on_their_side_tell_how_the_others_lie(tmp_path: Path) -> None:
    """One tool drew all masks; the blank ones tell nothing by themselves."""
    truth = write_turned(tmp_path / "a", 3, stored=True, blank=True)
    write_turned(tmp_path / "b", 6, stored=True)
    for folder in ("images", "masks"):
        for file in (tmp_path / "b" / folder).iterdir():
            file.rename(tmp_path / "a" / folder / f"b{file.name}")
    data, labels = read(tmp_path / "a")
    assert len([f for f in data.findings if f.kind == "orientation"]) == 1
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_a_transposed_mask_without_an_orientation_is_refused(tmp_path: Path) -> None:
    write_turned(tmp_path, 6, stored=True)
    for file in (tmp_path / "images").iterdir():
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
        upright.save(file)
    (finding,) = read_dataset(tmp_path).errors()
    assert finding.kind == "size"
    assert "96 x 72" in finding.text


@pytest.mark.parametrize("factor", [2, 3])
def test_smaller_masks_of_the_same_shape_are_enlarged(tmp_path: Path, factor: int) -> None:
    truth = write_turned(tmp_path, 2, stored=False)
    for name, indices in truth.items():
        small = indices[::factor, ::factor]
        Image.fromarray(small).save(tmp_path / "masks" / f"{name}.png")
        truth[name] = small.repeat(factor, 0).repeat(factor, 1)
    data, labels = read(tmp_path)
    assert kinds(data) == ["size"]
    (finding,) = [f for f in data.findings if f.kind == "size"]
    assert f"{96 // factor} x {72 // factor}, its image 96 x 72" in finding.text
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_larger_masks_are_reduced_without_interpolation(tmp_path: Path) -> None:
    truth = write_turned(tmp_path, 2, stored=False)
    for name, indices in truth.items():
        large = indices.repeat(2, 0).repeat(2, 1)
        Image.fromarray(large).save(tmp_path / "masks" / f"{name}.png")
    data, labels = read(tmp_path)
    assert kinds(data) == ["size"]
    assert all(np.array_equal(labels[name], truth[name]) for name in truth)


def test_smaller_masks_of_stored_pixels_are_turned_and_enlarged(tmp_path: Path) -> None:
    truth = write_turned(tmp_path, 6, stored=True)
    for name, indices in truth.items():
        small = Image.fromarray(indices[::2, ::2]).transpose(STORE[6])
        small.save(tmp_path / "masks" / f"{name}.png")
    data, labels = read(tmp_path)
    assert sorted(kinds(data)) == ["orientation", "size"]
    expected = {name: i[::2, ::2].repeat(2, 0).repeat(2, 1) for name, i in truth.items()}
    assert all(np.array_equal(labels[name], expected[name]) for name in truth)


@pytest.mark.parametrize("size", [(96, 64), (90, 72), (72, 96), (2, 1), (960, 700)])
def test_masks_of_another_shape_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    write_turned(tmp_path, 2, stored=False)
    Image.new("L", size, 1).save(tmp_path / "masks" / "1.png")
    (finding,) = read_dataset(tmp_path).errors()
    assert (finding.kind, finding.files) == ("size", ("masks/1.png",))


def test_shapes_by_hand() -> None:
    assert have_same_shape((4000, 3000), (1333, 1000))
    assert have_same_shape((1333, 1000), (4000, 3000))
    assert not have_same_shape((4000, 3000), (1340, 1000))
    assert not have_same_shape((4000, 3000), (40, 30))  # a thumbnail is another file
    assert not have_same_shape((100, 100), (1, 1))


def test_a_mask_of_another_shape_fits_nothing() -> None:
    mask = Image.new("L", (50, 50))
    assert fit_mask(mask, Header((96, 72), 1), is_turned=False) is None
    assert fit_mask(mask, Header((96, 72), 6), is_turned=True) is None


@pytest.mark.parametrize("place", ["before", "after", "none"])
def test_the_orientation_of_a_png_is_read_from_its_chunks(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (40, 30)).save(path, **({} if place == "none" else {"exif": exif}))
    if place == "after":  # as some tools append it
        content = path.read_bytes()
        start = content.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(content[start : start + 4])
        chunk, rest = content[start:end], content[:start] + content[end:]
        last = rest.index(b"IEND") - 4
        path.write_bytes(rest[:last] + chunk + rest[last:])
    expected = Header((40, 30), 1) if place == "none" else Header((30, 40), 8)
    assert read_header(path) == expected
    assert expected.stored_size == (40, 30)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_training_learns_from_turned_masks_and_its_model_scores_them(
    tmp_path: Path, tiny_settings: dict[str, object], orientation: int
) -> None:
    folder, out = tmp_path / "data", tmp_path / "run"
    write_turned(folder, orientation, stored=True, count=6)
    settings = {**tiny_settings, "labels": "all"}
    semiseg.train(folder, method="supervised", out=out, **settings)
    result = semiseg.evaluate(out, folder, split="train")
    assert all(scores.iou is not None for scores in result.per_class.values())
