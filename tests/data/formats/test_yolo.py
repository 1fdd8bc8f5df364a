"""YOLO's segmentation, in the trees of Ultralytics, Roboflow, CVAT and Label Studio."""

from __future__ import annotations

import numpy as np
import pytest

from semiseg.data.formats.yolo import read_labels
from semiseg.data.reader import read_dataset
from tests.data.annotated import HEIGHT, WIDTH, kinds, masks_of, photograph, read, rectangle


def line(label, left, top, right, bottom):
    """A rectangle as a polygon, in shares of the image's size."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return " ".join([str(label), *(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in corners)])


AREA = line(0, 10, 5, 20, 15)
EXPECTED = rectangle(1, 10, 5, 20, 15)
YAML = "train: {}\nval: {}\nnames: [crop, weed]\nnc: 2\n"


def put(root, image, label=AREA, labels=None):
    """An image, and its label file at a place."""
    photograph(root / f"{image}.png")
    if labels:
        file = root / f"{labels}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(label + "\n")


TREES = {
    "ultralytics": ("images/{}/{}", "labels/{}/{}", YAML.format("images/train", "images/val")),
    "roboflow": ("{}/images/{}", "{}/labels/{}", YAML.format("../train/images", "../val/images")),
    "absolute": (
        "{}/images/{}",
        "{}/labels/{}",
        "path: /content/datasets/x\n" + YAML.format("train/images", "val/images"),
    ),
    "names by number": (
        "images/{}/{}",
        "labels/{}/{}",
        "path: ../datasets/x\ntrain: images/train\nval: images/val\nnames:\n  0: crop\n  1: weed\n",
    ),
    "folders of both": ("{}/images/{}", "{}/labels/{}", YAML.format("train", "val")),
    "beside": ("{}/{}", "{}/{}", YAML.format("train", "val")),
    "list of folders": (
        "images/{}/{}",
        "labels/{}/{}",
        YAML.format("[images/train]", "[images/val]"),
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_trees_with_a_data_yaml(tmp_path, tree):
    images, labels, yaml = TREES[tree]
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        put(tmp_path, images.format(split, name), AREA, labels.format(split, name))
    (tmp_path / "data.yaml").write_text(yaml)
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, "val")) == ["c.png"]
    for mask in (masks_of(data, "train") | masks_of(data, "val")).values():
        assert np.array_equal(mask, EXPECTED)


def test_lists_of_a_data_yaml_as_cvat_writes_them(tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        put(tmp_path, f"images/{split}/{name}", AREA, f"labels/{split}/{name}")
    (tmp_path / "train.txt").write_text("data/images/train/a.png\ndata/images/train/b.png\n")
    (tmp_path / "val.txt").write_text("./images/val/c.png\n")
    (tmp_path / "data.yaml").write_text(
        "names:\n  0: crop\n  1: weed\npath: .\ntrain: train.txt\nval: val.txt\n"
    )
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert sorted(masks_of(data, "val")) == ["c.png"]
    (tmp_path / "val.txt").write_text("./images/val/missing.png\n")
    assert "missing.png" in read_dataset(tmp_path).errors()[0].message


@pytest.mark.parametrize("names", ["classes.txt", "obj.names", "labels/classes.txt"])
def test_without_a_data_yaml_a_list_names_the_classes(tmp_path, names):
    for name in "ab":
        put(tmp_path, f"images/{name}", AREA, f"labels/{name}")
    (tmp_path / names).write_text("crop\nweed\n")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed")
    assert np.array_equal(masks_of(data, "train")["a.png"], EXPECTED)


def test_without_any_names_the_classes_are_numbers(tmp_path):
    put(tmp_path, "train/images/a", AREA + "\n" + line(2, 0, 20, 4, 24), "train/labels/a")
    put(tmp_path, "valid/images/b", AREA, "valid/labels/b")
    data = read(tmp_path)
    assert data.classes.names == ("background", "class 0", "class 1", "class 2")
    assert np.array_equal(
        masks_of(data, "train")["a.png"], rectangle(3, 0, 20, 4, 24, EXPECTED.copy())
    )
    assert list(masks_of(data, "val")) == ["b.png"]


def test_boxes_are_skipped_and_an_empty_file_is_background(tmp_path):
    put(tmp_path, "images/area", f"{AREA}\n1 0.5 0.5 0.1 0.1", "labels/area")
    put(tmp_path, "images/boxes", "1 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1", "labels/boxes")
    put(tmp_path, "images/empty", "", "labels/empty")
    put(tmp_path, "images/none")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [crop, weed]\n")
    data = read(tmp_path)
    masks = masks_of(data, "train")
    assert np.array_equal(masks["area.png"], EXPECTED)
    assert not masks["empty.png"].any()
    assert masks["boxes.png"] is None
    assert masks["none.png"] is None
    skipped = next(f for f in data.findings if f.kind == "skipped-shape")
    assert "3 boxes" in skipped.message
    assert "2 images have no areas" in " ".join(f.text for f in data.findings)


def test_the_smaller_area_is_on_top_and_outlines_may_leave_the_image(tmp_path):
    text = "\n".join([line(1, 12, 7, 15, 9), AREA, line(1, 30, -5, 60, 4)])
    put(tmp_path, "images/a", text, "labels/a")
    mask = masks_of(read(tmp_path), "train")["a.png"]
    expected = rectangle(2, 12, 7, 15, 9, EXPECTED.copy())
    assert np.array_equal(mask, rectangle(2, 30, 0, 40, 4, expected))


def test_a_detection_set_is_refused_with_what_to_export(tmp_path):
    for name in "ab":
        put(tmp_path, f"images/{name}", "1 0.5 0.5 0.1 0.1", f"labels/{name}")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [crop, weed]\n")
    data = read_dataset(tmp_path)
    assert ("no-masks", "error") in kinds(data)
    assert ("skipped-shape", "warning") in kinds(data)


@pytest.mark.parametrize(
    "text",
    [
        "crop 0.1 0.1 0.5 0.1 0.5 0.5",
        "0 100 50 200 50 200 80",
        "0 0.1 nan 0.5 0.1 0.5 0.5",
        "0 0.1 0.1 0.5 0.1 0.5 0.5 0.2",
        "-1 0.1 0.1 0.5 0.1 0.5 0.5",
        "0 0.1",
        "0 1e400 0.1 0.5 0.1 0.5 0.5",
    ],
)
def test_a_line_of_another_form_is_refused_with_file_and_line(tmp_path, text):
    put(tmp_path, "images/a", f"{AREA}\n{text}", "labels/a")
    put(tmp_path, "images/b", AREA, "labels/b")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [crop, weed]\n")
    errors = read_dataset(tmp_path).errors()
    assert "a.txt, line 2" in errors[0].message


@pytest.mark.parametrize("text", ["0 10 5 20 5 20 15", "0 0.1 0.1 0.5 0.1 0.5 0.5 0.2"])
def test_labels_of_another_form_throughout_are_refused_with_the_form(tmp_path, text):
    for name in "ab":
        put(tmp_path, f"images/{name}", text, f"labels/{name}")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [crop, weed]\n")
    message = read_dataset(tmp_path).errors()[0].text
    assert "a.txt, line 1 is none of YOLO's segmentation" in message
    assert "0 0.1 0.1 0.5 0.1 0.5 0.6" in message


def test_a_class_without_a_name_is_refused(tmp_path):
    put(tmp_path, "images/a", line(5, 1, 1, 9, 9), "labels/a")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [crop, weed]\n")
    message = read_dataset(tmp_path).errors()[0].message
    assert "a.txt, line 1 has the class 5" in message
    assert "data.yaml" in message


def test_a_broken_data_yaml_is_refused_and_not_passed_over(tmp_path):
    put(tmp_path, "images/a", AREA, "labels/a")
    put(tmp_path, "images/b", AREA, "labels/b")
    (tmp_path / "data.yaml").write_text("train: images\nnames:\n\t- crop\n")
    message = read_dataset(tmp_path).errors()[0].text
    assert "data.yaml cannot be read as YAML" in message
    (tmp_path / "data.yaml").write_text("train: images\nnames:\n  - crop\n")
    assert read(tmp_path).classes.names == ("background", "crop")


def test_captions_beside_images_are_no_labels(tmp_path):
    put(tmp_path, "images/a", "a field of maize", "images/a")
    assert not [f for f in read_dataset(tmp_path).findings if "YOLO" in f.text]


def test_key_points_are_refused(tmp_path):
    put(tmp_path, "images/a", AREA, "labels/a")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]\nkpt_shape: [17, 3]\n")
    assert "key points" in read_dataset(tmp_path).errors()[0].message


def test_numbers_of_a_file_become_shares(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("1 0 0 1 0 1 1\n")
    labels = read_labels(file)
    assert labels.regions[0].label == "1"
    left, top, inside = labels.regions[0].area.cover(4, 2)
    assert (left, top, inside.shape) == (0, 0, (2, 4))


def test_label_files_without_an_image_are_named(tmp_path):
    for name in "ab":
        put(tmp_path, f"images/{name}", AREA, f"labels/{name}")
    (tmp_path / "labels" / "gone.txt").write_text(AREA)
    (tmp_path / "labels" / "notes.txt").write_text("not all leaves are drawn")
    data = read(tmp_path)
    orphans = [f for f in data.findings if f.kind == "mask-without-image"]
    assert [(f.severity, f.files) for f in orphans] == [("warning", ("labels/gone.txt",))]


def test_images_of_one_name_in_two_splits_keep_their_own_labels(tmp_path):
    put(tmp_path, "train/images/1", AREA, "train/labels/1")
    put(tmp_path, "train/images/2", AREA, "train/labels/2")
    put(tmp_path, "val/images/1", line(0, 0, 0, 5, 5), "val/labels/1")
    put(tmp_path, "val/images/2")  # the label of train is not its own
    (tmp_path / "data.yaml").write_text(YAML.format("train/images", "val/images"))
    data = read(tmp_path)
    assert np.array_equal(masks_of(data, "train")["1.png"], EXPECTED)
    val = masks_of(data, "val")
    assert np.array_equal(val["1.png"], rectangle(1, 0, 0, 5, 5))
    assert val["2.png"] is None


def test_a_split_that_is_not_there_or_that_is_train_again_is_said(tmp_path):
    for name in "ab":
        put(tmp_path, f"images/{name}", AREA, f"labels/{name}")
    (tmp_path / "data.yaml").write_text(YAML.format("images", "images") + "test: holdout\n")
    data = read(tmp_path)
    assert sorted(masks_of(data, "train")) == ["a.png", "b.png"]
    assert not data.samples["val"]
    text = " ".join(finding.text for finding in data.findings)
    assert "names the same images as val" in text
    assert "names holdout as test, which is not there" in text
    (tmp_path / "data.yaml").write_text(YAML.format("photos", "images"))
    assert "names photos as train" in read_dataset(tmp_path).errors()[0].message


def test_two_sets_side_by_side_share_classes_by_name(tmp_path):
    for place, names in (("field1", "[crop, weed]"), ("field2", "[weed, soil]")):
        put(tmp_path, f"{place}/images/{place}", AREA, f"{place}/labels/{place}")
        (tmp_path / place / "data.yaml").write_text(f"train: images\nnames: {names}\n")
    data = read(tmp_path)
    assert data.classes.names == ("background", "crop", "weed", "soil")
    masks = masks_of(data, "train")
    assert np.array_equal(masks["field1.png"], EXPECTED)
    assert np.array_equal(masks["field2.png"], 2 * EXPECTED)


def test_the_unlabeled_folder_and_photographs_beside_the_labeled_ones(tmp_path):
    put(tmp_path, "images/a", AREA, "labels/a")
    put(tmp_path, "images/b")
    put(tmp_path, "unlabeled/c")
    (tmp_path / "classes.txt").write_text("crop\n")
    data = read(tmp_path)
    assert [sample.name for sample in data.samples["train"]] == ["a", "b"]
    assert [sample.mask is None for sample in data.samples["train"]] == [False, True]
    assert [sample.name for sample in data.samples["unlabeled"]] == ["unlabeled/c"]


def test_a_wrapping_folder(tmp_path):
    put(tmp_path, "export/train/images/a", AREA, "export/train/labels/a")
    put(tmp_path, "export/valid/images/b", AREA, "export/valid/labels/b")
    (tmp_path / "export" / "data.yaml").write_text(
        YAML.format("../train/images", "../valid/images")
    )
    (tmp_path / "export" / "README.roboflow.txt").write_text("maize - v1")
    data = read(tmp_path)
    assert list(masks_of(data, "train")) == ["a.png"]
    assert list(masks_of(data, "val")) == ["b.png"]
