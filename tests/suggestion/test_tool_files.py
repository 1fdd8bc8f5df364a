"""The files for labeling tools, read again by semiseg's own readers."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from semiseg.core.errors import RunError
from semiseg.core.reading import AS_STORED
from semiseg.core.types import Prediction
from semiseg.data.formats.labelme import label_code
from semiseg.data.formats.masks import Classes, default_color, read_mask
from semiseg.data.reader import load_dataset, read_dataset
from semiseg.suggestion.mask_kinds import kind_of, refuse_other_kind, written_kinds
from semiseg.suggestion.ranking import Suggestion
from semiseg.suggestion.tool_steps import tool_steps
from semiseg.suggestion.writer import write_suggestions
from tests.data.annotated import photograph

NAMES = ('Forêt <é> & "Moor"', "background", "Ab")
IMAGES = ("07 ü.png", "a/07 ü.png", "a/b/schön #3?.jpg", "plain.jpg")
SIZE = (60, 40)


def classes_of(names=NAMES, encoding="ids"):
    colors = tuple(default_color(i) for i in range(1, len(names) + 1))
    codes = tuple((3, 0, 7, 9)[: len(names)])
    return Classes(tuple(names), colors, encoding, codes)


def mask_of(seed, ignored=True):
    """A ring with a thing in its hole, specks, diagonals, an edge, and noise in a corner."""
    rng = np.random.default_rng(seed)
    mask = np.ones(SIZE[::-1], np.uint8)
    mask[3:25, 4:40] = 0
    mask[8:20, 10:30] = 1
    mask[10:16, 14:22] = 2
    mask[np.arange(10) + 27, np.arange(10) + 30] = 2  # a thin diagonal
    mask[30:40, 50:60] = 0  # into a corner
    mask[2, 50] = mask[5, 55] = 2
    mask[28:38, 2:20] = rng.integers(0, 3, (10, 18))
    if ignored:
        mask[12:15, 32:38] = 255
    return mask


class Stub:
    """A model that predicts given masks."""

    reading = AS_STORED

    def __init__(self, classes, masks):
        self.classes, self.masks = classes, masks

    def predict(self, image, scale):
        assert scale == "fit"
        mask = self.masks[image]
        return Prediction(mask, np.ones(mask.shape, np.float32))


def write(tmp_path, kind, classes=None, ignored=True, names=IMAGES, masks=None):
    """Write pre-annotations of photographs; the masks by the path of the copies."""
    photos, out = tmp_path / "photos", tmp_path / "it's next"
    suggestions, predicted, expected = [], {}, {}
    for i, name in enumerate(names):
        mask = mask_of(i, ignored) if masks is None else masks[i]
        path = photograph(photos / name, mask.shape[::-1])
        predicted[path] = mask
        stem = name.rsplit(".", 1)[0]
        suggestions.append(Suggestion(stem, path, 0.5, 0.25, None, 1.0))
        expected[out / "train" / "images" / name] = predicted[path]
    write_suggestions(suggestions, Stub(classes or classes_of(), predicted), kind, out, 0)
    return out, expected


def submit(out):
    """What Label Studio exports if every prediction is submitted as it is."""
    file = out / "train" / "tasks.json"
    tasks = json.loads(file.read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, 1):
        (prediction,) = task.pop("predictions")
        task |= {"id": number, "annotations": [{"id": 9, "result": prediction["result"]}]}
    file.write_text(json.dumps(tasks), encoding="utf-8")


def read_again(out, names=NAMES):
    """The masks by image, with the class indices of the model; `background` of the reader is 1."""
    data = load_dataset(out)
    indices = {name: i for i, name in enumerate(names)}
    table = np.full(256, 255, np.uint8)
    for i, name in enumerate(data.classes.names):
        table[i] = indices.get(name, 254)
    return data, {s.image: table[np.array(read_mask(s.mask, data.classes))] for s in data.train}


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio"])
def test_masks_come_back_pixel_by_pixel(tmp_path, kind):
    out, expected = write(tmp_path, kind)
    if kind == "label-studio":
        submit(out)
    data, masks = read_again(out)
    assert set(data.classes.names) == set(NAMES)
    assert masks.keys() == expected.keys()
    for image, mask in expected.items():
        np.testing.assert_array_equal(masks[image], mask)
    assert not [finding for finding in data.findings if finding.severity == "error"]
    assert not (out / "classes.yaml").exists()  # its ids would not be those of the tool


def test_shapes_of_labelme_come_back_but_for_a_pixel_at_edges(tmp_path):
    masks = [mask_of(i, ignored=False) for i in range(4)]
    for mask in masks:
        mask[28:38, 2:20] = 1  # no noise, of which every pixel is an edge
    out, expected = write(tmp_path, "labelme", masks=masks)
    data, back = read_again(out)
    assert data.classes.encoding == "labels"
    assert data.classes.names == NAMES
    for image, mask in expected.items():
        assert image.with_suffix(".json").is_file()
        edge = np.zeros(mask.shape, bool)
        for axis in (0, 1):
            for step in (-1, 1):
                edge |= np.roll(mask, step, axis) != mask
        assert not (back[image] != mask)[~edge].any()
        assert (back[image] != mask).mean() < 0.01
    labels = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == ["__ignore__", NAMES[0], "_background_", NAMES[2]]


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio", "labelme"])
def test_without_a_background_every_pixel_has_a_shape(tmp_path, kind):
    names = ("soil", "crop", "weed")
    rows = np.repeat(np.arange(SIZE[1]) // 14, SIZE[0]).reshape(SIZE[::-1]).astype(np.uint8)
    masks = [rows, rows[::-1].copy()]
    out, expected = write(tmp_path, kind, classes_of(names), names=IMAGES[-2:], masks=masks)
    if kind == "label-studio":
        submit(out)
    data, back = read_again(out, names)
    for image, mask in expected.items():
        np.testing.assert_array_equal(back[image], mask)
    if kind == "labelme":
        assert data.classes.names == names
        assert 0 in data.classes.ignored  # what a person leaves out is no class


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio"])
def test_a_run_of_shapes_writes_files_for_tools(tmp_path, kind):
    classes = replace(classes_of(encoding="labels"), codes=(300, 0, 301))
    out, expected = write(tmp_path, kind, classes, names=IMAGES[:2])
    if kind == "label-studio":
        submit(out)
    _, back = read_again(out)
    for image, mask in expected.items():
        np.testing.assert_array_equal(back[image], mask)
    assert (out / "suggested.png").is_file()


def test_shapes_without_a_background_leave_gaps_that_are_ignored(tmp_path):
    names = ("soil", "crop", "weed")
    codes = tuple(label_code(name) for name in names)
    classes = replace(classes_of(names, "labels"), codes=codes)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    waves = np.rint(3 * np.sin(columns / 5) + 2 * np.sin(columns / 2))
    mask = ((rows + waves > 14).astype(np.uint8) + (rows + waves > 27)).astype(np.uint8)
    mask[30:36, 20:30] = 255
    out, _ = write(tmp_path, "labelme", classes, names=IMAGES[-1:], masks=[mask])
    data, back = read_again(out, names)
    assert data.classes.names == names  # no class for the gaps
    (sample,) = data.train
    again = np.array(read_mask(sample.mask, classes))  # as the data of the run are read
    np.testing.assert_array_equal(again, back[sample.image])
    gaps = (again != mask) & (mask != 255)
    assert 0 < gaps.mean() < 0.1
    assert (again[gaps] == 255).any()
    assert (again[31:35, 21:29] == 255).all()


def test_an_image_of_background_alone_is_there(tmp_path):
    masks = [np.ones(SIZE[::-1], np.uint8), mask_of(1)]
    out, _ = write(tmp_path, "coco", names=IMAGES[-2:], masks=masks)
    content = json.loads((out / "train" / "annotations.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in content["images"]] == list(IMAGES[-2:])
    assert {a["image_id"] for a in content["annotations"]} == {2}


def test_annotations_of_coco_by_value(tmp_path):
    mask = np.ones((3, 4), np.uint8)
    mask[0:2, 1:3] = 2
    mask = np.kron(mask, np.ones((2, 2), np.uint8))  # 8 x 6, a square from (2, 0) to (6, 4)
    out, _ = write(tmp_path, "coco", names=IMAGES[-1:], masks=[mask])
    content = json.loads((out / "train" / "annotations.json").read_text(encoding="utf-8"))
    (annotation,) = content["annotations"]
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    assert names[annotation["category_id"]] == "Ab"
    assert names == {1: NAMES[0], 2: "Ab", 3: "__ignore__"}
    assert annotation["bbox"] == [2, 0, 4, 4]
    assert annotation["area"] == 16
    counts = [12, 4, 2, 4, 2, 4, 2, 4, 14]
    assert annotation["segmentation"] == {"size": [6, 8], "counts": counts}
    assert content["images"][0]["width"] == 8
    assert content["images"][0]["height"] == 6


def test_masks_of_cvat_by_value(tmp_path):
    mask = np.ones((6, 8), np.uint8)
    mask[1:5, 2:6] = 2
    mask[2, 3] = 1  # a hole
    mask[0, 7] = mask[5, 0] = 2  # two specks are one mask
    out, _ = write(tmp_path, "cvat", names=IMAGES[1:2], masks=[mask])
    tree = ElementTree.parse(out / "train" / "annotations.xml")
    image = tree.find("image")
    assert image.attrib == {"id": "0", "name": IMAGES[1], "width": "8", "height": "6"}
    first, specks = image.findall("mask")
    values = first.attrib
    assert (values["label"], values["rle"]) == ("Ab", "0, 5, 1, 10")
    assert [values[key] for key in ("left", "top", "width", "height")] == ["2", "1", "4", "4"]
    assert specks.attrib["rle"] == "7, 1, 32, 1, 7"
    labels = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert [label["name"] for label in labels] == [NAMES[0], "Ab", "__ignore__"]
    color = "#{:02x}{:02x}{:02x}".format(*default_color(1))
    assert labels[0] == {"name": NAMES[0], "color": color, "type": "any", "attributes": []}


def test_tasks_of_label_studio_by_value(tmp_path):
    out, expected = write(tmp_path, "label-studio", names=IMAGES[2:3])
    (task,) = json.loads((out / "train" / "tasks.json").read_text(encoding="utf-8"))
    address = "/data/local-files/?d=train/images/a/b/sch%C3%B6n%20%233%3F.jpg"
    assert task["data"] == {"image": address}
    (prediction,) = task["predictions"]
    assert prediction["score"] == 0.75
    results = prediction["result"]
    labels = [result["value"]["brushlabels"] for result in results]
    assert labels == [[NAMES[0]], ["Ab"], ["__ignore__"]]
    assert len({result["id"] for result in results}) == 3
    assert {(r["original_width"], r["original_height"]) for r in results} == {SIZE}
    (mask,) = expected.values()
    assert results[0]["value"]["rle"][:4] == list((4 * mask.size).to_bytes(4, "big"))
    view = ElementTree.parse(out / "labels.xml")
    tags = {tag.get("name"): tag.tag for tag in view.iter() if tag.get("name")}
    assert tags == {results[0]["to_name"]: "Image", results[0]["from_name"]: "BrushLabels"}
    assert [tag.get("value") for tag in view.iter("Label")] == [NAMES[0], "Ab", "__ignore__"]


def test_predictions_that_nobody_submitted_are_no_masks(tmp_path):
    out, _ = write(tmp_path, "label-studio", names=IMAGES[-1:])
    data = read_dataset(out)
    assert not [sample for sample in data.train if sample.mask is not None]
    assert any("submit the predictions in Label Studio" in f.message for f in data.findings)


def test_the_format_of_the_run_is_the_default():
    assert kind_of("auto", classes_of()) == "masks"
    assert kind_of("auto", classes_of(encoding="labels")) == "labelme"
    assert kind_of("cvat", classes_of(encoding="labels")) == "cvat"


@pytest.mark.parametrize("kind", ["coco", "cvat", "label-studio", "labelme", "masks"])
def test_a_folder_holds_masks_of_one_kind(tmp_path, kind):
    out, _ = write(tmp_path, kind, names=IMAGES[-1:])
    assert written_kinds(out) == {kind}
    refuse_other_kind(out, kind)
    other = "cvat" if kind != "cvat" else "masks"
    with pytest.raises(RunError, match=r"this call would add .* another --out"):
        refuse_other_kind(out, other)
    with Image.open(out / "suggested.png") as picture:
        assert picture.width > 200


def test_the_steps_name_the_files_and_how_subfolders_are_kept(tmp_path):
    out, _ = write(tmp_path, "cvat", names=IMAGES[-1:])
    first, second, third = tool_steps("cvat", out)
    assert "ZIP" not in first
    assert f"'{out}/train/annotations.xml'".replace("it's", "it'\"'\"'s") in second
    assert "CVAT for images 1.1" in third
    deep, _ = write(tmp_path / "deep", "cvat")
    assert "ZIP" in tool_steps("cvat", deep)[0]
    for kind in ("coco", "labelme", "label-studio"):
        assert not [step for step in tool_steps(kind, out) if "{" in step]
