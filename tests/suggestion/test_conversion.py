"""Corrected annotations become masks like those of a run, and join its data."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.core.errors import DataError, RunError
from semiseg.core.types import NOTHING_SAID, Prediction
from semiseg.data.formats.masks import default_color, read_mask
from semiseg.data.reader import load_dataset
from semiseg.model.release import load_release, save_release
from semiseg.suggestion.mask_kinds import TOOL_FILES
from tests.data.annotated import photograph
from tests.suggestion.test_tool_files import NAMES, SIZE, classes_of, mask_of, submit, write

COLORS = classes_of(encoding="colors")
COLORS = replace(COLORS, codes=tuple(r << 16 | g << 8 | b for r, g, b in COLORS.colors))


@pytest.fixture
def run_with(css_release, tmp_path):
    """A function that gives a run folder with other classes, and three more that do not occur."""

    def run(classes):
        release = load_release(css_release)
        more = default_color(7), default_color(8), default_color(9)
        classes = replace(
            classes,
            names=(*classes.names, "x", "y", "z"),
            colors=(*classes.colors, *more),
            codes=(*classes.codes, *(r << 16 | g << 8 | b for r, g, b in more))
            if classes.encoding == "colors"
            else (*classes.codes, 11, 12, 13),
        )
        release = release._replace(metadata=replace(release.metadata, classes=classes))
        (tmp_path / "run").mkdir(exist_ok=True)
        save_release(tmp_path / "run", release)
        return tmp_path / "run"

    return run


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio"])
@pytest.mark.parametrize("classes", [classes_of(), COLORS], ids=["ids", "colors"])
def test_corrected_annotations_become_the_masks_of_the_run(tmp_path, run_with, kind, classes):
    out, expected = write(tmp_path, kind)
    if kind == "label-studio":
        submit(out)
    masks = tmp_path / "masks"
    result = semiseg.convert(out, out=masks, like=run_with(classes))
    assert result.images == len(expected)
    assert f"{masks}: 4 images with masks" in result.text()
    for image, mask in expected.items():
        name = image.relative_to(out / "train" / "images")
        assert (masks / "train" / "images" / name).read_bytes() == image.read_bytes()
        file = (masks / "train" / "masks" / name).with_suffix(".png")
        np.testing.assert_array_equal(np.array(read_mask(file, classes)), mask)
    read = load_dataset(masks)
    assert read.classes.names == (*NAMES, "x", "y", "z")
    assert read.classes.codes[:3] == classes.codes


def test_shapes_become_ids_without_a_run(tmp_path):
    mask = mask_of(0, ignored=False)
    mask[28:38, 2:20] = 1
    out, _ = write(tmp_path, "labelme", names=["a.jpg"], masks=[mask])
    result = semiseg.convert(out, out=tmp_path / "masks")
    assert not result.next_steps
    with Image.open(tmp_path / "masks" / "train" / "masks" / "a.png") as image:
        np.testing.assert_array_equal(np.array(image), mask)
    written = yaml.safe_load((tmp_path / "masks" / "classes.yaml").read_text(encoding="utf-8"))
    assert [(one["name"], one["id"]) for one in written["classes"]] == list(
        zip(NAMES, range(3), strict=True)
    )


def test_masks_of_pixels_become_shapes_for_a_run_of_shapes(tmp_path, run_with):
    mask = np.ones(SIZE[::-1], np.uint8)
    mask[5:20, 5:30] = 0
    out, _ = write(tmp_path, "cvat", names=["a.jpg"], masks=[mask])
    shapes = replace(classes_of(encoding="labels"), codes=(300, 0, 301))
    semiseg.convert(out, out=tmp_path / "shapes", like=run_with(shapes))
    assert (tmp_path / "shapes" / "train" / "images" / "a.json").is_file()
    data = load_dataset(tmp_path / "shapes")
    (sample,) = data.train
    np.testing.assert_array_equal(np.array(read_mask(sample.mask, data.classes)), mask)


def test_what_no_shape_covers_is_ignored_where_classes_have_no_background(tmp_path, run_with, log):
    mask = np.ones(SIZE[::-1], np.uint8)
    mask[:20] = 0
    out, _ = write(tmp_path, "coco", names=["a.jpg"], masks=[mask])
    classes = replace(classes_of(), names=(NAMES[0], "soil", "Ab"))
    semiseg.convert(out, out=tmp_path / "masks", like=run_with(classes))
    with Image.open(tmp_path / "masks" / "train" / "masks" / "a.png") as image:
        assert np.unique(np.array(image)[:20]).tolist() == [3]
        assert np.unique(np.array(image)[20:]).tolist() == [255]
    assert "50.0 % of the pixels lie outside of all shapes and are ignored" in log.text


def test_ignored_pixels_get_a_color_of_their_own(tmp_path, run_with, log):
    white = replace(COLORS, codes=(0xFFFFFF, *COLORS.codes[1:]), ignored=())
    white = replace(white, colors=((255, 255, 255), *COLORS.colors[1:]))
    out, expected = write(tmp_path, "coco", names=["a.jpg"])
    semiseg.convert(out, out=tmp_path / "masks", like=run_with(white))
    assert "Ignored pixels have the color #fffffe. Add it to the classes.yaml of your" in log.text
    data = load_dataset(tmp_path / "masks")
    (sample,) = data.train
    (mask,) = expected.values()
    assert (mask == 255).any()
    np.testing.assert_array_equal(np.array(read_mask(sample.mask, data.classes)), mask)
    run = run_with(white)
    file = tmp_path / "own.yaml"
    settings = {"data": str(out), "out": str(run), "classes": str(file)}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    semiseg.convert(out, out=tmp_path / "masks", like=run, overwrite=True)
    assert f"#fffffe. Add it to {file}: ignore" in log.text


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio"])
def test_without_the_export_of_the_tool_it_says_where_to_save_it(tmp_path, kind):
    out, _ = write(tmp_path, kind, names=["a.jpg"])
    file = out / "train" / TOOL_FILES[kind]
    file.unlink()
    with pytest.raises(DataError, match="but not its annotations") as error:
        semiseg.convert(out, out=tmp_path / "masks")
    assert str(file) in str(error.value)


def test_images_without_shapes_are_counted(tmp_path, run_with, log):
    empty = np.ones(SIZE[::-1], np.uint8)
    out, _ = write(tmp_path, "cvat", names=["a.jpg", "b.jpg"], masks=[empty, mask_of(0)])
    result = semiseg.convert(out, out=tmp_path / "masks", like=run_with(classes_of()))
    assert result.images == 1
    assert "1 unlabeled image is left out (the first is train/images/a.jpg)" in log.text
    assert "only background, draw a shape in it and label it background" in log.text


def test_a_class_that_the_run_does_not_know_is_named(tmp_path, run_with):
    out, _ = write(tmp_path, "coco")
    classes = replace(classes_of(), names=(NAMES[0], "background", "weed"))
    with pytest.raises(DataError, match=r"1 class that the run .* does not know: Ab\. Kno"):
        semiseg.convert(out, out=tmp_path / "masks", like=run_with(classes))
    assert not (tmp_path / "masks").exists()


def test_masks_of_an_earlier_call_are_counted(tmp_path, log):
    for folder, name in (("a", "1"), ("b", "2")):
        data = tmp_path / folder / "train"
        photograph(data / "images" / f"{name}.png")
        (data / "masks").mkdir()
        Image.fromarray(np.eye(30, 40, dtype=np.uint8)).save(data / "masks" / f"{name}.png")
        semiseg.convert(tmp_path / folder, out=tmp_path / "masks", overwrite=True)
    assert "1 mask of an earlier call stays" in log.text
    assert "train/masks/1.png" in log.text


def test_nothing_is_replaced_unasked(tmp_path):
    out, _ = write(tmp_path, "coco", names=["a.jpg"], masks=[mask_of(0)])
    with pytest.raises(RunError, match="is the data folder itself"):
        semiseg.convert(out, out=out)
    masks = tmp_path / "masks"
    semiseg.convert(out, out=masks)
    file = masks / "train" / "masks" / "a.png"
    file.write_bytes(b"mine")
    with pytest.raises(RunError, match="--overwrite"):
        semiseg.convert(out, out=masks)
    assert file.read_bytes() == b"mine"
    semiseg.convert(out, out=masks, overwrite=True)
    assert file.read_bytes() != b"mine"


def test_a_folder_without_masks_is_refused(tmp_path):
    photograph(tmp_path / "data" / "a.jpg")
    with pytest.raises(DataError, match="mask"):
        semiseg.convert(tmp_path / "data", out=tmp_path / "masks")


@pytest.mark.slow
def test_from_a_suggestion_in_cvat_to_masks_that_join_the_data_of_the_run(
    css_release, tiny_folder, tmp_path, monkeypatch
):
    from semiseg.inference.predictor import Predictor

    run, data = tmp_path / "run", tmp_path / "data"
    subprocess.run(["cp", "-r", css_release, run], check=True)
    subprocess.run(["cp", "-r", tiny_folder, data], check=True)
    (run / "split").mkdir()
    (run / "config.yaml").write_text(f"data: {data}\n")
    predicted = np.zeros((48, 64), np.uint8)
    predicted[10:30, 20:50] = 2
    sure = Prediction(predicted, np.ones((48, 64), np.float32))
    really = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda self, x, **_: (really(self, x), sure)[1])
    out = tmp_path / "next"
    options = {"n": 2, "accelerator": "cpu", "file_format": "cvat"}
    images = semiseg.suggest(run, data / "unlabeled", out=out, **options).images
    file = out / "train" / "annotations.xml"
    before = file.read_text(encoding="utf-8")
    names = semiseg.load(run).classes.names
    file.write_text(before.replace(f'label="{names[2]}"', f'label="{names[1]}"'), encoding="utf-8")
    result = semiseg.convert(out, out=tmp_path / "next-corrected", like=run)
    (train,) = [line.strip() for line in result.text().splitlines() if line[:2] == "  "]
    folder = tmp_path / "next-corrected"
    assert shlex.split(train)[-4:-2] == ["--corrected", str(folder)]
    joined = load_dataset(data, flags=NOTHING_SAID._replace(corrected=(folder,)))
    new = [sample for sample in joined.train if "next-corrected" in sample.image.parts]
    assert len(new) == len(images)
    corrected = np.where(predicted == 2, 1, 0)
    for sample in new:
        mask = np.array(read_mask(sample.mask, joined.classes))
        np.testing.assert_array_equal(mask, corrected)
