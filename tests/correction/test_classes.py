"""Classes that a person adds on the page: their names, ids and colors, and the file of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from semiseg.core.errors import DataError
from semiseg.core.types import NOTHING_SAID
from semiseg.correction.access import Access
from semiseg.correction.classes import classes_in, file_of_new_classes, with_class
from semiseg.correction.masks import Masks
from semiseg.correction.server import application
from semiseg.data.classes.classes_file import read_yaml
from semiseg.data.formats.masks import Classes, default_color, read_mask
from semiseg.data.reader import load_dataset

IDS = Classes(("soil", "crop"), ((0, 0, 0), (0, 255, 0)), "ids", (0, 1))
RGB = replace(IDS, encoding="colors", codes=(0x000000, 0x00FF00), ignored=(0xFFFFFF,))


@pytest.mark.parametrize(
    ("codes", "ignored", "expected"),
    [
        ((0, 1), (255,), 2),
        ((0, 4), (255, 5), 6),
        ((0, 254), (255,), 1),
        ((0, 255), (), 1),
        ((7, 300), (65535,), 301),
        ((0, 65534), (65535,), 1),
    ],
)
def test_a_new_class_gets_an_id_that_is_free(codes, ignored, expected):
    classes = replace(IDS, codes=codes, ignored=ignored)
    assert with_class(classes, "weed", (9, 9, 9)).codes == (*codes, expected)


def test_in_masks_of_colors_the_color_is_the_code():
    assert with_class(RGB, " weed ", (1, 2, 3)).codes == (0x000000, 0x00FF00, 0x010203)
    assert with_class(RGB, " weed ", (1, 2, 3)).names[-1] == "weed"


@pytest.mark.parametrize(
    ("classes", "name", "color", "message"),
    [
        (IDS, "crop", (1, 2, 3), "already a class crop"),
        (IDS, "CROP ", (1, 2, 3), "already a class crop"),
        (IDS, "  ", (1, 2, 3), "1 to 60 characters"),
        (IDS, "x" * 61, (1, 2, 3), "1 to 60 characters"),
        (IDS, "two\nlines", (1, 2, 3), "in one line"),
        (IDS, "weed", (0, 255, 0), "#00ff00 belongs to another class"),
        (RGB, "weed", (255, 255, 255), "#ffffff belongs to another class, or is ignored"),
    ],
)
def test_names_and_colors_that_cannot_be_used_are_refused(classes, name, color, message):
    with pytest.raises(DataError, match=message):
        with_class(classes, name, color)


def test_the_255th_class_is_the_last():
    names = tuple(f"class {i}" for i in range(254))
    colors = tuple(map(default_color, range(254)))
    classes = Classes(names, colors, "ids", tuple(range(254)))
    full = with_class(classes, "last", (1, 2, 3))
    assert full.codes[-1] == 254
    with pytest.raises(DataError, match="255 classes"):
        with_class(full, "one more", (4, 5, 6))


@pytest.mark.parametrize("classes", [IDS, RGB])
def test_the_file_keeps_new_classes_and_what_a_person_ignores(tmp_path, classes):
    masks = Masks(classes, tmp_path)
    masks.add_class("weed", (200, 0, 0))
    masks.add_class("stone", (9, 9, 9))
    again = classes_in(tmp_path, classes)
    assert again == masks.classes
    assert file_of_new_classes(tmp_path, classes) == tmp_path / "classes.yaml"
    assert file_of_new_classes(tmp_path, again) is None
    file = tmp_path / "classes.yaml"
    own = 77 if classes is IDS else "'#778899'"
    lines = [
        line for line in file.read_text().splitlines() if not line.startswith(("ignore", "- '"))
    ]
    file.write_text("\n".join((*lines, f"ignore: [{own}]\n")))
    again = classes_in(tmp_path, classes)
    assert (77 if classes is IDS else 0x778899) in again.ignored
    Masks(again, tmp_path).add_class("reed", (8, 8, 8))
    assert classes_in(tmp_path, classes).ignored == again.ignored
    mask = np.array([[0, 1], [2, 4]], np.uint8)
    wider = classes_in(tmp_path, classes)
    masks = Masks(wider, tmp_path)
    path = tmp_path / "mask.png"
    empty = np.zeros_like(mask)
    (wider.to_rgb(empty) if classes is RGB else wider.to_image(empty)).save(path)
    masks.write(path, mask, masks.read(path).revision)
    assert np.array_equal(np.array(read_mask(path, wider)), mask)
    assert np.array_equal(masks.read(path).labels, mask)


def test_a_file_with_an_id_twice_is_refused(tmp_path):
    (tmp_path / "classes.yaml").write_text("classes:\n- {name: weed, id: 1}\n")
    with pytest.raises(DataError, match="the class weed has 1, which is that of another class"):
        classes_in(tmp_path, IDS)


def test_a_new_class_is_written_and_its_pixels_are_accepted(corrections, rounds, folder):
    headers = {"Authorization": "Bearer secret"}
    address, app = "http://127.0.0.1:8123", application(corrections, rounds, Access(8123, "secret"))
    client = TestClient(app, base_url=address, headers=headers)
    before = client.get("/api/classes").json()
    count = len(before["classes"])
    mask = client.get("/api/masks/0")
    content = bytes([count]) + mask.content[1:]
    if_match = {"If-Match": mask.headers["etag"]}
    assert client.put("/api/masks/0", content=content, headers=if_match).status_code == 422
    new = {"name": "gravel", "color": before["next_color"]}
    answer = client.post("/api/classes", json=new)
    assert answer.status_code == 201
    assert [one["name"] for one in answer.json()["classes"]][count:] == ["gravel"]
    assert answer.json()["next_color"] != new["color"]
    assert read_yaml(folder / "classes.yaml").entries[-1].name == "gravel"
    assert client.put("/api/masks/0", content=content, headers=if_match).status_code == 204
    stored = Image.open(corrections.content.items[0].mask)
    assert stored.getpixel((0, 0)) == corrections.content.masks.classes.codes[-1]
    again = client.get("/api/masks/0")
    assert again.content == content
    assert again.headers["x-classes"] == str(count + 1)
    for wrong in (new, {"name": "reed"}, {"name": "reed", "color": "red"}, []):
        assert client.post("/api/classes", json=wrong).status_code in (400, 422)
    assert client.post("/api/classes", content=b"{" * 5000).status_code == 400


def test_a_class_that_cannot_be_written_does_not_count(corrections, folder):
    names = corrections.content.masks.classes.names
    (folder / "classes.yaml.part").mkdir()  # in the way of the new file
    with pytest.raises(OSError, match=r"classes\.yaml"):
        corrections.content.masks.add_class("gravel", (1, 2, 3))
    assert corrections.content.masks.classes.names == names


def test_a_training_gets_the_new_class(corrections, rounds, folder, tiny_folder):
    corrections.content.masks.add_class("gravel", (9, 9, 9))
    item = corrections.content.items[0]
    stored = corrections.content.masks.read(item.mask)
    stored.labels[:5] = len(corrections.content.masks.classes) - 1
    corrections.content.masks.write(item.mask, stored.labels, stored.revision)
    corrections.content.states.set(item.name, "accepted")
    assert "--classes" in rounds.next_steps()
    classes = rounds.content().masks.classes
    assert classes == corrections.content.masks.classes
    flags = NOTHING_SAID._replace(corrected=(folder,))
    data = load_dataset(tiny_folder, folder / "classes.yaml", flags=flags)
    assert data.class_list.names == classes.names
