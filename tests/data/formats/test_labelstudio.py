"""Label Studio's JSON: polygons in percent, and brush strokes in its own run-length code."""

from __future__ import annotations

import json
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from semiseg.data.formats.run_length import decode_brush
from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, kinds, masks_of, photograph, read, rectangle


def brush_code(mask: np.ndarray) -> list[int]:
    """The code that Label Studio writes for a mask: 8 bits a value, lengths of 3 to 16 bits."""
    values = np.repeat(mask.ravel().astype(int) * 255, 4).tolist()
    bits = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for value, run in groupby(values):
        rest = len(list(run))
        if rest == 1:
            bits += f"000000{value:08b}"
            continue
        while rest:
            part = min(rest, 2**16)
            kind, size = next((k, s) for k, s in enumerate((3, 4, 8, 16)) if part <= 2**s)
            bits += f"1{kind:02b}{part - 1:0{size}b}{value:08b}"
            rest -= part
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def result(kind, **value):
    return {
        "id": "x",
        "type": kind,
        "value": value,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "from_name": "tag",
        "to_name": "image",
    }


def polygon(left, top, right, bottom, label="crop"):
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners]
    return result("polygonlabels", points=points, closed=True, polygonlabels=[label])


def brush(mask, label="weed"):
    return result("brushlabels", format="rle", rle=brush_code(mask), brushlabels=[label])


def task(number, name, *annotations):
    return {
        "id": number,
        "annotations": [{"id": i, "result": list(a)} for i, a in enumerate(annotations)],
        "data": {"image": name},
        "file_upload": name.rpartition("/")[2],
    }


def write(root, *tasks, file="project-1-at-2024-05-01-10-00-abcdef.json"):
    (root / file).write_text(json.dumps(tasks))


@pytest.mark.parametrize("name", ["a.png", "1a2b3c4d-a.png"])
def test_polygons_ellipses_and_strokes_with_the_later_on_top(tmp_path, name):
    strokes = rectangle(1, 15, 10, 33, 20)
    ellipse = result("ellipselabels", x=25, y=80, radiusX=10, radiusY=5, ellipselabels=["crop"])
    regions = [polygon(10, 5, 20, 15), brush(strokes), ellipse]
    write(tmp_path, task(7, f"/data/upload/1/{name}", regions))
    photograph(tmp_path / "images" / "a.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    expected = rectangle(2, 15, 10, 33, 20, rectangle(1, 10, 5, 20, 15))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected[((x - 10) / 4) ** 2 + ((y - 24) / 1.5) ** 2 <= 1] = 1
    assert np.array_equal(masks_of(data, "train")["a.png"], expected)


def test_which_annotation_of_a_task_counts(tmp_path):
    first, second = [polygon(0, 0, 5, 5)], [polygon(10, 5, 20, 15)]
    truth = task(2, "b.png", first, second)
    truth["annotations"][0]["ground_truth"] = True
    cancelled = task(3, "c.png", first)
    cancelled["annotations"][0]["was_cancelled"] = True
    write(tmp_path, task(1, "a.png", first, second), truth, cancelled, task(4, "d.png"))
    write(tmp_path / "..", task(1, "a.png"), file=f"{tmp_path.name}.txt")
    for name in "abcde":
        photograph(tmp_path / f"{name}.png")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert np.array_equal(masks["a.png"], rectangle(1, 10, 5, 20, 15))
    assert np.array_equal(masks["b.png"], rectangle(1, 0, 0, 5, 5))
    assert [masks[f"{name}.png"] for name in "cde"] == [None] * 3
    assert "2 tasks have several annotations" in " ".join(f.text for f in data.findings)


def test_a_submitted_task_without_regions_is_background_but_not_one_with_boxes(tmp_path):
    box = result("rectanglelabels", x=1, y=1, width=5, height=5, rectanglelabels=["crop"])
    point = result("keypointlabels", x=1, y=1, width=0.5, keypointlabels=["crop"])
    tasks = [task(1, "a.png", [polygon(10, 5, 20, 15), box]), task(2, "b.png", [])]
    write(tmp_path, *tasks, task(3, "c.png", [box, point]))
    for name in "abc":
        photograph(tmp_path / f"{name}.png")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert np.array_equal(masks["a.png"], rectangle(1, 10, 5, 20, 15))
    assert not masks["b.png"].any()
    assert masks["c.png"] is None
    message = next(f.message for f in data.findings if f.kind == "skipped-shape")
    assert "2 boxes" in message
    assert "1 point" in message


def test_predictions_that_nobody_confirmed_are_said(tmp_path):
    guess = {**task(2, "b.png"), "predictions": [{"result": [polygon(1, 1, 9, 9)]}]}
    write(tmp_path, task(1, "a.png", [polygon(10, 5, 20, 15)]), guess)
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    data = read(tmp_path)
    assert masks_of(data, "train")["b.png"] is None
    text = " ".join(finding.text for finding in data.findings)
    assert "1 task has predictions of a model but no annotations" in text


def test_json_min_and_labels_of_their_own(tmp_path):
    value = brush(rectangle(1, 15, 10, 33, 20))
    short = {**value["value"], "original_width": WIDTH, "original_height": HEIGHT}
    write(
        tmp_path,
        {"image": "a.png", "id": 1, "tag": [short], "annotator": 1, "annotation_id": 5},
        file="min.json",
    )
    photograph(tmp_path / "a.png")
    masks = masks_of(read(tmp_path), "train")
    assert np.array_equal(masks["a.png"], rectangle(1, 15, 10, 33, 20))
    outline = polygon(10, 5, 20, 15)
    del outline["value"]["polygonlabels"]
    outline["type"] = "polygon"
    label = result("labels", **outline["value"], labels=["maize"])
    (tmp_path / "min.json").unlink()
    write(tmp_path, task(1, "a.png", [outline, label]))
    assert read(tmp_path).classes.names == ("background", "maize")


def test_brush_masks_are_read_from_the_json_beside_them(tmp_path):
    strokes = rectangle(1, 15, 10, 33, 20)
    write(tmp_path, task(1, "photo.png", [brush(strokes)]))
    photograph(tmp_path / "images" / "photo.png")
    (tmp_path / "masks").mkdir()
    name = "task-1-annotation-5-by-me@x.org-tag-weed-0.png"
    Image.fromarray(strokes * 255).save(tmp_path / "masks" / name)
    data = read(tmp_path)
    assert list(masks_of(data, "train")) == ["photo.png"]
    assert np.array_equal(masks_of(data, "train")["photo.png"], strokes)
    next(tmp_path.glob("*.json")).unlink()
    error = read_dataset(tmp_path).errors()[0]
    assert name in error.message
    assert "Export JSON from Label Studio" in error.remedy


def test_the_code_of_brush_strokes_comes_back():
    rng = np.random.default_rng(1)
    for _ in range(20):
        height, width = rng.integers(1, 60, 2)
        mask = np.cumsum(rng.random((height, width)) < 0.1, axis=1) % 2 == 1
        code = bytes(brush_code(mask))
        assert np.array_equal(decode_brush(code, int(width), int(height)), mask)
    whole = np.ones((300, 400), bool)  # longer than the longest run
    assert decode_brush(bytes(brush_code(whole)), 400, 300).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["value"].update(rle=[1, 2, 3]),
        lambda r: r["value"].update(rle=r["value"]["rle"][:-3]),
        lambda r: r["value"].update(rle=[300, -1]),
        lambda r: r["value"].update(rle="abc"),
        lambda r: r.update(original_width=WIDTH + 1),
        lambda r: r.update(original_width="x"),
        lambda r: r.pop("original_width"),
        lambda r: r.update(image_rotation=90),
        lambda r: r["value"].update(rle=[255] * 12),
    ],
)
def test_a_damaged_stroke_is_refused_by_the_file(tmp_path, change):
    broken = brush(rectangle(1, 15, 10, 33, 20))
    change(broken)
    write(tmp_path, task(1, "a.png", [polygon(1, 1, 5, 5)]), task(2, "b.png", [broken]))
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    error = read_dataset(tmp_path).errors()[0]
    assert "project-1-at" in error.message
    assert "b.png" in error.message


def test_a_csv_export_is_named_with_the_one_that_works(tmp_path):
    (tmp_path / "export.csv").write_text("annotation_id,image,lead_time\n1,a.png,3\n")
    photograph(tmp_path / "images" / "a.png")
    data = read_dataset(tmp_path)
    assert "Export JSON or COCO" in data.errors()[0].remedy
    assert ("layout", "error") in kinds(data)
