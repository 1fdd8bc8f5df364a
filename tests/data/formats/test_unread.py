"""Formats that are recognized but not read are named with the export that works."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from semiseg.data.reader import read_dataset
from tests.data.annotated import photograph, rectangle

FILES = {
    "Annotations/a.xml": (
        "<annotation><filename>a.png</filename><object><name>x</name><bndbox><xmin>1</xmin>"
        "</bndbox></object></annotation>",
        "polygons",
    ),
    "a.xml": ("<annotation><object><polygon><pt><x>1</x></pt></polygon></object>", "CVAT"),
    "Annotations/b.xml": (
        '<?xml version="1.0"?><Annotations MicronsPerPixel="0.25"><Annotation Id="1"><Regions>'
        '<Region Id="1"></Region></Regions></Annotation></Annotations>',
        "QuPath",
    ),
    "gtFine/town/a_gtFine_polygons.json": (
        {"imgHeight": 8, "imgWidth": 8, "objects": [{"label": "road", "polygon": [[1, 1]]}]},
        "csCreateTrainIdLabelImgs",
    ),
    "createml.json": (
        [{"image": "a.png", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}],
        "polygons",
    ),
    "default.json": ({"info": {}, "categories": {"label": {}}, "items": []}, "datum convert"),
    "a.png.json": (
        {"version": "2.0", "item": {"name": "a.png"}, "annotations": [{"name": "x"}]},
        "V7",
    ),
    "a.json": (
        {"info": {"description": "ISAT", "folder": "x", "name": "a.png"}, "objects": []},
        "ISAT",
    ),
    "a_eiseg.json": ([{"name": "x", "labelIdx": 1, "color": [1, 2, 3], "points": []}], "EISeg"),
    "export.ndjson": ('{"data_row": {"id": 1}}\n{"data_row": {"id": 2}}\n', "Labelbox"),
    "a.geojson": ({"type": "FeatureCollection", "features": []}, "QuPath"),
    "RoiSet.zip": ("PK", "ImageJ"),
    "train.tfrecord": ("xx", "COCO"),
    "_annotations.csv": ("filename,width,height,class,xmin,ymin,xmax,ymax\n", "polygons"),
    "labels/a.txt": ("Car 0.00 0 1.85 387 181 423 203 1.67 1.87 3.69 -16 2 58 1.57", "polygons"),
}


def write(root, name):
    content, word = FILES[name]
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return word


@pytest.mark.parametrize("name", FILES)
def test_the_error_names_the_file_and_the_export(tmp_path, name):
    word = write(tmp_path, name)
    for image in "ab":
        photograph(tmp_path / "images" / f"{image}.png")
    error = read_dataset(tmp_path).errors()[0]
    assert str(tmp_path / name) in error.message
    assert word in error.remedy


@pytest.mark.parametrize("name", FILES)
def test_masks_win_over_what_is_not_read(tmp_path, name):
    write(tmp_path, name)
    for image in "ab":
        photograph(tmp_path / "images" / f"{image}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(rectangle(1, 0, 0, 9, 9)).save(tmp_path / "masks" / f"{image}.png")
    data = read_dataset(tmp_path)
    assert not data.errors()
    assert np.asarray([sample.mask is not None for sample in data.train]).all()
