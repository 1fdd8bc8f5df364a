"""COCO's JSON, whatever its name and place, as annotation tools write it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from semiseg.core.errors import DataError
from semiseg.data.formats.coco import CocoFormat
from semiseg.data.formats.run_length import runs_to_pixels
from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, kinds, masks_of, photograph, read, rectangle

rle = pytest.importorskip("pycocotools.mask")

BOX = [10.0, 5.0, 20.0, 5.0, 20.0, 15.0, 10.0, 15.0]
SMALL = [12.0, 7.0, 16.0, 7.0, 16.0, 11.0, 12.0, 11.0]


def content(names, segmentation=(BOX,), categories=({"id": 7, "name": "crop"},)):
    """The JSON of these images, each with one area of the first category."""
    return {
        "info": {"description": "x"},
        "licenses": [],
        "images": [
            {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for i, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": categories[0]["id"],
                "segmentation": list(segmentation),
                "bbox": [10, 5, 10, 10],
                "area": 100,
                "iscrowd": 0,
            }
            for i in range(len(names))
        ],
        "categories": list(categories),
    }


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("file", "name", "place"),
    [
        ("annotations.json", "JPEGImages/{}.png", "JPEGImages/{}.png"),  # labelme2coco
        ("result.json", "images/1a2b3c4d-{}.png", "images/1a2b3c4d-{}.png"),  # Label Studio
        ("result.json", "images\\1a2b3c4d-{}.png", "images/1a2b3c4d-{}.png"),  # on Windows
        ("result.json", "/data/upload/3/1a2b3c4d-{}.png", "photos/{}.png"),
        ("result.json", "/data/local-files/?d=day%201/{}.png", "photos/day 1/{}.png"),
        ("result.json", "https://host/b/{}.png?sig=1", "photos/{}.png"),
        ("images/labels_my-project_2024-01-01-10-00-00.json", "{}.png", "images/{}.png"),
        ("labels.json", "{}.png", "data/{}.png"),  # FiftyOne
        ("annotations/instances_default.json", "{}.png", "images/default/{}.png"),  # CVAT
        ("annotations/instances_train.json", "cam/{}.png", "images/train/cam/{}.png"),  # Datumaro
        ("train/_annotations.coco.json", "{}.png", "train/{}.png"),  # Roboflow
        ("export/coco.json", "C:\\Users\\me\\{}.png", "photos/day1/{}.png"),
        ("export/coco.json", "../{}.PNG", "photos/day1/{}.png"),
    ],
)
def test_any_name_and_place_of_the_json_and_of_the_images(tmp_path, file, name, place):
    names = ["a", "b", "c"]
    write(tmp_path / file, content([name.format(x) for x in names]))
    for x in names:
        photograph(tmp_path / place.format(x))
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop")
    masks = masks_of(data, "train")
    assert sorted(masks) == sorted(place.format(x).rpartition("/")[2] for x in names)
    for mask in masks.values():
        assert np.array_equal(mask, rectangle(1, 10, 5, 20, 15))


def test_polygons_codes_crowds_and_the_smaller_on_top(tmp_path):
    value = content(["a.png"], categories=({"id": 90, "name": "weed"}, {"id": 1, "name": "crop"}))
    blob = np.zeros((HEIGHT, WIDTH), np.uint8)
    blob[20:28, 2:9] = 1
    packed = rle.encode(np.asfortranarray(blob))
    packed["counts"] = packed["counts"].decode()
    flat = np.roll(blob, 15, axis=1).T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8)
    crowd[0:8, 0:15] = 1
    crowd = rle.encode(np.asfortranarray(crowd))
    crowd["counts"] = crowd["counts"].decode()
    new = [
        {"id": 5, "image_id": 0, "category_id": 1, "segmentation": [SMALL], "iscrowd": 0},
        {"id": 6, "image_id": 0, "category_id": 1, "segmentation": packed, "iscrowd": 0},
        {
            "id": 7,
            "image_id": 0,
            "category_id": 90,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs},
            "iscrowd": 0,
        },
        {"id": 8, "image_id": 0, "category_id": 90, "segmentation": crowd, "iscrowd": 1},
    ]
    value["annotations"] = [new[0], *value["annotations"], *new[1:]]
    write(tmp_path / "x.json", value)
    photograph(tmp_path / "a.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    expected = rectangle(255, 0, 0, 15, 8)
    rectangle(2, 10, 5, 20, 15, expected)
    rectangle(1, 12, 7, 16, 11, expected)
    rectangle(1, 2, 20, 9, 28, expected)
    rectangle(2, 17, 20, 24, 28, expected)
    assert np.array_equal(masks_of(data, "train")["a.png"], expected)


def test_an_image_with_boxes_only_is_unlabeled_and_not_background(tmp_path):
    value = content(["a.png", "b.png", "c.png", "d.png"])
    value["annotations"][1]["segmentation"] = []
    del value["annotations"][2]["segmentation"]
    value["annotations"].pop()  # d has no annotation
    value["annotations"].append({**value["annotations"][1], "image_id": 0, "id": 9})
    write(tmp_path / "annotations.json", value)
    for name in "abcdef":
        photograph(tmp_path / "images" / f"{name}.png")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert [name for name, mask in masks.items() if mask is not None] == ["a.png"]
    assert len(masks) == 6  # e and f are in no list
    skipped = next(f for f in data.findings if f.kind == "skipped-shape")
    assert skipped.severity == "warning"
    assert "3 boxes" in skipped.message
    texts = " ".join(finding.text for finding in data.findings)
    assert "3 images have no areas" in texts
    assert "2 images are listed by no annotation file" in texts


def test_a_file_of_boxes_alone_says_what_to_draw(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png", "b.png"], segmentation=()))
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    data = read_dataset(tmp_path)
    assert ("no-masks", "error") in kinds(data)
    error = next(f for f in data.findings if f.kind == "no-masks")
    assert "Draw polygons" in error.remedy


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train.json", "val.json"),
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
        ("train/annotations.json", "validation/annotations.json"),
        ("coco_train.json", "coco_test.json"),
    ],
)
def test_the_names_of_several_files_say_the_splits(tmp_path, train, val):
    write(tmp_path / train, content(["a.png", "b.png"]))
    write(tmp_path / val, content(["c.png"]))
    for name in "abc":
        photograph(tmp_path / "photos" / f"{name}.png")
    data = read(tmp_path)
    split = "test" if "test" in val else "val"
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, split)) == ["c.png"]


def test_a_folder_of_two_splits_holds_the_images_of_both(tmp_path):
    write(tmp_path / "coco_train.json", content(["a.png", "b.png"]))
    write(tmp_path / "coco_val.json", content(["c.png"]))
    for name in "abc":
        photograph(tmp_path / "images" / "train_val_images" / f"{name}.png")
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, "val")) == ["c.png"]


def test_one_file_for_all_is_train_whatever_its_name(tmp_path):
    write(tmp_path / "test.json", content(["a.png", "b.png"]))
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    assert len(read(tmp_path).train) == 2


def test_folders_divide_the_images_of_one_file(tmp_path):
    write(tmp_path / "all.json", content(["a.png", "b.png", "c.png"]))
    for place in ("train/a", "train/b", "val/c"):
        photograph(tmp_path / f"{place}.png")
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, "val")) == ["c.png"]


def test_files_of_several_tasks_are_read_together_and_classes_go_by_name(tmp_path):
    first = content(["1.png"], categories=({"id": 1, "name": "crop"}, {"id": 2, "name": "weed"}))
    second = content(["2.png"], categories=({"id": 1, "name": "weed"}, {"id": 5, "name": "soil"}))
    write(tmp_path / "task1" / "annotations" / "instances_default.json", first)
    write(tmp_path / "task2" / "annotations" / "instances_default.json", second)
    photograph(tmp_path / "task1" / "images" / "1.png")
    photograph(tmp_path / "task2" / "images" / "2.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed", "soil")
    masks = masks_of(data, "train")
    assert set(np.unique(masks["1.png"])) == {0, 1}
    assert set(np.unique(masks["2.png"])) == {0, 2}


def test_a_file_of_all_images_gives_way_to_the_files_of_the_splits(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png", "b.png", "c.png"]))
    write(tmp_path / "train.json", content(["a.png", "b.png"]))
    write(tmp_path / "val.json", content(["c.png"]))
    for name in "abc":
        photograph(tmp_path / "images" / f"{name}.png")
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, "val")) == ["c.png"]


def test_two_files_of_the_same_images_are_an_error_with_both(tmp_path):
    write(tmp_path / "one.json", content(["a.png", "b.png"]))
    write(tmp_path / "two.json", content(["a.png", "b.png"], segmentation=(SMALL,)))
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    errors = read_dataset(tmp_path).errors()
    assert len(errors) == 1
    assert str(tmp_path / "one.json") in errors[0].message
    assert str(tmp_path / "two.json") in errors[0].message
    (tmp_path / "two.json").rename(tmp_path.parent / f"{tmp_path.name}.json")  # the remedy
    assert len(read(tmp_path).train) == 2


def test_a_missing_image_is_an_error_that_names_the_file(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png", "b.png", "c.png"]))
    photograph(tmp_path / "images" / "a.png")
    errors = read_dataset(tmp_path).errors()
    assert "annotations.json names b.png" in errors[0].message
    assert "2 of its 3 images are missing" in errors[0].message
    assert str(tmp_path / "images") in errors[0].remedy


def test_a_missing_image_is_not_replaced_by_one_of_another_split(tmp_path):
    write(tmp_path / "annotations" / "instances_train.json", content(["a.png", "b.png"]))
    write(tmp_path / "annotations" / "instances_val.json", content(["a.png", "c.png"]))
    for place in ("train/b", "val/a", "val/c"):
        photograph(tmp_path / f"{place}.png")
    errors = read_dataset(tmp_path).errors()
    assert "instances_train.json names a.png" in errors[0].message


def test_a_name_in_two_folders_is_an_error_with_both(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png"]))
    for place in ("day1/a", "day2/a"):
        photograph(tmp_path / f"{place}.png")
    message = read_dataset(tmp_path).errors()[0].message
    assert str(tmp_path / "day1" / "a.png") in message
    assert str(tmp_path / "day2" / "a.png") in message


def test_masks_beside_a_left_over_json_are_read(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png", "b.png"]))
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.png")
        mask = photograph(tmp_path / "masks" / f"{name}.png")
        from PIL import Image

        Image.fromarray(rectangle(1, 0, 0, 5, 5)).save(mask)
    masks = masks_of(read(tmp_path), "train")
    assert np.array_equal(masks["a.png"], rectangle(1, 0, 0, 5, 5))


def test_a_category_called_background_is_no_class_of_its_own(tmp_path):
    categories = ({"id": 1, "name": "crop"}, {"id": 0, "name": "Background"})
    value = content(["a.png"], categories=categories)
    value["annotations"].append({**value["annotations"][0], "category_id": 0, "id": 2})
    value["annotations"][1]["segmentation"] = [SMALL]
    write(tmp_path / "annotations.json", value)
    photograph(tmp_path / "a.png")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop")
    expected = rectangle(0, 12, 7, 16, 11, rectangle(1, 10, 5, 20, 15))
    assert np.array_equal(masks_of(data, "train")["a.png"], expected)


def test_a_large_file_is_recognized_by_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("semiseg.data.formats.json_head._MAX_WHOLE", 100)
    write(tmp_path / "big.json", content(["a.png"]))
    photograph(tmp_path / "a.png")
    assert read(tmp_path).classes.names == ("background", "crop")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["images"][0].pop("file_name"),
        lambda c: c["images"][0].update(width=-5),
        lambda c: c["images"][0].update(width=1e300),
        lambda c: c["images"][0].update(width=10**8, height=10**8),
        lambda c: c["annotations"][0].update(category_id=3),
        lambda c: c["annotations"][0].update(category_id=None),
        lambda c: c["annotations"][0].update(segmentation="x"),
        lambda c: c["annotations"][0].update(segmentation=[[1, 2, float("nan"), 4, 5, 6]]),
        lambda c: c["annotations"][0].update(segmentation=[[1, 2, 1e30, 4, 5, 6]]),
        lambda c: c["annotations"][0].update(segmentation={"size": [3, 3], "counts": [9]}),
        lambda c: c["annotations"][0].update(segmentation={"size": [30, 40], "counts": [5, -5]}),
        lambda c: c["annotations"][0].update(segmentation={"size": [30, 40], "counts": "zz"}),
        lambda c: c["annotations"][0].update(segmentation={"counts": "zz"}),
        lambda c: c.update(categories=[]),
        lambda c: c.update(categories=[{"id": 7}]),
        lambda c: c.update(images=c["images"] * 2),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, change):
    value = content(["a.png", "b.png"])
    change(value)
    write(tmp_path / "annotations.json", value)
    for name in "ab":
        photograph(tmp_path / f"{name}.png")
    data = read_dataset(tmp_path)
    errors = data.errors()
    assert errors
    assert "annotations.json" in errors[0].text


def test_painted_masks_that_are_marked_as_crowds_are_areas(tmp_path):
    """As CVAT and Datumaro export them."""
    blob = np.zeros((HEIGHT, WIDTH), np.uint8)
    blob[20:28, 2:9] = 1
    code = rle.encode(np.asfortranarray(blob))
    value = content(["a.png", "b.png"])
    for annotation in value["annotations"]:
        annotation.update(
            iscrowd=1, segmentation={"size": code["size"], "counts": code["counts"].decode()}
        )
    write(tmp_path / "annotations" / "instances_default.json", value)
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.png")
    data = read(tmp_path)
    assert np.array_equal(masks_of(data, "train")["a.png"], blob)
    assert "2 areas are marked with iscrowd" in " ".join(f.text for f in data.findings)


def test_ids_may_be_texts(tmp_path):
    value = content(["a.png", "b.png"])
    for annotation, image in zip(value["annotations"], value["images"], strict=True):
        annotation["image_id"] = str(annotation["image_id"])
        annotation["category_id"] = 7.0
        image["id"] = f"{image['id']}"
    value["images"].append({**value["images"][0], "id": "c3f-1", "file_name": "c.png"})
    value["annotations"].append({**value["annotations"][0], "id": 9, "image_id": "c3f-1"})
    write(tmp_path / "annotations.json", value)
    for name in "abc":
        photograph(tmp_path / f"{name}.png")
    masks = masks_of(read(tmp_path), "train")
    assert len(masks) == 3
    assert all(np.array_equal(mask, rectangle(1, 10, 5, 20, 15)) for mask in masks.values())


def test_photographs_in_unlabeled_are_no_part_of_train(tmp_path):
    write(tmp_path / "annotations.json", content(["a.png"]))
    for place in ("images/a", "images/b", "unlabeled/c"):
        photograph(tmp_path / f"{place}.png")
    data = read(tmp_path)
    assert [sample.name for sample in data.samples["train"]] == ["a", "b"]
    assert [sample.name for sample in data.samples["unlabeled"]] == ["unlabeled/c"]


@pytest.mark.parametrize("lines", ["images/{}.png", "{}", "/home/me/data/images/{}.png"])
def test_lists_say_the_splits_of_the_images_of_one_file(tmp_path, lines):
    write(tmp_path / "annotations.json", content(["a.png", "b.png", "c.png", "d.png"]))
    for name in "abcdef":
        photograph(tmp_path / "images" / f"{name}.png")
    (tmp_path / "train.txt").write_text("".join(lines.format(x) + "\n" for x in "abe"))
    (tmp_path / "val.txt").write_text(lines.format("c") + "\n")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert sorted(masks) == ["a.png", "b.png", "e.png"]
    assert masks["e.png"] is None  # listed, but not annotated
    assert sorted(masks_of(data, "val")) == ["c.png"]
    unread = [f for f in data.findings if f.kind == "not-read" and f.severity == "warning"]
    assert [f.files for f in unread] == [("images/d.png", "images/f.png")]


def test_a_polygon_of_two_points_is_skipped_and_counted(tmp_path):
    value = content(["a.png"])
    value["annotations"].append(
        {**value["annotations"][0], "id": 2, "segmentation": [[1, 2, 3, 4]]}
    )
    write(tmp_path / "annotations.json", value)
    photograph(tmp_path / "a.png")
    data = read(tmp_path)
    assert "1 outline of fewer than three points" in next(
        f.message for f in data.findings if f.kind == "skipped-shape"
    )
    assert np.array_equal(masks_of(data, "train")["a.png"], rectangle(1, 10, 5, 20, 15))


def test_run_length_codes_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = rng.integers(1, 40, 2)
        mask = (rng.random((height, width)) < rng.random()).astype(np.uint8)
        code = rle.encode(np.asfortranarray(mask))
        from semiseg.data.formats.coco import outline

        area = outline({"size": code["size"], "counts": code["counts"].decode()})
        left, top, inside = area.cover(int(width), int(height))
        whole = np.zeros_like(mask)
        whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        assert np.array_equal(whole, mask)


def test_runs_that_do_not_fill_the_image_are_refused():
    with pytest.raises(ValueError, match="3 pixels instead of 4"):
        runs_to_pixels([1, 2], 2, 2)


def test_a_file_of_captions_is_no_coco_of_instances(tmp_path):
    value = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"caption": "x"}]}
    write(tmp_path / "captions.json", {**value, "categories": []})
    from semiseg.data.formats.json_head import read_head

    file = tmp_path / "captions.json"
    assert not CocoFormat().recognizes(file, read_head(file))


def test_without_pycocotools_polygons_name_the_extra(tmp_path, monkeypatch):
    import sys

    from semiseg.core.errors import ConfigError

    monkeypatch.setitem(sys.modules, "pycocotools", None)
    write(tmp_path / "annotations.json", content(["a.png"]))
    photograph(tmp_path / "a.png")
    with pytest.raises((ConfigError, DataError), match=r"semiseg\[coco\]"):
        read(tmp_path)


def test_annotations_without_an_area_are_skipped_and_counted(tmp_path):
    segmentations = ([], None, [[]], [[1, 2, 3, 4]], [BOX], [[], BOX])
    names = [f"{i}.png" for i in range(len(segmentations))]
    value = content(names)
    for annotation, segmentation in zip(value["annotations"], segmentations, strict=True):
        annotation["segmentation"] = segmentation
    write(tmp_path / "annotations.json", value)
    for name in names:
        photograph(tmp_path / "images" / name)
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert [name for name, mask in masks.items() if mask is not None] == ["4.png", "5.png"]
    assert all(np.array_equal(masks[n], rectangle(1, 10, 5, 20, 15)) for n in ("4.png", "5.png"))
    (skipped,) = [f.text for f in data.findings if f.kind == "skipped-shape"]
    assert "2 boxes, 2 outlines of fewer than three points" in skipped


def test_a_category_without_a_name_is_refused_with_its_annotation(tmp_path):
    value = content(["a.png"])
    value["annotations"][0]["category_id"] = 9
    write(tmp_path / "annotations.json", value)
    photograph(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match="annotation 1 has the category 9"):
        CocoFormat().read(tmp_path / "annotations.json")
