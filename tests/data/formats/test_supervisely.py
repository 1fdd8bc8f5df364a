"""Projects of Supervisely: polygons with holes, and bitmaps."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, masks_of, photograph, read, rectangle


def stored(inside: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(inside.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def bitmap(inside, left, top, name="weed"):
    shape = {"origin": [left, top], "data": stored(inside)}
    return {"classTitle": name, "geometryType": "bitmap", "bitmap": shape, "points": {}}


def polygon(outer, *holes, name="crop"):
    points = {"exterior": outer, "interior": list(holes)}
    return {"classTitle": name, "geometryType": "polygon", "points": points}


def write(root, place, objects):
    folder, name = place.split("/")
    photograph(root / folder / "img" / name)
    file = root / folder / "ann" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    size = {"height": HEIGHT, "width": WIDTH}
    file.write_text(json.dumps({"description": "", "size": size, "objects": objects}))
    classes = [
        {"title": "crop", "shape": "polygon", "color": "#00FF00"},
        {"title": "weed", "shape": "bitmap", "color": "#FF0000"},
    ]
    (root / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))


def test_polygons_with_holes_and_bitmaps(tmp_path):
    outer = [[10, 5], [20, 5], [20, 15], [10, 15]]
    hole = [[13, 8], [17, 8], [17, 12], [13, 12]]
    shape = np.eye(5, dtype=bool)
    write(tmp_path, "train/a.png", [polygon(outer, hole), bitmap(shape, 30, 20)])
    box = {"classTitle": "crop", "geometryType": "rectangle", "points": {"exterior": [[1, 1]]}}
    write(tmp_path, "train/b.png", [box])
    write(tmp_path, "val/c.png", [bitmap(shape, 38, -2)])  # leaves the image
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    assert data.classes.colors[1:] == ((0, 255, 0), (255, 0, 0))
    expected = rectangle(1, 10, 5, 20, 15)
    rectangle(0, 13, 8, 17, 12, expected)
    expected[20:25, 30:35][shape] = 2
    masks = masks_of(data, "train")
    assert np.array_equal(masks["a.png"], expected)
    assert masks["b.png"] is None
    assert "1 box" in next(f.message for f in data.findings if f.kind == "skipped-shape")
    val = masks_of(data, "val")["c.png"]
    assert np.argwhere(val).tolist() == []  # of the diagonal, only rows 2 and 3 are in the image


@pytest.mark.parametrize(
    "entry",
    [
        bitmap(np.eye(3, dtype=bool), 1, 1) | {"bitmap": {"origin": [1, 1], "data": "xx"}},
        {"classTitle": "crop", "geometryType": "bitmap"},
        polygon([[1, 2], [3], [4, 5]]),
        polygon([[1, 2], [3, float("nan")], [4, 5]]),
        {"geometryType": "polygon", "points": {"exterior": [[1, 1], [2, 2], [3, 1]]}},
        5,
    ],
)
def test_a_damaged_object_is_refused_by_its_file(tmp_path, entry):
    write(tmp_path, "ds/a.png", [polygon([[1, 1], [9, 1], [9, 9]])])
    write(tmp_path, "ds/b.png", [entry])
    assert "meta.json" in (text := read_dataset(tmp_path).errors()[0].text) or "b.png" in text
