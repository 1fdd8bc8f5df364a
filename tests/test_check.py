"""Each defect of a data folder is found, named with its files, and a clean folder gives nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semiseg.checks import class_rules, examine, rules
from semiseg.checks.report import Report
from semiseg.commands.check import check
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.data import cache as scan_cache
from semiseg.data.findings import Finding, Kind
from semiseg.data.formats.codes import scan_mask
from semiseg.data.formats.smearing import mixed_edges
from semiseg.plots.labeled_samples import mask_overlay
from semiseg.plots.legend import load_font

WIDTH, HEIGHT = 48, 32
Size = tuple[int, int]
# Three classes in stripes.
STRIPES = np.repeat(np.arange(3, dtype=np.uint8), WIDTH // 3)[None].repeat(HEIGHT, axis=0)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "semiseg"
    monkeypatch.setenv("SEMISEG_CACHE", str(folder))
    return folder


def photograph(path: Path, seed: int, size: Size = (WIDTH, HEIGHT)) -> Path:
    """A picture that differs from that of any other seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def mask(path: Path, values: NDArray[np.generic] = STRIPES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Nothing is wrong here: train a, b, c and, without a mask, d; val v, w."""
    root = tmp_path / "data"
    for i, name in enumerate(("train/a", "train/b", "train/c", "train/d", "val/v", "val/w")):
        split, stem = name.split("/")
        photograph(root / split / "images" / f"{stem}.png", i)
        if stem != "d":
            mask(root / split / "masks" / f"{stem}.png")
    return root


def only(report: Report) -> Finding:
    """The one finding of the report."""
    assert len(report.findings) == 1, [f.text for f in report.findings]
    return report.findings[0]


def finding_of(report: Report, kind: str) -> Finding:
    """The finding of this kind, of which there is one."""
    matches = [f for f in report.findings if f.kind == kind]
    assert len(matches) == 1, [f.text for f in report.findings]
    return matches[0]


# --- nothing wrong


def test_a_clean_folder_gives_no_finding_but_counts_and_a_histogram(data: Path) -> None:
    photograph(data / "unlabeled" / "u.png", 10, (100, 50))
    report = check(data)
    assert report.findings == ()
    assert "No problems found." in report.text()
    assert report.ok
    assert {k: tuple(v) for k, v in report.counts.items()} == {
        "train": (3, 1),
        "unlabeled": (0, 1),
        "val": (2, 0),
    }
    assert report.sizes is not None
    assert report.sizes == ((48, 32), (48, 32), (100, 50), 2)
    assert report.classes == ("0", "1", "2")
    pixels = WIDTH * HEIGHT // 3
    assert report.histogram["train"].classes["1"] == (3 * pixels, pytest.approx(1 / 3), 3)
    assert report.histogram["val"].classes["2"] == (2 * pixels, pytest.approx(1 / 3), 2)
    assert report.histogram["val"].ignored == (0, 0.0, 0)


def test_the_drawn_scenes_are_clean(tiny_folder: Path) -> None:
    report = check(tiny_folder)
    assert report.ok
    assert {f.kind for f in report.findings} <= {"unscored-class", "absent-class", "unseen-class"}


def test_ignored_pixels_have_a_line_of_their_own_and_no_part_in_the_shares(data: Path) -> None:
    values = STRIPES.copy()
    values[:, : WIDTH // 3] = 255
    mask(data / "train" / "masks" / "a.png", values)
    histogram = check(data).histogram["train"]
    pixels = WIDTH * HEIGHT // 3
    assert histogram.ignored == (pixels, pytest.approx(1 / 9), 1)
    assert histogram.classes["0"] == (2 * pixels, pytest.approx(2 / 8), 2)


def test_the_report_is_json_and_a_table(data: Path) -> None:
    mask(data / "train" / "masks" / "lonely.png")
    report = check(data)
    values = json.loads(json.dumps(report.to_dict()))
    assert values["ok"] is True
    assert values["counts"]["train"] == {"labeled": 3, "unlabeled": 1}
    assert values["sizes"]["median"] == [48, 32]
    assert values["histogram"]["val"]["classes"]["0"]["images"] == 2
    assert values["findings"][0]["items"] == ["train/masks/lonely.png"]
    text = report.text()
    assert "All images are 48 x 32 pixels." in text
    assert "ids 0 to 2" in text
    assert "warning  Masks that belong to no image" in text
    assert "1 warning." in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_turned_image_goes_with_its_upright_mask(data: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(data / "train" / "images" / "a.png") as file:
        file.transpose(Image.Transpose.ROTATE_90).save(
            data / "train" / "images" / "a.png", exif=exif
        )
    assert check(data).findings == ()


def test_classes_named_in_another_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("classes: [soil, crop, weed]")
    assert check(data, classes=tmp_path / "c.yaml").classes == ("soil", "crop", "weed")


# --- what cannot be read


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def scrawl(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def inflate(path: Path) -> None:
    """A header that promises 10^10 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + path.read_bytes()[33:])


@pytest.mark.parametrize("spoil", [truncate, scrawl, empty, inflate])
@pytest.mark.parametrize("kind", ["image", "mask"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_unreadable_files(data: Path, spoil: Callable[[Path], None], kind: str, split: str) -> None:
    stem = "a" if split == "train" else "v"
    spoil(data / split / f"{kind}s" / f"{stem}.png")
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", f"unreadable-{kind}")
    assert finding.items == (f"{split}/{kind}s/{stem}.png",)
    assert str(data) not in finding.text


def test_a_jpeg_that_is_cut_off_in_its_pixels(data: Path) -> None:
    (data / "train" / "images" / "a.png").unlink()
    truncate(photograph(data / "train" / "images" / "a.jpg", 0))
    finding = only(check(data))
    assert finding.kind == "unreadable-image"
    assert "truncated" in finding.text


def test_an_unreadable_unlabeled_image(data: Path) -> None:
    (data / "unlabeled").mkdir()
    scrawl(data / "unlabeled" / "u.jpg")
    photograph(data / "unlabeled" / "whole.jpg", 7)
    report = check(data)
    finding = only(report)
    assert (finding.severity, finding.kind) == ("warning", "unreadable-image")
    assert finding.items == ("unlabeled/u.jpg",)
    assert "which a training leaves out" in finding.text
    assert (report.ok, report.status) == (True, 0)
    assert report.counts["unlabeled"] == (0, 1)


def test_unreadable_images_with_and_without_masks_are_told_apart(data: Path) -> None:
    scrawl(data / "train" / "images" / "a.png")
    (data / "unlabeled").mkdir()
    scrawl(data / "unlabeled" / "u.jpg")
    report = check(data)
    assert [(f.severity, f.kind, f.items) for f in report.findings] == [
        ("error", "unreadable-image", ("train/images/a.png",)),
        ("warning", "unreadable-image", ("unlabeled/u.jpg",)),
    ]
    assert report.status == 1


def test_a_mask_of_numbers_that_are_no_ids(data: Path) -> None:
    (data / "train" / "masks" / "a.png").unlink()
    mask(data / "train" / "masks" / "a.tif", STRIPES.astype(np.float32) + 0.5)
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "unreadable-mask")
    assert "fractions from 0.5" in finding.text


def test_images_of_many_bits_are_read_by_the_span_of_their_values(
    data: Path, tmp_path: Path
) -> None:
    (data / "train" / "images" / "a.png").unlink()
    path = data / "train" / "images" / "a.tif"
    Image.fromarray(np.linspace(0, 9, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, -1)).save(
        path
    )
    finding = only(check(data))
    assert (finding.kind, finding.severity) == ("value-range", "note")
    assert "--range=0,9 " in finding.remedy
    report = check(data, value_range=(0, 9), picture=tmp_path / "p.png")
    assert report.findings == ()
    assert (tmp_path / "p.png").is_file()
    age(data)
    assert check(data, value_range=(0, 9)).findings == ()
    assert only(check(data)).kind == "value-range"
    with pytest.raises(ConfigError, match="range"):
        check(data, value_range=(9, 0))


def test_no_file_ends_in_a_traceback(data: Path) -> None:
    """Whatever a decoder stumbles over is a finding."""
    rng = np.random.default_rng(0)
    for i in range(60):
        suffix = ("png", "jpg", "tif", "webp", "bmp")[i % 5]
        path = photograph(data / "unlabeled" / f"{i}.{suffix}", 100 + i)
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, min(len(content), 400), 8):
            content[place] = rng.integers(256)
        path.write_bytes(content)
    report = check(data)
    assert report.ok
    assert {(f.severity, f.kind) for f in report.findings} == {("warning", "unreadable-image")}


@pytest.mark.parametrize("error", [IndexError("list index"), struct.error("unpack"), MemoryError()])
def test_a_decoder_may_raise_anything(
    data: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise error

    monkeypatch.setattr(scan_cache, "scan_image", stumble)
    findings = [f for f in check(data).findings if f.kind == "unreadable-image"]
    assert [(f.severity, len(f.items)) for f in findings] == [("error", 5), ("warning", 1)]
    assert all((str(error) or "MemoryError") in f.text for f in findings)


# --- masks that do not fit


def test_a_mask_of_another_size(data: Path) -> None:
    mask(data / "val" / "masks" / "w.png", STRIPES[:, :-1])
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "size")
    assert "val/masks/w.png is 47 x 32, its image 48 x 32" in finding.text


def test_values_of_no_class(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: [soil, crop, weed]")
    values = STRIPES.copy()
    values[0, :3] = 7, 9, 255
    mask(data / "train" / "masks" / "b.png", values)
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "unknown-value")
    assert "train/masks/b.png (7, 9)" in finding.text


def test_a_mask_without_an_image(data: Path) -> None:
    mask(data / "train" / "masks" / "a_mask.png")
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("warning", "mask-without-image")
    assert finding.items == ("train/masks/a_mask.png",)


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_image_without_a_mask_in_val_or_test(data: Path, split: str) -> None:
    photograph(data / split / "images" / "x.png", 20)
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("warning", "missing-mask")
    assert finding.items == (f"{split}/images/x.png",)


def test_all_files_that_share_a_name_are_found_at_once(data: Path) -> None:
    photograph(data / "train" / "images" / "a.bmp", 20)
    mask(data / "train" / "masks" / "b.bmp")
    photograph(data / "unlabeled" / "u.png", 21)
    photograph(data / "unlabeled" / "u.bmp", 22)
    report = check(data)
    findings = [f for f in report.findings if f.kind == "duplicate-name"]
    assert [f.severity for f in findings] == ["error"]
    paths = {item for f in findings for item in f.items}
    assert {p.rpartition(".")[0] for p in paths} == {"train/images/a", "train/masks/b"}
    assert "a.png" in findings[0].text
    assert "a.bmp" in findings[0].text
    assert report.counts["train"] == (3, 1)
    assert report.counts["unlabeled"] == (0, 2)  # without masks, both are images


# --- smeared masks


def blurred(values: NDArray[np.uint8], factor: float = 0.8) -> NDArray[np.uint8]:
    image = Image.fromarray(values)
    small = image.resize((int(image.width * factor), HEIGHT), Image.Resampling.BICUBIC)
    return np.array(small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def blobs() -> NDArray[np.uint8]:
    """A disc on two halves; 0, 100 and 250."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = np.where(x < WIDTH // 2, 0, 100).astype(np.uint8)
    values[(x - 24) ** 2 + (y - 16) ** 2 < 120] = 250
    return values


def blob_folder(data: Path) -> None:
    for path in data.rglob("masks/*.png"):
        mask(path, blobs())


def test_a_mask_with_fewer_than_256_values_that_interpolation_made(data: Path) -> None:
    blob_folder(data)
    assert check(data).findings == ()
    values = blurred(blobs())
    assert 8 < len(np.unique(values)) < 256
    mask(data / "train" / "masks" / "a.png", values)
    report = check(data)
    finding = only(report)
    assert (finding.severity, finding.kind) == ("error", "smeared-mask")
    assert finding.items == ("train/masks/a.png",)
    assert report.classes == ("0", "100", "250")  # it invents no classes


def test_a_resized_mask_of_colors(data: Path) -> None:
    colors = np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)
    for path in data.rglob("masks/*.png"):
        mask(path, colors[blobs() // 100])
    assert only(check(data)).kind == "unnamed-classes"
    values = np.dstack([blurred(c) for c in colors[blobs() // 100].transpose(2, 0, 1)])
    mask(data / "val" / "masks" / "v.png", values)
    finding, unnamed = check(data).findings
    assert (finding.severity, finding.kind, finding.items) == (
        "error",
        "smeared-mask",
        ("val/masks/v.png",),
    )
    assert unnamed.kind == "unnamed-classes"


def test_values_that_a_file_names_are_classes_even_if_they_look_interpolated(data: Path) -> None:
    blob_folder(data)
    values = blurred(blobs())
    mask(data / "train" / "masks" / "a.png", values)
    ids = sorted({*np.unique(values).tolist(), 0, 100, 250} - {255})
    lines = [f"  - {{name: c{i}, id: {i}}}\n" for i in ids]
    (data / "classes.yaml").write_text("classes:\n" + "".join(lines))
    assert finding_of(check(data), "smeared-mask").severity == "warning"
    (data / "classes.yaml").write_text("classes:\n" + "".join(lines[:1] + lines[2:]))
    assert finding_of(check(data), "smeared-mask").severity == "error"


def test_a_mask_that_was_saved_as_jpeg(data: Path) -> None:
    (data / "train" / "masks" / "a.png").unlink()
    mask(data / "train" / "masks" / "a.jpg")
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "smeared-mask")
    assert finding.items == ("train/masks/a.jpg",)


def test_many_small_objects_are_no_interpolation(tmp_path: Path) -> None:
    """Twenty classes, eighteen of them tiny, with hard edges."""
    values = np.zeros((200, 200), np.uint8)
    values[100:] = 40
    for i in range(18):
        values[10 * i : 10 * i + 6, 96:104] = 2 * i + 1
    assert not scan_mask(mask(tmp_path / "m.png", values)).smeared


def test_the_share_of_mixed_edges_by_hand() -> None:
    row = np.array([[0, 0, 5, 9, 9, 0, 0]], np.int32)
    # Triples with different ends: 0 0 5, 0 5 9, 5 9 9, 9 9 0, 9 0 0; of these only 0 5 9 is mixed.
    assert mixed_edges(row) == pytest.approx(1 / 5)
    assert mixed_edges(row.T) == pytest.approx(1 / 5)
    assert mixed_edges(np.zeros((4, 4), np.int32)) == 0


def test_real_masks_are_reported_only_after_they_are_resized(
    shared_data: Path, tmp_path: Path
) -> None:
    for path in sorted((shared_data / "camvid" / "val" / "masks").iterdir())[::20]:
        assert not scan_mask(path).smeared
        with Image.open(path) as file:
            for factor in (0.2, 0.5, 1.7):
                size = (round(file.width * factor), round(file.height * factor))
                file.resize(size, Image.Resampling.NEAREST).save(tmp_path / "n.png")
                assert not scan_mask(tmp_path / "n.png").smeared
            for factor in (0.5, 0.9, 2):
                size = (round(file.width * factor), round(file.height * factor))
                file.convert("L").resize(size, Image.Resampling.BILINEAR).save(tmp_path / "s.png")
                assert scan_mask(tmp_path / "s.png").smeared


# --- the same image twice


def same(data: Path, source: str, target: str) -> None:
    """The source's image, in another kind of file, and its mask if it is to have one."""
    image = (data / target).with_suffix(".bmp")
    image.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(data / source) as file:
        file.save(image)
    if "val" in target or "train" in target:
        mask(image.parent.parent / "masks" / f"{image.stem}.png")


@pytest.mark.parametrize(
    ("source", "target", "severity", "kind"),
    [
        ("train/images/a.png", "train/images/z", "note", "repeated-image"),
        ("train/images/a.png", "unlabeled/z", "note", "repeated-image"),
        ("val/images/v.png", "val/images/z", "note", "repeated-image"),
        ("train/images/a.png", "val/images/z", "warning", "leak"),
        ("val/images/v.png", "unlabeled/z", "warning", "leak"),
    ],
)
def test_identical_images(data: Path, source: str, target: str, severity: str, kind: str) -> None:
    same(data, source, target)
    finding = only(check(data))
    assert (finding.severity, finding.kind) == (severity, kind)
    assert source in finding.text
    assert f"{target}.bmp" in finding.text


def test_of_identical_images_the_one_with_a_mask_is_kept(data: Path) -> None:
    same(data, "train/images/b.png", "train/images/z")
    (data / "train" / "masks" / "b.png").unlink()
    finding = finding_of(check(data), "repeated-image")
    assert finding.items == ("train/images/b.png",)
    assert "train/images/b.png = train/images/z.bmp" in finding.text


def test_identical_images_without_val_may_part_when_images_are_held_out(data: Path) -> None:
    for path in data.rglob("val/*/*.png"):
        path.unlink()
    same(data, "train/images/a.png", "train/images/z")
    assert finding_of(check(data), "repeated-image").severity == "warning"


@pytest.mark.parametrize(("rows", "severity"), [(1, "warning"), (HEIGHT // 2, "error")])
def test_identical_images_with_different_masks(data: Path, rows: int, severity: str) -> None:
    same(data, "train/images/a.png", "train/images/z")
    values = STRIPES.copy()
    values[:rows] = values[:rows, ::-1]  # as many pixels of each class
    mask(data / "train" / "masks" / "z.png", values)
    finding = finding_of(check(data), "contradicting-masks")
    assert finding.severity == severity
    assert "train/images/z.bmp = train/images/a.png" in finding.text
    assert f"{100 * rows / HEIGHT * 2 / 3:.1f} %" in finding.text


# --- values and classes


def test_classes_that_only_val_shows(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: [soil, crop, weed, stone]")
    mask(data / "val" / "masks" / "v.png", STRIPES + np.uint8(1))
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("warning", "unseen-class")
    assert finding.items == ("stone",)


def test_classes_that_val_does_not_show_and_classes_that_nothing_shows(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: [soil, crop, weed, stone, straw]")
    mask(data / "train" / "masks" / "a.png", STRIPES + np.uint8(1))
    report = check(data)
    assert finding_of(report, "unscored-class").items == ("stone",)
    assert finding_of(report, "absent-class").items == ("straw",)
    assert {f.severity for f in report.findings} == {"note"}


def test_no_class_is_reported_missing_where_masks_cannot_be_read(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: [soil, crop]\n")  # and there is a third
    assert {f.kind for f in check(data).findings} == {"unknown-value"}


def test_classes_that_are_called_by_their_colors(data: Path) -> None:
    colors = np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)
    for path in data.rglob("masks/*.png"):
        mask(path, colors[STRIPES])
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("note", "unnamed-classes")
    assert '- {name: NAME, color: "#000000"}' in finding.text
    colors_of_names = (("soil", "#000000"), ("crop", "#00ff00"), ("weed", "#ff0000"))
    lines = [f'- {{name: {name}, color: "{color}"}}\n' for name, color in colors_of_names]
    (data / "classes.yaml").write_text("classes:\n" + "".join(lines))
    assert check(data).findings == ()


@pytest.mark.parametrize("high", [1, 255])
def test_the_foreground_of_binary_masks_is_reported(data: Path, high: int) -> None:
    for path in data.rglob("masks/*.png"):
        mask(path, np.where(STRIPES == 1, high, 0).astype(np.uint8))
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("note", "foreground")
    assert f"{high} is the foreground" in finding.message


def test_a_foreground_of_1_in_some_masks_and_of_255_in_others(data: Path) -> None:
    for path in data.rglob("masks/*.png"):
        high = 255 if path.stem == "b" else 1
        mask(path, np.where(STRIPES == 1, high, 0).astype(np.uint8))
    finding = finding_of(check(data), "mixed-foreground")
    assert finding.severity == "warning"
    assert finding.items == ("train/masks/b.png",)


def test_an_ignored_border_is_no_foreground(data: Path) -> None:
    for path in data.rglob("masks/*.png"):
        values = np.where(STRIPES == 1, 1, 0).astype(np.uint8)
        values[0] = 255
        mask(path, values)
    report = check(data)
    assert "1 is the foreground" in finding_of(report, "foreground").text
    assert "255 covers 3.1 %" in finding_of(report, "void-value").text
    assert len(report.findings) == 2


def test_masks_of_one_class_or_of_none(data: Path) -> None:
    mask(data / "train" / "masks" / "a.png", np.full_like(STRIPES, 255))
    mask(data / "train" / "masks" / "b.png", np.full_like(STRIPES, 2))
    report = check(data)
    assert finding_of(report, "all-ignored").severity == "warning"
    assert finding_of(report, "all-ignored").items == ("train/masks/a.png",)
    assert finding_of(report, "one-class").severity == "note"
    assert "train/masks/b.png (2)" in finding_of(report, "one-class").text
    assert len(report.findings) == 2


def test_the_rule_of_the_walk_through_finds_masks_that_are_mostly_ignored(
    data: Path, walk_through: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict(vars(class_rules))
    (code,) = walk_through("Add a check rule", "py")
    exec(compile(code, "class_rules.py", "exec"), names)
    (rule,) = names.keys() - vars(class_rules).keys()
    monkeypatch.setattr(examine, "RULES", (*rules.RULES, names[rule]))
    mostly = STRIPES.copy()
    mostly[: HEIGHT // 2 + 1] = 255
    mask(data / "train" / "masks" / "a.png", mostly)
    mask(data / "train" / "masks" / "b.png", np.full_like(STRIPES, 255))
    report = check(data)
    finding = finding_of(report, "mostly-ignored")
    assert (finding.severity, finding.files) == ("note", ("train/masks/a.png",))
    assert finding_of(report, "all-ignored").files == ("train/masks/b.png",)


def test_the_docs_have_a_row_for_each_kind_of_finding() -> None:
    page = (Path(__file__).parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    rows = page.partition("\n## Findings\n")[2].partition("\n### ")[0].splitlines()
    first = [row.split("|")[1] for row in rows if row.startswith("| `")]
    kinds = [kind for cell in first for kind in re.findall(r"`([\w-]+)`", cell)]
    assert sorted(kinds) == sorted(get_args(Kind))


def test_ids_beside_colors_are_reported_once(data: Path) -> None:
    colors = np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)
    mask(data / "train" / "masks" / "a.png", colors[STRIPES])
    report = check(data)
    finding = only(report)
    assert (finding.severity, finding.kind) == ("error", "classes")
    assert "colors" in finding.text
    assert report.classes == ()
    assert report.histogram == {}


def test_ids_that_were_saved_as_gray_rgb_are_ids(data: Path) -> None:
    mask(data / "train" / "masks" / "a.png", np.dstack([STRIPES] * 3))
    report = check(data)
    assert report.findings == ()
    assert report.histogram["train"].classes["1"].images == 3


def test_a_broken_classes_file_is_a_finding(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: {")
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "classes")
    assert "classes.yaml" in finding.text


# --- other layouts


def flat(data: Path) -> None:
    """`images` and `masks` with the splits within."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (data / kind).mkdir(exist_ok=True)
            (data / split / kind).rename(data / kind / split)


def test_another_layout_is_checked_in_the_same_way(data: Path) -> None:
    flat(data)
    assert check(data).findings == ()
    mask(data / "masks" / "train" / "x.png")
    mask(data / "masks" / "val" / "v.png", STRIPES[:-1])
    photograph(data / "images" / "train" / "b.bmp", 20)
    report = check(data)
    assert finding_of(report, "duplicate-name").items[0].startswith("images/train/b.")
    assert finding_of(report, "size").items == ("masks/val/v.png",)
    (data / "images" / "train" / "b.bmp").unlink()
    assert finding_of(check(data), "mask-without-image").items == ("masks/train/x.png",)


def test_all_images_in_one_folder_are_train(data: Path) -> None:
    for kind in ("images", "masks"):
        (data / "train" / kind).rename(data / kind)
        for path in (data / "val" / kind).iterdir():
            path.unlink()
        (data / "val" / kind).rmdir()
    mask(data / "masks" / "x.png")
    report = check(data)
    assert report.counts["train"] == (3, 1)
    assert finding_of(report, "mask-without-image").items == ("masks/x.png",)
    photograph(data / "images" / "b.bmp", 20)
    assert finding_of(check(data), "duplicate-name").items[0].startswith("images/b.")


def test_masks_beside_their_images(data: Path) -> None:
    for kind in ("images", "masks"):
        for path in (data / "train" / kind).iterdir():
            path.rename(data / f"{path.stem}{'_mask' * (kind == 'masks')}{path.suffix}")
        (data / "train" / kind).rmdir()
    (data / "train").rmdir()
    mask(data / "x_mask.png")
    report = check(data)
    assert report.counts["train"] == (3, 1)
    assert finding_of(report, "mask-without-image").items == ("x_mask.png",)
    assert "beside their images" in finding_of(report, "layout").text
    photograph(data / "b.bmp", 20)
    again = check(data)
    assert finding_of(again, "duplicate-name").items[0].startswith("b.")
    assert again.counts == report.counts
    (data / "b.bmp").unlink()
    mask(data / "a_mask_2.png")
    finding = finding_of(check(data), "several-masks")
    assert (finding.severity, "a_mask" in finding.text) == ("error", True)  # they hold two classes


def test_several_masks_of_an_image_are_a_finding_in_a_folder_of_images(data: Path) -> None:
    for path in (data / "train" / "masks").iterdir():
        path.rename(data / "train" / "images" / f"{path.stem}_mask{path.suffix}")
    mask(data / "train" / "images" / "a_mask_2.png")
    assert finding_of(check(data), "several-masks").severity == "error"  # they hold two classes


def test_images_with_names_of_masks_are_reported(data: Path) -> None:
    images = data / "train" / "images"
    shutil.copy(data / "train" / "masks" / "a.png", images / "a_mask.png")
    photograph(images / "b_seg-2.png", 20)
    photograph(images / "x_mask.png", 30)  # of nothing that is there
    finding = finding_of(check(data), "mask-name")
    assert (finding.severity, finding.items) == (
        "warning",
        ("train/images/a_mask.png", "train/images/b_seg-2.png"),
    )
    (images / "b_seg-2.png").unlink()
    shutil.copy(data / "train" / "masks" / "a.png", data / "train" / "masks" / "a_mask.png")
    assert "mask-name" not in {f.kind for f in check(data).findings}  # both have a mask
    (data / "train" / "masks" / "a.png").unlink()
    assert finding_of(check(data), "mask-name").items == ("train/images/a_mask.png",)


@pytest.mark.parametrize("above", ["", "train"])
def test_the_expected_place_of_the_masks_is_reported(tmp_path: Path, above: str) -> None:
    photograph(tmp_path / above / "images" / "a.png", 9)
    message = finding_of(check(tmp_path), "no-masks").text
    assert f"Put masks into {tmp_path / above / 'masks'}; a mask" in message
    mask(tmp_path / above / "drawn" / "a.png")
    message = finding_of(check(tmp_path), "no-masks").text
    assert f"--masks {(Path(above) / 'drawn').as_posix()}` to the command" in message


def test_images_that_are_not_read_are_a_warning(data: Path) -> None:
    photograph(data / "more" / "m.png", 7)
    finding = finding_of(check(data), "not-read")
    assert finding.severity == "warning"
    assert finding.files == ("more/m.png",)
    assert finding.message == "1 image is not read (1 .png in more)"


def test_copies_of_a_photograph_by_roboflows_names(data: Path) -> None:
    (data / "val" / "images" / "v.png").rename(data / "val" / "images" / "x_jpg.rf.0.png")
    (data / "val" / "masks" / "v.png").rename(data / "val" / "masks" / "x_jpg.rf.0.png")
    for i, name in enumerate(("y_jpg.rf.1", "y_jpg.rf.2", "z_jpg.rf.3")):
        photograph(data / "train" / "images" / f"{name}.png", 50 + i)
    assert "leak" not in {f.kind for f in check(data).findings}
    for kind, draw in (("images", lambda p: photograph(p, 61)), ("masks", mask)):
        draw(data / "test" / kind / "x_jpg.rf.5.png")  # which are both scored alone
    assert "leak" not in {f.kind for f in check(data).findings}
    shutil.rmtree(data / "test")
    photograph(data / "train" / "images" / "x_jpg.rf.4.png", 60)
    assert finding_of(check(data), "leak").items == ("train/images/x_jpg.rf.4.png",)
    shutil.rmtree(data / "val" / "masks")  # then some of train are held out
    finding = finding_of(check(data), "leak")
    assert (finding.severity, len(finding.items)) == ("warning", 1)
    assert "train/images/y_jpg.rf.1.png and 1 more" in finding.text


def test_of_two_files_of_classes_the_second_is_passed_over(data: Path) -> None:
    (data / "classes.yaml").write_text("classes: [soil, crop, weed]")
    (data / "labelmap.txt").write_text("a:0,0,0::\nb:1,1,1::\n")
    report = check(data)
    assert report.classes == ("soil", "crop", "weed")
    assert "labelmap.txt is ignored" in report.inferred


def test_lists_decide_and_what_is_in_two_of_them_is_an_error(data: Path) -> None:
    lines = [f"train/images/{x}.png train/masks/{x}.png" for x in "abc"]
    (data / "train.txt").write_text("\n".join(lines))
    (data / "val.txt").write_text("val/images/v.png val/masks/v.png\n" + lines[0])
    photograph(data / "unlabeled" / "u.png", 20)
    report = check(data)
    finding = finding_of(report, "shared-image")
    assert finding.severity == "error"
    assert "train/images/a.png in train and val" in finding.text
    assert "unlabeled" in finding_of(report, "layout").text
    others = finding_of(report, "not-read")
    assert (others.severity, len(others.files)) == ("note", 3)
    assert len(report.findings) == 3
    (data / "val.txt").write_text("nowhere.png")
    (data / "unlabeled" / "u.png").unlink()
    finding = only(check(data))
    assert (finding.severity, finding.kind) == ("error", "layout")
    assert "nowhere.png" in finding.text


def test_a_fault_of_the_whole_folder_is_reported_once(data: Path) -> None:
    (data / "train.txt").write_text("# no image")
    assert only(check(data)).kind == "layout"


def shapes(path: Path, *labels: str, width: int = 16) -> None:
    """LabelMe's file: a stripe for each label."""
    outlines = [
        {
            "label": x,
            "points": [[width * i, 0], [width * i + width - 1, 9]],
            "shape_type": "rectangle",
        }
        for i, x in enumerate(labels)
    ]
    path.write_text(json.dumps({"imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": outlines}))


def test_drawn_masks_are_checked_and_kept(data: Path, decoded: list[str]) -> None:
    for path in data.rglob("masks/*.png"):
        path.unlink()
        shapes(path.with_suffix(".json"), "crop", "weed")
    age(data)
    first = check(data)
    assert first.findings == ()
    assert first.classes == ("_background_", "crop", "weed")
    decoded.clear()
    assert check(data) == first
    assert decoded == []
    shapes(data / "train" / "masks" / "a.json", *"abcdefgh", width=1)
    assert {f.kind for f in check(data).findings} == {"unscored-class"}  # thin, but not smeared
    shapes(data / "train" / "masks" / "a.json", "crop", "weed")
    (data / "classes.yaml").write_text("classes: [_background_, crop]")
    assert "(weed)" in finding_of(check(data), "unknown-value").text
    (data / "train" / "masks" / "b.json").write_text('{"shapes": [{"label": "crop"}]}')
    assert str(data) not in finding_of(check(data), "unreadable-mask").text


# --- what is missing


def test_no_masks(data: Path) -> None:
    for path in data.rglob("train/masks/*"):
        path.unlink()
    finding = finding_of(check(data), "no-masks")
    assert finding.severity == "error"
    assert "train/masks" in finding.text


def test_no_images(tmp_path: Path) -> None:
    finding = only(check(tmp_path))
    assert finding.severity == "error"
    assert "holds no images" in finding.text


@pytest.mark.parametrize(("labeled", "severity"), [(3, "note"), (1, "error")])
def test_no_val(data: Path, labeled: int, severity: str) -> None:
    for path in data.rglob("val/*/*.png"):
        path.unlink()
    for stem in ("a", "b", "c")[labeled:]:
        (data / "train" / "masks" / f"{stem}.png").unlink()
    finding = only(check(data))
    assert (finding.severity, finding.kind) == (severity, "no-val")
    assert ("about 1 of the 3 labeled images" in finding.text) == (severity == "note")


def test_a_missing_folder_and_a_missing_classes_file_are_refused(data: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        check(data / "nowhere")
    with pytest.raises(DataError, match=r"none\.yaml"):
        check(data, classes=data / "none.yaml")


def test_all_findings_are_reported_together_errors_first(data: Path) -> None:
    scrawl(data / "train" / "images" / "a.png")
    mask(data / "train" / "masks" / "lonely.png")
    mask(data / "val" / "masks" / "v.png", STRIPES[:-1])
    mask(data / "val" / "masks" / "w.png", np.full_like(STRIPES, 1))
    report = check(data)
    assert [(f.severity, f.kind) for f in report.findings] == [
        ("error", "unreadable-image"),
        ("error", "size"),
        ("warning", "mask-without-image"),
        ("note", "one-class"),
    ]
    assert not report.ok
    assert "2 errors, 1 warning, 1 note." in report.text()


def test_five_files_are_named_and_all_are_counted(data: Path) -> None:
    for i in range(7):
        mask(data / "train" / "masks" / f"lonely{i}.png")
    finding = only(check(data))
    assert "7 (train/masks/lonely0.png" in finding.text
    assert "lonely4.png, ...)" in finding.text
    assert "lonely5" not in finding.text
    assert len(finding.items) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_names_that_no_terminal_takes(data: Path) -> None:
    scrawl(data / "train" / "images" / os.fsdecode(b"\xff\x1b[31m.png"))
    report = check(data)
    assert "??[31m.png" in only(report).text
    report.text().encode()
    json.dumps(report.to_dict(), ensure_ascii=False).encode()


# --- what is kept from one time to the next


def age(root: Path) -> None:
    """Files of this moment are not trusted to stay as they are."""
    for path in root.rglob("*.*"):
        os.utime(path, (1e9, 1e9))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    for function in ("scan_image", "scan_mask"):
        original = getattr(scan_cache, function)

        def spy(path: Path, *rest: object, original: Callable[..., object] = original) -> object:
            names.append(f"{path.parent.name}/{path.name}")
            return original(path, *rest)

        monkeypatch.setattr(scan_cache, function, spy)
    return names


def test_a_second_check_decodes_nothing_and_reports_the_same(
    data: Path, decoded: list[str]
) -> None:
    mask(data / "train" / "masks" / "b.png", np.full_like(STRIPES, 2))
    mask(data / "val" / "masks" / "w.png", STRIPES[:-1])
    image = Image.fromarray(STRIPES)
    image.putpalette([*range(9)])
    image.save(data / "val" / "masks" / "v.png")
    age(data)
    first = check(data)
    assert len(decoded) == 11
    decoded.clear()
    assert check(data) == first
    assert decoded == []


def test_a_changed_file_is_read_again(data: Path, decoded: list[str]) -> None:
    age(data)
    assert check(data).findings == ()
    decoded.clear()
    mask(data / "train" / "masks" / "a.png", np.full_like(STRIPES, 2))
    assert only(check(data)).kind == "one-class"
    assert decoded == ["masks/a.png"]


def test_a_broken_file_is_asked_again_each_time(data: Path) -> None:
    scrawl(data / "train" / "images" / "a.png")
    age(data)
    assert only(check(data)) == only(check(data))


def test_files_of_this_moment_are_not_trusted(data: Path, decoded: list[str]) -> None:
    check(data)
    decoded.clear()
    check(data)
    assert len(decoded) == 11


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"files": 3}', '{"files": {"image:train/images/a.png": 3}}']
)
def test_broken_notes_are_ignored(data: Path, cache: Path, content: str) -> None:
    age(data)
    first = check(data)
    (notes,) = cache.iterdir()
    whole = json.loads(notes.read_text())
    notes.write_text(content)
    assert check(data) == first
    assert json.loads(notes.read_text()) == whole
    for values in (None, 3, [], "x", [None] * 8):
        spoiled = {
            k: values and v[:2] + values if isinstance(values, list) else values
            for k, v in whole["files"].items()
        }
        notes.write_text(json.dumps({**whole, "files": spoiled}))
        assert check(data) == first


def test_notes_of_another_release_are_ignored(data: Path, cache: Path, decoded: list[str]) -> None:
    age(data)
    check(data)
    (notes,) = cache.iterdir()
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "semiseg": "0.0.0"}))
    decoded.clear()
    check(data)
    assert len(decoded) == 11


def test_a_cache_that_cannot_be_written_does_no_harm(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    age(data)
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "file" / "below"))
    assert check(data).findings == ()
    assert (tmp_path / "file").read_text() == ""


def test_nothing_is_written_among_the_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(data)
    before = sorted(data.rglob("*"))
    monkeypatch.setenv("SEMISEG_CACHE", str(data / "cache"))
    check(data)
    assert sorted(data.rglob("*")) == before


def test_notes_of_files_that_are_gone_are_dropped(data: Path, cache: Path) -> None:
    age(data)
    check(data)
    for folder in ("images", "masks"):
        next((data / "train" / folder).glob("a.png")).unlink()
    photograph(data / "train" / "images" / "e.png", 30)
    age(data)
    check(data)
    (notes,) = cache.iterdir()
    assert "a.png" not in notes.read_text()
    assert "train/images/e.png" in notes.read_text()


# --- the picture


def test_a_picture_shows_every_class_and_is_the_same_each_time(data: Path, tmp_path: Path) -> None:
    (data / "classes.yaml").write_text(
        "classes:\n  - {name: soil, color: [10, 20, 30]}\n  - {name: crop, color: [0, 200, 0]}\n"
        "  - {name: weed, color: [200, 0, 0]}\n"
    )
    values = STRIPES.copy()
    values[:4] = 255
    mask(data / "train" / "masks" / "a.png", values)
    for name in ("one", "two"):
        check(data, picture=tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        colors = {color for _, color in picture.getcolors(1 << 24) or []}
    assert {(10, 20, 30), (0, 200, 0), (200, 0, 0), (96, 96, 96)} <= colors


@pytest.mark.parametrize(("count", "size"), [(1, (30, 300)), (40, (300, 30)), (12, (300, 200))])
def test_pictures_of_any_number_and_shape(tmp_path: Path, count: int, size: Size) -> None:
    for i in range(count):
        photograph(tmp_path / "train" / "images" / "deep" / f"{'long' * 40}{i}.png", i, size)
        values = np.zeros(size[::-1], np.uint8)
        values[: size[1] // 2] = 1 + i
        mask(tmp_path / "train" / "masks" / "deep" / f"{'long' * 40}{i}.png", values)
    check(tmp_path, picture=tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert 400 < picture.width < 2000
        assert 100 < picture.height < 3000


def test_a_black_class_leaves_the_image_as_it_is() -> None:
    gray = Image.new("RGB", (40, 20), (100, 100, 100))
    values = np.zeros((20, 40), np.uint8)
    values[:, 10:20], values[:, 20:] = 1, 255
    overlay = np.asarray(mask_overlay(gray, values, [(0, 0, 0), (200, 0, 0)]))
    assert (overlay[:, :10] == 100).all()
    assert (overlay[:, 10:20] == (150, 50, 50)).all()  # half of 100 and half of the color
    assert len(np.unique(overlay[:, 20:])) == 2  # stripes


def test_letters_with_accents_are_drawn() -> None:
    missing = bytes(load_font().getmask("\uffff"))
    assert all(bytes(load_font().getmask(letter)) != missing for letter in "éêñßЖλ")


def test_an_empty_image_is_reported_as_empty(data: Path) -> None:
    (data / "train" / "images" / "hollow.png").write_bytes(b"")
    (finding,) = check(data).of("warning")
    assert "train/images/hollow.png: it is empty, 0 bytes" in finding.text


def test_colors_that_nobody_can_tell_apart_are_replaced(data: Path, tmp_path: Path) -> None:
    for path in data.rglob("masks/*.png"):
        image = Image.fromarray(STRIPES)
        image.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
        image.save(path)
    check(data, picture=tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        bottom = picture.crop((0, picture.height - 40, picture.width, picture.height))
        colors = [color for _, color in bottom.getcolors(1 << 20) or []]
    assert sum(max(c) - min(c) > 60 for c in colors if isinstance(c, tuple)) == 2


def crop(path: Path) -> None:
    mask(path, STRIPES[:-1])


@pytest.mark.parametrize("spoil", [scrawl, crop])
def test_without_a_mask_that_fits_there_is_no_picture(
    data: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    for path in data.rglob("train/masks/*.png"):
        spoil(path)
    report = check(data, picture=tmp_path / "p.png")
    assert finding_of(report, "no-picture").severity == "note"
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize("name", ["nowhere/p.png", "p.nothing"])
def test_a_picture_that_cannot_be_written_is_one_sentence(
    data: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        check(data, picture=tmp_path / name)


def test_the_mask_is_laid_over_the_image_in_the_colors_of_its_classes(
    data: Path, tmp_path: Path
) -> None:
    for path in data.rglob("train/images/*.png"):
        Image.new("RGB", (WIDTH, HEIGHT), (100, 100, 100)).save(path)
    (data / "classes.yaml").write_text(
        "classes:\n  - {name: soil, color: [10, 20, 30]}\n  - {name: crop, color: [0, 200, 0]}\n"
        "  - {name: weed, color: [200, 0, 0]}\n"
    )
    check(data, picture=tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        top = np.array(picture.crop((0, 0, picture.width, picture.height // 2))).reshape(-1, 3)
    for color in ((10, 20, 30), (0, 200, 0), (200, 0, 0)):
        blend = 0.5 * 100 + 0.5 * np.array(color)
        assert (np.abs(top - blend).max(axis=1) <= 1).sum() > 100


@pytest.mark.slow
def test_a_check_needs_no_torch(tiny_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from semiseg.commands.check import check\n"
        f"check(Path({str(tiny_folder)!r}), picture=Path({str(tmp_path / 'p.png')!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"}
    )
