"""The files of VIA 2: projects, exported JSON and CSV."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, masks_of, photograph, read, rectangle

POLYGON = {
    "name": "polygon",
    "all_points_x": [10, 20, 20, 10],
    "all_points_y": [5, 5, 15, 15],
}
RECT = {"name": "rect", "x": 12, "y": 7, "width": 13, "height": 4}


def region(shape=POLYGON, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes or {"class": "crop"}}


def images(**regions):
    """The images of an export, by the name of each."""
    return {
        f"{name}.png123": {
            "filename": f"{name}.png",
            "size": 123,
            "regions": shapes,
            "file_attributes": {},
        }
        for name, shapes in regions.items()
    }


def write(root, value, file="via_region_data.json", names="a"):
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    for name in names:
        photograph(path.parent / f"{name}.png")


def test_all_shapes_and_the_later_on_top(tmp_path):
    circle = {"name": "circle", "cx": 32, "cy": 22, "r": 4.5}
    ellipse = {"name": "ellipse", "cx": 6, "cy": 24, "rx": 4, "ry": 2, "theta": 0.5}
    value = images(
        a=[region(), region(RECT, **{"class": "weed"})],
        b=[region(circle), region(ellipse)],
    )
    write(tmp_path, value, names="ab")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    masks = masks_of(data, "train")
    expected = rectangle(2, 12, 7, 25, 11, rectangle(1, 10, 5, 20, 15))
    assert np.array_equal(masks["a.png"], expected)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = (x - 32) ** 2 + (y - 22) ** 2 <= 4.5**2
    cos, sin = np.cos(0.5), np.sin(0.5)
    along, across = (x - 6) * cos + (y - 24) * sin, (y - 24) * cos - (x - 6) * sin
    inside |= (along / 4) ** 2 + (across / 2) ** 2 <= 1
    assert np.array_equal(masks["b.png"], inside)


def test_a_project_names_the_classes_in_its_order(tmp_path):
    project = {
        "_via_settings": {},
        "_via_img_metadata": images(a=[region(type="weed")], b=[]),
        "_via_attributes": {
            "region": {"type": {"type": "dropdown", "options": {"crop": "", "weed": ""}}},
            "file": {},
        },
        "_via_data_format_version": "2.0.10",
    }
    write(tmp_path, project, "via_project_1Jan2024.json", names="ab")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    masks = masks_of(data, "train")
    assert np.array_equal(masks["a.png"], rectangle(2, 10, 5, 20, 15))
    assert masks["b.png"] is None  # nobody drew anything there yet


def test_version_1_with_regions_by_number_and_files_for_both_splits(tmp_path):
    for split, names in (("train", "ab"), ("val", "c")):
        value = images(**{name: {"0": region()} for name in names})
        write(tmp_path, value, f"{split}/via_region_data.json", names)
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert np.array_equal(masks_of(data, "val")["c.png"], rectangle(1, 10, 5, 20, 15))


def test_the_export_as_csv(tmp_path):
    with (tmp_path / "via_export_csv.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "filename",
                "file_size",
                "file_attributes",
                "region_count",
                "region_id",
                "region_shape_attributes",
                "region_attributes",
            ]
        )
        for i, (shape, name) in enumerate(((POLYGON, "crop"), (RECT, "weed"))):
            cells = json.dumps(shape), json.dumps({"name": name})
            table.writerow(["a.png", 123, "{}", 2, i, *cells])
        table.writerow(["b.png", 123, "{}", 0, 0, "{}", "{}"])
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    masks = masks_of(data, "train")
    expected = rectangle(2, 12, 7, 25, 11, rectangle(1, 10, 5, 20, 15))
    assert np.array_equal(masks["a.png"], expected)
    assert masks["b.png"] is None


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"species": "maize"}, "maize"),  # the only one
        ({"name": "maize", "quality": "good"}, "maize"),
        ({"id": "3", "label": "maize", "name": "x"}, "maize"),
        ({"crop": {"maize": True, "rye": False}}, "maize"),  # a checkbox
        ({"species": "maize", "note": ""}, "maize"),
    ],
)
def test_which_attribute_is_the_class(tmp_path, attributes, name):
    write(tmp_path, images(a=[region(**attributes)]))
    assert read(tmp_path).classes.names == ("background", name)


def test_several_attributes_that_may_be_the_class_are_an_error_that_lists_them(tmp_path):
    write(tmp_path, images(a=[region(species="maize", stage="early")]))
    message = read_dataset(tmp_path).errors()[0].message
    assert "species, stage" in message


def test_regions_without_attributes_are_one_class(tmp_path):
    value = images(a=[{"shape_attributes": POLYGON, "region_attributes": {}}])
    write(tmp_path, value)
    assert read(tmp_path).classes.names == ("background", "object")


def test_points_and_polylines_are_skipped_and_counted(tmp_path):
    line = {"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}
    two = {**line, "name": "polygon"}
    value = images(a=[region(), region(line), region({"name": "point", "cx": 1, "cy": 2})])
    value["a.png123"]["regions"].append(region(two))
    write(tmp_path, value)
    data = read(tmp_path)
    message = next(f.message for f in data.findings if f.kind == "skipped-shape")
    assert all(text in message for text in ("1 polyline", "1 point", "1 outline of fewer than"))
    assert np.array_equal(masks_of(data, "train")["a.png"], rectangle(1, 10, 5, 20, 15))


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "polygon", "all_points_x": [1, 2, 3]},
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
        {"name": "polygon", "all_points_x": [1, 2, None], "all_points_y": [1, 2, 3]},
        {"name": "polygon", "all_points_x": 5, "all_points_y": [1, 2, 3]},
        {"name": "rect", "x": 1, "y": "a", "width": 3, "height": 3},
        {"name": "rect", "x": 1, "y": 1, "width": 1e300, "height": 3},
        {"name": "circle", "cx": 1},
        [],
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, shape):
    write(tmp_path, images(a=[region()], b=[region(shape)]), names="ab")
    assert "via_region_data.json" in read_dataset(tmp_path).errors()[0].message
