"""Annotation files that something damaged: an error that names a file, never a traceback."""

from __future__ import annotations

import copy
import json
import random
import string

import pytest

from semiseg.core.errors import DataError
from semiseg.data.layouts.annotation_layout import AnnotationLayout
from semiseg.data.tree import Tree
from tests.data.annotated import HEIGHT, WIDTH, photograph

CORNERS = [[1, 1], [20, 1], [20, 15], [1, 15]]
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 2, "segmentation": [[1, 1, 20, 1, 20, 15]]},
        {
            "id": 2,
            "image_id": 1,
            "category_id": 2,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": [600, 10, 590]},
        },
        {
            "id": 3,
            "image_id": 1,
            "category_id": 2,
            "iscrowd": 1,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": "Zd05T1"},
        },
    ],
    "categories": [{"id": 2, "name": "crop", "supercategory": "plant"}],
}
VIA = {
    "_via_attributes": {"region": {"class": {"type": "radio", "options": {"crop": ""}}}},
    "_via_img_metadata": {
        "a.png1": {
            "filename": "a.png",
            "regions": [
                {
                    "shape_attributes": {
                        "name": "polygon",
                        "all_points_x": [1, 20, 20],
                        "all_points_y": [1, 1, 15],
                    },
                    "region_attributes": {"class": "crop"},
                },
                {
                    "shape_attributes": {"name": "ellipse", "cx": 5, "cy": 5, "rx": 3, "ry": 2},
                    "region_attributes": {"class": "crop"},
                },
            ],
        }
    },
}
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/a.png"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "polygonlabels",
                        "value": {"points": CORNERS, "polygonlabels": ["crop"]},
                        "original_width": WIDTH,
                        "original_height": HEIGHT,
                    },
                    {
                        "type": "brushlabels",
                        "value": {"format": "rle", "rle": [0, 0, 18, 192], "brushlabels": ["c"]},
                        "original_width": WIDTH,
                        "original_height": HEIGHT,
                    },
                ]
            }
        ],
    }
]
DOT = (  # a PNG of 2 x 2 pixels, as Supervisely stores it
    "eJzrDPBz5+WS4mJgYOD19HAJAtJMIMwBJBjC7wb9AFJ8ni6OIRVzkv+cP3DkAAMDKy8j8w6vmHyQCk9X"
    "P5d1TglNAP5cEPM="
)
META = {"classes": [{"title": "crop", "shape": "polygon", "color": "#00ff00"}]}
SUPERVISELY = {
    "size": {"height": HEIGHT, "width": WIDTH},
    "objects": [
        {
            "classTitle": "crop",
            "geometryType": "polygon",
            "points": {"exterior": CORNERS, "interior": [CORNERS]},
        },
        {"classTitle": "crop", "geometryType": "bitmap", "bitmap": {"data": DOT, "origin": [1, 2]}},
    ],
}
CVAT = (
    "<annotations><version>1.1</version><meta><task><labels><label><name>crop</name><color>#ff0000"
    f'</color></label></labels></task></meta><image id="0" name="a.png" width="{WIDTH}" '
    f'height="{HEIGHT}"><polygon label="crop" points="1,1;20,1;20,15" z_order="0"/><mask '
    'label="crop" rle="2,3,3" left="3" top="3" width="4" height="2"/></image></annotations>'
)
JUNK = (None, -1, 0, 1e300, float("nan"), "", "x", [], {}, [[]], True, 2**70, "../../a.png", "\0")


def places(value, path=()):
    """The paths of all values."""
    yield path
    listed = dict(enumerate(value)) if isinstance(value, list) else {}
    parts = value if isinstance(value, dict) else listed
    for key, part in parts.items():
        yield from places(part, (*path, key))


def refitted(value, rng):
    """The JSON with one value replaced, removed or doubled."""
    value = copy.deepcopy(value)
    *path, last = rng.choice([place for place in places(value) if place])
    parent = value
    for key in path:
        parent = parent[key]
    action = rng.random()
    if action < 0.3:
        del parent[last]
    elif action < 0.4 and isinstance(parent, list):
        parent.append(parent[last])
    else:
        parent[last] = rng.choice(JUNK)
    return json.dumps(value)


def garbled(text, rng):
    """The text with a few letters changed, or cut off."""
    letters = list(text)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(letters))
        letters[place : place + rng.choice((0, 1, 1, 5))] = rng.choice(string.printable)
    return "".join(letters)[: rng.choice((len(letters), len(letters), rng.randrange(len(letters))))]


FORMATS = {
    "coco": ("instances_train.json", COCO),
    "via": ("via_region_data.json", VIA),
    "labelstudio": ("export.json", LABEL_STUDIO),
    "cvat": ("annotations.xml", CVAT),
    "yolo": ("labels/a.txt", "0 0.1 0.1 0.5 0.1 0.5 0.6\n1 0.5 0.5 0.2 0.2\n"),
    "yolo names": ("data.yaml", "path: .\ntrain: images\nnames: [crop, weed]\nnc: 2\n"),
    "supervisely": ("ds/ann/a.png.json", SUPERVISELY),
    "supervisely names": ("meta.json", META),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    photograph(root / "images" / "a.png")
    if name.startswith("supervisely"):
        (root / "images").rename(root / "ds.part")
        (root / "ds").mkdir()
        (root / "ds.part").rename(root / "ds" / "img")
        (root / "ds" / "ann").mkdir()
        (root / "ds" / "ann" / "a.png.json").write_text(json.dumps(SUPERVISELY))
        (root / "meta.json").write_text(json.dumps(META))
    if name.startswith("yolo"):
        (root / "labels").mkdir()
        (root / "labels" / "a.txt").write_text(FORMATS["yolo"][1])
    file, content = FORMATS[name]
    rng = random.Random(name)
    outcomes = set()
    for _ in range(60):
        whole = content if isinstance(content, str) else json.dumps(content)
        is_text = isinstance(content, str) or rng.random() < 0.3
        (root / file).write_text(garbled(whole, rng) if is_text else refitted(content, rng))
        layout = AnnotationLayout(Tree(root))
        outcome, message = "read", ""
        try:
            for split in ("train", "val", "test"):
                layout.read(split)
            layout.classes([])
        except DataError as error:
            outcome, message = "refused", error.message
        outcomes.add(outcome)
        assert outcome == "read" or str(root) in message or "class" in message
    assert outcomes == {"read", "refused"} or name == "yolo"
    assert "refused" in outcomes
