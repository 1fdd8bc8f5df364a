"""Objects that touch: how many were labeled, and how many areas the masks hold."""

import json

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.checks.examine import examine

SIZE = 32
APART = [(2, 2, 8, 8), (12, 2, 18, 8), (22, 2, 28, 8)]  # left, top, right, bottom
TOUCHING = [(2, 14, 8, 20), (8, 14, 14, 20), (14, 14, 20, 20)]
IMAGES = 4


@pytest.fixture
def root(tmp_path):
    """Four photographs of noise."""
    (tmp_path / "images").mkdir()
    for i in range(IMAGES):
        noise = np.random.default_rng(i).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


def coco(root, boxes):
    images = [
        {"id": i, "file_name": f"images/{i}.png", "width": SIZE, "height": SIZE}
        for i in range(IMAGES)
    ]
    annotations = [
        {
            "id": 100 * i + number,
            "image_id": i,
            "category_id": 1,
            "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        }
        for i in range(IMAGES)
        for number, (left, top, right, bottom) in enumerate(boxes)
    ]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cell"}],
    }
    (root / "annotations.json").write_text(json.dumps(content))


def labelme(root, boxes, group=None):
    for i in range(IMAGES):
        shapes = [
            {
                "label": "cell",
                "shape_type": "rectangle",
                "points": [[left, top], [right - 1, bottom - 1]],
                "group_id": group,
            }
            for left, top, right, bottom in boxes
        ]
        content = {"imageWidth": SIZE, "imageHeight": SIZE, "shapes": shapes}
        (root / "images" / f"{i}.json").write_text(json.dumps(content))


def numbered(root, boxes):
    (root / "masks").mkdir()
    for i in range(IMAGES):
        ids = np.zeros((SIZE, SIZE), np.uint8)
        # Other numbers of objects in each image, as programs for cells write them.
        more = [(2 + 4 * n, 24, 4 + 4 * n, 28) for n in range(i + 3)]
        for number, (left, top, right, bottom) in enumerate([*boxes, *more], 1):
            ids[top:bottom, left:right] = number
        Image.fromarray(ids).save(root / "masks" / f"{i}.png")


def touching(root):
    return [f for f in semiseg.check(root).findings if f.kind == "touching-objects"]


@pytest.mark.parametrize("write", [coco, labelme])
def test_objects_and_areas_are_counted(root, write):
    write(root, APART + TOUCHING)
    (finding,) = touching(root)
    assert finding.severity == "note"
    assert "24 objects of class cell are 16 areas" in finding.message
    assert "counted in" not in finding.message


@pytest.mark.parametrize("write", [coco, labelme, numbered])
def test_objects_with_gaps_are_no_reason(root, write):
    write(root, APART)
    assert touching(root) == []


def test_numbered_objects_are_counted(root):
    numbered(root, APART + TOUCHING)
    (finding,) = touching(root)
    # 3 + 3 objects in each image, and 3, 4, 5 and 6 more.
    assert "42 objects of class 1 are 34 areas" in finding.message


def test_the_parts_of_a_group_are_one_object(root):
    labelme(root, TOUCHING, group=7)
    assert touching(root) == []


def test_a_sample_of_many_masks_is_counted(root, monkeypatch):
    monkeypatch.setattr("semiseg.checks.touching_objects._MAX_SAMPLED", 2)
    coco(root, TOUCHING)
    (finding,) = touching(root)
    assert (
        "in the masks (counted in 2 of 4): 6 objects of class cell are 2 areas" in finding.message
    )


def test_masks_of_classes_tell_no_objects(root):
    (root / "masks").mkdir()
    for i in range(IMAGES):
        ids = np.zeros((SIZE, SIZE), np.uint8)
        ids[4:20, 4:20] = 1
        Image.fromarray(ids).save(root / "masks" / f"{i}.png")
    assert touching(root) == []


def test_a_training_does_not_wait_for_the_count(root):
    labelme(root, TOUCHING)
    assert touching(root)
    # A training reads and checks the folder with `examine`.
    assert not [f for f in examine(root).findings if f.kind == "touching-objects"]
