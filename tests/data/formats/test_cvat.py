"""CVAT's XML of images, in the form of its documentation."""

from __future__ import annotations

import numpy as np
import pytest

from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, masks_of, photograph, read, rectangle

META = """<meta><task><id>4</id><name>x</name><labels>
<label><name>crop</name><color>#ff6a4d</color><type>any</type><attributes></attributes></label>
<label><name>weed</name><color>#33ddff</color><type>polygon</type><attributes></attributes></label>
</labels></task></meta>"""
CROP = (
    '<polygon label="crop" source="manual" occluded="0" '
    'points="10.00,5.00;20.00,5.00;20.00,15.00;10.00,15.00" z_order="{}"></polygon>'
)
WEED = '<polygon label="weed" points="12,7;25,7;25,11;12,11" z_order="{}"/>'


def write(root, *images, meta=META, file="annotations.xml"):
    """The XML of images, each a name and its shapes."""
    entries = "".join(
        f'<image id="{i}" name="{name}" width="{WIDTH}" height="{HEIGHT}"{more}>{shapes}</image>'
        for i, (name, shapes, *rest) in enumerate(images)
        for more in [rest[0] if rest else ""]
    )
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}'
        f"{entries}</annotations>"
    )


def test_polygons_masks_and_ellipses_by_their_z_order(tmp_path):
    mask = (
        '<mask label="weed" source="semi-auto" occluded="0" rle="1, 2, 1, 4" '
        'left="30" top="20" width="4" height="2" z_order="0"></mask>'
    )
    ellipse = '<ellipse label="crop" cx="5" cy="25" rx="3" ry="2" z_order="0"/>'
    write(
        tmp_path,
        ("a.png", CROP.format(0) + WEED.format(0)),
        ("b.png", CROP.format(1) + WEED.format(0)),
        ("c.png", mask + ellipse),
    )
    for name in "abc":
        photograph(tmp_path / "images" / f"{name}.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    assert data.classes.colors[1:] == ((255, 106, 77), (51, 221, 255))
    masks = masks_of(data, "train")
    crop = rectangle(1, 10, 5, 20, 15)
    assert np.array_equal(masks["a.png"], rectangle(2, 12, 7, 25, 11, crop.copy()))
    below = rectangle(1, 10, 5, 20, 15, rectangle(2, 12, 7, 25, 11))
    assert np.array_equal(masks["b.png"], below)
    stored = np.zeros((HEIGHT, WIDTH), np.uint8)
    stored[20, 31:33] = 2
    stored[21, 30:34] = 2
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    stored[((x - 5) / 3) ** 2 + ((y - 25) / 2) ** 2 <= 1] = 1
    assert np.array_equal(masks["c.png"], stored)


def test_boxes_polylines_and_points_are_skipped_and_counted(tmp_path):
    others = (
        '<box label="crop" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>'
        '<polyline label="crop" points="1,1;5,5" z_order="0"/><points label="crop" points="1,1"/>'
        '<tag label="crop" source="manual"></tag>'
    )
    write(tmp_path, ("a.png", CROP.format(0) + others), ("b.png", others), ("c.png", ""))
    for name in "abcd":
        photograph(tmp_path / f"{name}.png")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert np.array_equal(masks["a.png"], rectangle(1, 10, 5, 20, 15))
    assert [masks[f"{name}.png"] for name in "bcd"] == [None] * 3
    skipped = next(f for f in data.findings if f.kind == "skipped-shape")
    assert all(text in skipped.message for text in ("2 boxes", "2 polylines", "2 points"))


def test_subsets_of_a_project_are_splits_and_names_have_folders(tmp_path):
    write(
        tmp_path,
        ("cam/a.png", CROP.format(0), ' subset="Train" task_id="1"'),
        ("cam/b.png", CROP.format(0), ' subset="Validation" task_id="2"'),
    )
    photograph(tmp_path / "images" / "Train" / "cam" / "a.png")
    photograph(tmp_path / "images" / "Validation" / "cam" / "b.png")
    data = read(tmp_path)
    assert list(masks_of(data, "train")) == ["a.png"]
    assert list(masks_of(data, "val")) == ["b.png"]


def test_two_tasks_side_by_side(tmp_path):
    for task in ("task1", "task2"):
        write(tmp_path, ("0.png", CROP.format(0)), file=f"{task}/annotations.xml")
        photograph(tmp_path / task / "images" / "0.png")
    data = read(tmp_path)
    assert [sample.name for sample in data.train] == ["task1/images/0", "task2/images/0"]


def test_without_meta_the_labels_of_the_shapes_are_the_classes(tmp_path):
    write(tmp_path, ("a.png", WEED.format(0) + CROP.format(0)), meta="")
    photograph(tmp_path / "a.png")
    assert read(tmp_path).classes.names == ("background", "weed", "crop")


def test_an_export_for_video_names_the_one_that_works(tmp_path):
    track = '<track id="0" label="crop"><polygon frame="0" points="1,1;5,1;5,5"/></track>'
    (tmp_path / "annotations.xml").write_text(
        f"<annotations><version>1.1</version>{META}{track}</annotations>"
    )
    photograph(tmp_path / "a.png")
    assert "CVAT for images 1.1" in read_dataset(tmp_path).errors()[0].text


@pytest.mark.parametrize(
    "shape",
    [
        '<polygon label="crop" points="1,1;2;3,3"/>',
        '<polygon label="crop" points="1,1;nan,2;3,3"/>',
        '<polygon label="crop" points="1,1;1e300,2;3,3"/>',
        '<polygon points="1,1;1,2;3,3"/>',
        '<polygon label="crop"/>',
        '<mask label="crop" rle="1,2" left="0" top="0" width="4" height="2"/>',
        '<mask label="crop" rle="" left="0" top="0" width="4" height="2"/>',
        '<mask label="crop" rle="8" left="0" top="0" width="99999999" height="99999999"/>',
        '<mask label="crop" rle="-4,12" left="0" top="0" width="4" height="2"/>',
        '<ellipse label="crop" cx="5"/>',
        "<polygon",
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, shape):
    write(tmp_path, ("a.png", CROP.format(0)), ("b.png", shape))
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    assert "annotations.xml" in read_dataset(tmp_path).errors()[0].message


def test_entities_are_refused(tmp_path):
    write(tmp_path, ("a.png", CROP.format(0)))
    file = tmp_path / "annotations.xml"
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    file.write_text(file.read_text().replace("?>\n", f"?>\n{laughs}\n"))
    photograph(tmp_path / "a.png")
    assert "document type" in read_dataset(tmp_path).errors()[0].message
