"""The pages "Coming from": their commands read an export as its program writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from doc_commands import commands, exit_status
from drawn_exports import EXPORTS, HEIGHT, IMAGES, LABELED, NAMES, WIDTH
from PIL import Image

from semiseg.core.types import Arrangement
from semiseg.data.reader import read_dataset

PAGES = Path(__file__).parents[1] / "docs" / "coming-from"
READING = {"check", "convert", "plan"}
"""The commands that need no trained model."""


@pytest.fixture(params=EXPORTS)
def export(request, tmp_path, monkeypatch):
    """The name of a page; its export is `DATA` in the working folder."""
    monkeypatch.chdir(tmp_path)
    EXPORTS[request.param](Path("DATA"))
    return request.param


def test_each_page_has_an_export_or_needs_none():
    assert {page.stem for page in PAGES.glob("*.md")} - {"index", "smp", "unimatch"} == set(EXPORTS)


@pytest.mark.slow
def test_its_commands_read_the_export(export, capsys):
    lines = [words for words in commands(PAGES / f"{export}.md") if words[0] in READING]
    lines = [words for words in lines if words[1] == "DATA"]
    assert lines
    for words in lines:
        assert exit_status(words) == 0, f"semiseg {shlex.join(words)}: {capsys.readouterr().err}"
    data = read_dataset(Path("DATA"))
    samples = [*data.train, *data.samples["val"]]
    assert sum(sample.mask is not None for sample in samples) == LABELED
    assert data.classes.names[1:] == NAMES
    assert len(samples) + len(data.samples["test"]) == IMAGES


BACKGROUND = {
    "labelme": "save it in LabelMe without shapes",
    "cvat": "draw a shape in it and label it background",
    "label-studio": "submit its task without regions",
    "roboflow": "give it an empty label file",
    "nnunet": "give it a mask of background",
}
"""What `convert` says on images that hold only background, by the name of a page."""


def test_convert_writes_its_masks(export, log):
    assert exit_status(["convert", "DATA", "--out", "masks"]) == 0
    assert f"If an image holds only background, {BACKGROUND[export]}" in log.text
    files = sorted(Path("masks").glob("*/masks/**/*.png"))
    assert len(files) == LABELED
    for file in files:
        mask = np.asarray(Image.open(file))
        assert mask.shape == (HEIGHT, WIDTH)
        assert np.unique(mask).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("page", "folder"),
    [("nnunet", "imagesTs"), ("roboflow", "test/images")],
    ids=["nnunet", "yolo"],
)
def test_images_of_test_without_masks_can_be_unlabeled(page, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    EXPORTS[page](Path("DATA"))
    data = read_dataset(Path("DATA"))
    assert [len(data.samples[split]) for split in ("unlabeled", "test")] == [0, IMAGES - LABELED]
    data = read_dataset(Path("DATA"), flags=Arrangement(unlabeled=folder))
    assert [len(data.samples[split]) for split in ("unlabeled", "test")] == [IMAGES - LABELED, 0]
    assert not {"missing-mask", "not-read"} & {finding.kind for finding in data.findings}
    text = "\n".join(finding.text for finding in data.findings)
    assert f"2 images of test are unlabeled, because {Path('DATA', folder)} is named" in text


def test_images_with_masks_of_val_cannot_be_unlabeled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    EXPORTS["roboflow"](Path("DATA"))
    data = read_dataset(Path("DATA"), flags=Arrangement(unlabeled="valid/images"))
    (error,) = data.errors()
    assert error.kind == "layout"
    assert str(Path("DATA", "valid", "images")) in error.message
    assert "--unlabeled" in error.remedy
