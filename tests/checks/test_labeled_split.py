"""`check --labels`: the images of a training, and the classes that they lack."""

import numpy as np
import pytest
from PIL import Image

from semiseg.checks.report import SplitSummary
from semiseg.cli import main
from semiseg.commands.check import check
from semiseg.commands.split import split
from semiseg.core.errors import ConfigError

CLASSES = {"a": (0, 1, 2), "b": (0, 1, 3), "c": (0, 1), "d": (0, 1)}


def draw(root, part, classes):
    """Images with masks of stripes, one for each class."""
    for number, (name, values) in enumerate(classes.items()):
        for folder in ("images", "masks"):
            (root / part / folder).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([number, len(part)]).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(root / part / "images" / f"{name}.png")
        mask = np.resize(np.repeat(np.array(values, np.uint8), 24 // len(values)), (24, 24))
        Image.fromarray(mask).save(root / part / "masks" / f"{name}.png")
    return root


@pytest.fixture
def data(tmp_path):
    """Classes 2 and 3 are in one image of train each."""
    draw(tmp_path, "train", CLASSES)
    return draw(tmp_path, "val", {"v": (0, 1, 2, 3)})


def of_kind(report, kind):
    return [finding for finding in report.findings if finding.kind == kind]


def test_a_class_that_no_labeled_image_holds_is_a_warning(data, tmp_path):
    report = check(data, labels="1", split_seed=3)
    (finding,) = of_kind(report, "hidden-class")
    assert finding.severity == "warning"
    assert report.ok
    chosen = split(data, labels="1", seed=3, out=tmp_path / "lists").folder / "labeled.txt"
    (name,) = chosen.read_text().split()
    missing = {"a": "3", "b": "2"}[name]
    assert finding.classes == (missing,)
    assert f"({missing}, in 1 mask of train)" in finding.text
    assert report.split == SplitSummary("1", 3, 1, 3, 1)
    assert report.histogram["labeled"].classes[missing].images == 0
    assert list(report.histogram) == ["train", "labeled", "val"]
    text = " ".join(report.text().split())
    assert "With --labels 1 --split-seed 3, a training has 1 labeled image, 3 unlabeled" in text
    assert report.to_dict()["split"]["labeled"] == 1


def test_enough_labeled_images_hold_all_classes(data):
    report = check(data, labels="2")
    assert not of_kind(report, "hidden-class")
    assert report.histogram["labeled"].classes["3"].images == 1


def test_a_list_is_checked(data, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("c\nd\n")
    (finding,) = of_kind(check(data, labels=str(file)), "hidden-class")
    assert finding.classes == ("2", "3")
    file.write_text("c\nx\n")
    report = check(data, labels=str(file))
    assert report.split is None
    (error,) = [f for f in report.findings if f.severity == "error"]
    assert "mine.txt" in error.text


def test_images_that_are_held_out_are_described(tmp_path):
    data = draw(tmp_path / "data", "train", CLASSES)
    report = check(data, labels="all")
    assert (report.split.labeled, report.split.val) == (3, 1)
    assert report.histogram["val"].classes["0"].images == 1
    assert of_kind(report, "unscored-class")
    assert check(data).split is None
    assert "labeled" not in check(data).histogram


def test_what_is_no_number_of_labels_is_refused(data, capsys):
    with pytest.raises(ConfigError, match="asks for more masks than there are"):
        check(data, labels="9")
    with pytest.raises(SystemExit):
        main(["check", str(data), "--labels", "9"])
    assert "--labels 9" in capsys.readouterr().err


def test_a_folder_with_errors_has_no_split(data):
    (data / "train" / "masks" / "a.png").write_bytes(b"no")
    report = check(data, labels="2")
    assert not report.ok
    assert report.split is None
